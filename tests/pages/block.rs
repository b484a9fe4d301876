//! What a page has to paste, and what it says that comes of it.

use std::fs;

use crate::support::source;

/// Commands of a page.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// The page, and the line.
    pub(super) place: String,
    /// Where it is pasted.
    pub(super) terminal: In,
    pub(super) commands: String,
    /// What the page shows of the output, in order, without what differs each time.
    pub(super) shown: Vec<String>,
}

/// Where a block is pasted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum In {
    /// The reader's terminal.
    Terminal,
    /// A terminal of its own, where it goes on.
    TerminalOfItsOwn,
    /// The reader's terminal, after everything else.
    TerminalAtLast,
}

impl In {
    /// What a fence says of what it opens. None: nothing to paste.
    fn of(fence: &str) -> Option<Self> {
        match fence {
            "sh" => Some(Self::Terminal),
            "sh server" => Some(Self::TerminalOfItsOwn),
            "sh last" => Some(Self::TerminalAtLast),
            _ => None,
        }
    }
}

/// The blocks of a page.
pub(super) fn blocks(page: &str) -> Vec<Block> {
    let text = fs::read_to_string(source().join(page));
    let text = text.unwrap_or_else(|error| panic!("{page}: {error}"));
    let mut blocks = Vec::<Block>::new();
    let mut lines = (1..).zip(text.lines());
    while let Some((number, line)) = lines.next() {
        let Some(fence) = line.strip_prefix("```") else {
            continue;
        };
        let inside = lines.by_ref().map(|(_, line)| line);
        let inside = inside.take_while(|line| *line != "```").collect::<Vec<_>>();
        if let Some(terminal) = In::of(fence) {
            blocks.push(Block {
                place: format!("{page}:{number}"),
                terminal,
                commands: inside.join("\n"),
                shown: Vec::new(),
            });
        } else if let ("text", Some(block)) = (fence, blocks.last_mut()) {
            let shown = inside.iter().map(|line| lasting(line));
            block.shown = shown.filter(|line| !line.is_empty()).collect();
        }
    }
    blocks
}

/// A line without what differs each time, and without what the page leaves out at its end.
pub(super) fn lasting(line: &str) -> String {
    let line = line.trim().trim_end_matches('…').trim_end();
    let line = line.strip_suffix(',').unwrap_or(line);
    let is_in_word = |c: char| c.is_ascii_alphanumeric() || "_+/=.:-".contains(c);
    let mut lasting = String::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let length = rest.find(|c| is_in_word(c) != is_in_word(first));
        let (part, after) = rest.split_at(length.unwrap_or(rest.len()));
        lasting.push_str(if is_in_word(first) { word(part) } else { part });
        rest = after;
    }
    lasting
}

fn word(word: &str) -> &str {
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let seconds = word
        .strip_suffix('s')
        .and_then(|number| number.parse::<f64>().ok());
    match word.split_once('_') {
        Some((prefix @ ("whsec" | "phk"), _)) => prefix,
        Some((prefix, id)) if id.len() >= 26 && !id.contains('_') => prefix,
        _ if word.len() >= 20 && word.ends_with('Z') && word[..4].parse::<u16>().is_ok() => {
            "instant"
        }
        _ if seconds.is_some() => "seconds",
        _ if word.len() == 8 && word.chars().all(is_hex) => "fingerprint",
        _ => word,
    }
}

#[test]
fn what_differs_each_time_is_left_out() {
    for (line, lasts) in [
        (
            r#"    "eventId": "evt_01m81nhmraftg95kb582ex3g00","#,
            r#""eventId": "evt""#,
        ),
        (
            r#"  "nextAttemptAt": "2026-11-22T13:01:26.411Z""#,
            r#""nextAttemptAt": "instant""#,
        ),
        (r#"  "duration": "0.002s","#, r#""duration": "seconds""#),
        (
            r#""secret": "whsec_yAiMJm1gZ/+=" …"#,
            r#""secret": "whsec""#,
        ),
        (
            "received evt_01m81nhmraftg95kb582ex3g00 attempt 1 {",
            "received evt attempt 1 {",
        ),
        ("      …", ""),
    ] {
        assert_eq!(lasting(line), lasts);
    }
}
