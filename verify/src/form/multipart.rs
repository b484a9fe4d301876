//! `multipart/form-data` (RFC 7578): its text fields. Files are skipped, whatever is in them.
//!
//! Strict where two readers could see two things: a part has one name, the boundary is what the header says, and nothing
//! stands behind it.

use memchr::memmem;

use super::{FIELDS_MAX, Form};
use crate::Refusal;

/// The longest boundary (RFC 2046, 5.1.1), in bytes.
const BOUNDARY_BYTES_MAX: usize = 70;
/// The longest head of a part, in bytes.
const HEAD_BYTES_MAX: usize = 8 * 1_024;

/// The boundary of a body with this label. None: it is no `multipart/form-data`.
pub(crate) fn boundary(label: &str) -> Option<&str> {
    let (essence, parameters) = label.split_once(';')?;
    if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let mut boundaries = parameters.split(';').filter_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then_some(value)
    });
    let boundary = boundaries.next()?;
    let boundary = boundary
        .strip_prefix('"')
        .and_then(|quoted| quoted.strip_suffix('"'))
        .unwrap_or(boundary);
    let is_one = (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len())
        && boundary
            .bytes()
            .all(|byte| matches!(byte, b' '..=b'~') && byte != b'"')
        && boundaries.next().is_none();
    is_one.then_some(boundary)
}

/// The text fields of a body, in the order received.
///
/// # Errors
/// `MalformedBody` when it is no such body, has more than [`FIELDS_MAX`] parts, or a name or value is no UTF-8.
pub(crate) fn parse(body: &[u8], boundary: &str) -> Result<Form, Refusal> {
    parts(body, boundary).ok_or(Refusal::MalformedBody)
}

fn parts(body: &[u8], boundary: &str) -> Option<Form> {
    let first = format!("--{boundary}");
    let between = format!("\r\n--{boundary}");
    let mut rest = body.strip_prefix(first.as_bytes())?;
    let mut fields = Vec::new();
    for _ in 0..=FIELDS_MAX {
        if let Some(end) = rest.strip_prefix(b"--") {
            return matches!(end, b"" | b"\r\n").then_some(Form(fields));
        }
        let part = rest.strip_prefix(b"\r\n")?;
        let length = memmem::find(part, between.as_bytes())?;
        if let Part::Field(name, value) = read_part(part.get(..length)?)? {
            fields.push((name, value));
        }
        rest = part.get(length + between.len()..)?;
    }
    None
}

/// What a part is.
enum Part {
    /// A field's name and value.
    Field(String, String),
    /// A file.
    File,
}

/// Reads a part. None: it is malformed.
fn read_part(part: &[u8]) -> Option<Part> {
    let length = memmem::find(part, b"\r\n\r\n")?;
    let head = part
        .get(..length)
        .filter(|head| head.len() <= HEAD_BYTES_MAX)?;
    let value = part.get(length + 4..)?;
    let head = std::str::from_utf8(head).ok()?;
    let mut dispositions = head.split("\r\n").filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-disposition")
            .then_some(value)
    });
    let disposition = dispositions.next()?.trim();
    let parameters = disposition.strip_prefix("form-data;")?;
    if dispositions.next().is_some() {
        return None;
    }
    let (name, is_file) = parameters_of(parameters)?;
    if is_file {
        return Some(Part::File);
    }
    let value = std::str::from_utf8(value).ok()?;
    Some(Part::Field(name, value.to_owned()))
}

/// The name, and whether there is the name of a file. A quote within a name is written `%22` or with a backslash.
fn parameters_of(text: &str) -> Option<(String, bool)> {
    let (mut name, mut is_file) = (None, false);
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, behind) = rest.split_once('=')?;
        let key = key.trim();
        let (value, behind) = value_of(behind)?;
        is_file |= key.eq_ignore_ascii_case("filename") || key.eq_ignore_ascii_case("filename*");
        if key.eq_ignore_ascii_case("name") && name.replace(value).is_some() {
            return None;
        }
        rest = match behind.trim_start() {
            "" => "",
            behind => behind.strip_prefix(';')?.trim_start(),
        };
    }
    Some((name?, is_file))
}

/// A quoted or a plain value, and what follows it.
fn value_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        let (value, behind) = text.split_at_checked(end)?;
        return Some((value.trim().to_owned(), behind));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value.replace("%22", "\""), quoted.get(at + 1..)?)),
            '\\' => value.push(chars.next()?.1),
            _ => value.push(char),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(parts: &[&str]) -> Vec<u8> {
        let parts = parts.iter().map(|part| format!("--x\r\n{part}\r\n"));
        format!("{}--x--\r\n", parts.collect::<String>()).into_bytes()
    }

    #[test]
    fn a_boundary_is_read_where_there_is_one() {
        for (label, expected) in [
            ("multipart/form-data; boundary=x", Some("x")),
            (
                "Multipart/Form-Data; charset=utf-8; Boundary=\"a b\"",
                Some("a b"),
            ),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=a; boundary=b", None),
            ("multipart/mixed; boundary=x", None),
        ] {
            assert_eq!(boundary(label), expected, "{label}");
        }
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        assert_eq!(boundary(&long), None);
    }

    #[test]
    fn case_9_fields_are_read_and_files_are_not() {
        let parts = body(&[
            "Content-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n2",
            "Content-Type: text/plain\r\ncontent-disposition: form-data; name=b\r\n\r\n",
            "Content-Disposition: form-data; name=\"f\"; filename=\"x;y\"\r\n\r\n\u{0}--x",
            "Content-Disposition: form-data; name=\"c%22\\\"\"\r\n\r\n3",
        ]);
        let form = parse(&parts, "x").expect("a form");
        let fields = form.fields().iter();
        let fields = fields.map(|(name, value)| (name.as_str(), value.as_str()));
        let expected = [("a", "1\r\n2"), ("b", ""), ("c\"\"", "3")];
        assert_eq!(fields.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_two_readers_could_read_in_two_ways_is_refused() {
        let named = "Content-Disposition: form-data; name=\"a\"\r\n\r\n1";
        let whole = body(&[named]);
        for bad in [
            Vec::new(),
            b"a=1".to_vec(),
            [b" ", &whole[..]].concat(),
            [&whole[..], b"more"].concat(),
            whole[..whole.len() - 4].to_vec(),
            body(&["Content-Disposition: form-data; name=\"a\"; name=\"b\"\r\n\r\n1"]),
            body(&["Content-Disposition: form-data\r\n\r\n1"]),
            body(&["Content-Disposition: form-data; name=\"a\r\n\r\n1"]),
            body(&["X: y\r\n\r\n1"]),
            body(&vec![named; FIELDS_MAX + 1]),
        ] {
            assert_eq!(parse(&bad, "x"), Err(Refusal::MalformedBody));
        }
        assert!(parse(&body(&vec![named; FIELDS_MAX]), "x").is_ok());
    }
}
