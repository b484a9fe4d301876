//! Reading templates. The errors say what is wrong, for people.

use super::{Filter, Part};
use crate::reference::Reference;

/// What is left to read.
type Characters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// The parts up to the end, or up to the closing bracket of an optional part.
pub(super) fn parts(characters: &mut Characters<'_>, optional: bool) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    loop {
        let next = characters.next();
        let part = match next {
            Some('\\') => {
                match characters.next() {
                    Some(taken @ ('{' | '}' | '[' | ']' | '\\')) => literal.push(taken),
                    _ => return Err("has a backslash before nothing special".to_owned()),
                }
                continue;
            }
            Some('{') => Some(value(characters)?),
            Some('[') if !optional => Some(Part::Optional(self::parts(characters, true)?)),
            Some('[' | '}') => {
                return Err("has a bracket or brace that is not in its place".to_owned());
            }
            Some(']') if !optional => return Err("closes a bracket that is not open".to_owned()),
            None if optional => return Err("does not close a bracket".to_owned()),
            Some(']') | None => None,
            Some(plain) => {
                literal.push(plain);
                continue;
            }
        };
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal)));
        }
        match part {
            Some(part) => parts.push(part),
            None => return Ok(parts),
        }
    }
}

fn value(characters: &mut Characters<'_>) -> Result<Part, String> {
    let mut text = String::new();
    loop {
        match characters.next() {
            Some('}') => break,
            Some(character) => text.push(character),
            None => return Err("does not close a brace".to_owned()),
        }
    }
    let (name, filter) = match text.rsplit_once('|') {
        None => (text.as_str(), Filter::None),
        Some((name, filter)) => (
            name,
            Filter::parse(filter).ok_or_else(|| format!("has the unknown filter `{filter}`"))?,
        ),
    };
    let reference =
        Reference::parse(name).ok_or_else(|| format!("has the unknown reference `{name}`"))?;
    Ok(Part::Value(reference, filter))
}
