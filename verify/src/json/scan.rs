//! The scanner under the pointers: one cursor that checks what it passes.

use std::borrow::Cow;

use super::{DEPTH_MAX, Found};

/// What a JSON value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Members in braces.
    Object,
    /// Elements in brackets.
    Array,
    /// Text in quotes.
    String,
    /// A number.
    Number,
    /// `true` or `false`.
    Bool,
    /// `null`.
    Null,
}

/// A place in a text. Every step returns `None` where the text is no JSON.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    /// Whether an element or member was passed, so that a comma must come before the next.
    passed: bool,
}

/// The objects and arrays that are open: one bit each, set for objects.
#[derive(Default)]
struct Open {
    bits: u64,
    depth: u32,
}

impl Open {
    fn push(&mut self, object: bool) -> Option<()> {
        if self.depth == DEPTH_MAX {
            return None;
        }
        self.bits = self.bits << 1 | u64::from(object);
        self.depth += 1;
        Some(())
    }

    fn pop(&mut self) {
        self.bits >>= 1;
        self.depth -= 1;
    }

    fn in_object(&self) -> bool {
        self.bits & 1 == 1
    }
}

impl<'a> Cursor<'a> {
    /// Before a value.
    pub(super) const fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            passed: false,
        }
    }

    /// Behind the opening brace or bracket of a value.
    pub(super) fn inside(raw: &'a str) -> Option<Self> {
        matches!(raw.as_bytes().first(), Some(b'{' | b'[')).then_some(Self {
            text: raw,
            at: 1,
            passed: false,
        })
    }

    /// Moves to the next element or member; `None` at the closing byte.
    pub(super) fn next_in(&mut self, close: u8) -> Option<()> {
        self.blanks();
        if self.peek()? == close {
            return None;
        }
        if self.passed {
            self.take(b',')?;
        }
        self.passed = true;
        Some(())
    }

    /// Passes a member's name and the colon; the name with its quotes.
    pub(super) fn name(&mut self) -> Option<&'a str> {
        self.blanks();
        let start = self.at;
        self.string()?;
        let name = self.text.get(start..self.at)?;
        self.blanks();
        self.take(b':')?;
        Some(name)
    }

    /// Passes a value.
    pub(super) fn found(&mut self) -> Option<Found<'a>> {
        self.blanks();
        let start = self.at;
        let kind = self.value()?;
        Some(Found {
            raw: self.text.get(start..self.at)?,
            kind,
            duplicate: false,
        })
    }

    /// Passes a value with everything in it.
    pub(super) fn value(&mut self) -> Option<Kind> {
        let mut open = Open::default();
        let mut outermost = None;
        loop {
            self.blanks();
            let kind = self.value_begin(&mut open)?;
            outermost.get_or_insert(kind);
            if !self.value_end(&mut open)? {
                return outermost;
            }
        }
    }

    /// Nothing but blanks may follow.
    pub(super) fn end(&mut self) -> Option<()> {
        self.blanks();
        (self.at == self.text.len()).then_some(())
    }

    /// Passes a plain value, or opens objects and arrays up to the first plain or empty value.
    fn value_begin(&mut self, open: &mut Open) -> Option<Kind> {
        let mut outermost = None;
        loop {
            let kind = match self.peek()? {
                b'{' => Kind::Object,
                b'[' => Kind::Array,
                _ => {
                    let kind = self.plain()?;
                    return Some(outermost.unwrap_or(kind));
                }
            };
            outermost.get_or_insert(kind);
            open.push(kind == Kind::Object)?;
            self.at += 1;
            self.blanks();
            if matches!(
                (kind, self.peek()?),
                (Kind::Object, b'}') | (Kind::Array, b']')
            ) {
                return outermost;
            }
            if kind == Kind::Object {
                self.name()?;
                self.blanks();
            }
        }
    }

    /// Closes what ends here; whether another value has to follow.
    fn value_end(&mut self, open: &mut Open) -> Option<bool> {
        while open.depth > 0 {
            self.blanks();
            match (open.in_object(), self.peek()?) {
                (true, b'}') | (false, b']') => {
                    open.pop();
                    self.at += 1;
                }
                (object, b',') => {
                    self.at += 1;
                    if object {
                        self.name()?;
                    }
                    return Some(true);
                }
                _ => return None,
            }
        }
        Some(false)
    }

    fn plain(&mut self) -> Option<Kind> {
        match self.peek()? {
            b'"' => self.string().map(|()| Kind::String),
            b't' => self.word("true").map(|()| Kind::Bool),
            b'f' => self.word("false").map(|()| Kind::Bool),
            b'n' => self.word("null").map(|()| Kind::Null),
            _ => self.number().map(|()| Kind::Number),
        }
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text
            .get(self.at..)?
            .starts_with(word)
            .then(|| self.at += word.len())
    }

    fn number(&mut self) -> Option<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek()? == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn string(&mut self) -> Option<()> {
        self.take(b'"')?;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => {
                    let (_, length) = escape(self.text.get(self.at..)?)?;
                    self.at += length;
                }
                0..0x20 => return None,
                _ => self.at += 1,
            }
        }
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

/// The text of a string, given with its quotes; `None` when an escape of it is no character.
pub(super) fn unescape(raw: &str) -> Option<Cow<'_, str>> {
    let mut rest = raw.strip_prefix('"')?.strip_suffix('"')?;
    if !rest.contains('\\') {
        return Some(Cow::Borrowed(rest));
    }
    let mut text = String::with_capacity(rest.len());
    while let Some(at) = rest.find('\\') {
        let (plain, escaped) = rest.split_at(at);
        let (character, length) = escape(escaped)?;
        text.push_str(plain);
        text.push(character?);
        rest = escaped.get(length..)?;
    }
    text.push_str(rest);
    Some(Cow::Owned(text))
}

/// The character of the escape that a text begins with, and the escape's length. Half of a surrogate pair is an escape
/// of JSON's grammar, and is no character.
fn escape(text: &str) -> Option<(Option<char>, usize)> {
    let character = match text.as_bytes().get(1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode_escape(text),
        _ => return None,
    };
    Some((Some(character), 2))
}

fn unicode_escape(text: &str) -> Option<(Option<char>, usize)> {
    let first = hex4(text.get(2..6)?)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some((char::from_u32(first), 6));
    }
    match second_half(text) {
        Some(second) => {
            let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            Some((char::from_u32(code), 12))
        }
        None => Some((None, 6)),
    }
}

/// The second half of the surrogate pair that a text begins with.
fn second_half(text: &str) -> Option<u32> {
    let second = hex4(text.get(6..12)?.strip_prefix("\\u")?)?;
    (0xdc00..0xe000).contains(&second).then_some(second)
}

fn hex4(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}
