//! Settings of polling, read and written.

use posthorn::v1;
use posthorn_guard::{Policy, Target};

use super::answer::header_proto;
use crate::{
    error::Error,
    model::source::{CURSOR, PollSettings, SECRET},
    rpc::{
        convert::{
            Violations, duration_proto, duration_within, header_name, is_header_value, looks_secret,
        },
        reach,
    },
};

const URL_BYTES_MAX: usize = 2_048;
const HEADERS_MAX: usize = 16;
const VALUE_CHARS_MAX: usize = 1_024;
const POINTER_CHARS_MAX: usize = 512;
const CURSOR_CHARS_MAX: usize = 1_024;
const INTERVAL_MIN_MS: u32 = 10 * 1_000;
const INTERVAL_MAX_MS: u32 = 24 * 60 * 60 * 1_000;
const PAGES_DEFAULT: u32 = 10;
const PAGES_MAX: u32 = 100;

/// Reads the settings, and where they lead: the addresses behind that are still to be judged.
pub(super) fn read(
    new: &v1::PollSettings,
    policy: &Policy,
) -> Result<(PollSettings, Target), Error> {
    let mut violations = Violations::default();
    let target = violations.take(target(&new.url, policy))?;
    let headers = violations.take(headers(&new.headers))?;
    let pointers = [
        ("items", &new.items),
        ("item_id", &new.item_id),
        ("item_type", &new.item_type),
        ("cursor", &new.cursor),
    ];
    for (name, pointer) in pointers {
        if !is_pointer(pointer) {
            let rule = "must be a JSON pointer of at most 512 characters, such as `/data`";
            violations.add(format!("settings.poll.{name}"), rule);
        }
    }
    if new.initial_cursor.chars().count() > CURSOR_CHARS_MAX
        || new.initial_cursor.chars().any(char::is_control)
    {
        let rule = "must be at most 1024 characters without control characters";
        violations.add("settings.poll.initial_cursor", rule);
    }
    let interval_ms = violations.take(interval_ms(new))?;
    let pages_max = violations.take(pages_max(new.pages_max))?;
    violations.finish()?;
    let Some(target) = target else {
        return Err(Error::invalid("settings.poll.url", "is required"));
    };
    let settings = PollSettings {
        url: new.url.clone(),
        headers: headers.unwrap_or_default(),
        items: new.items.clone(),
        item_id: new.item_id.clone(),
        item_type: new.item_type.clone(),
        cursor: new.cursor.clone(),
        initial_cursor: new.initial_cursor.clone(),
        interval_ms: interval_ms.unwrap_or_default(),
        pages_max: pages_max.unwrap_or_default(),
    };
    Ok((settings, target))
}

/// The contract's form.
pub(super) fn proto(settings: &PollSettings) -> v1::PollSettings {
    let headers = settings.headers.iter();
    v1::PollSettings {
        url: settings.url.clone(),
        headers: headers
            .map(|(name, value)| header_proto(name, value))
            .collect(),
        items: settings.items.clone(),
        item_id: settings.item_id.clone(),
        item_type: settings.item_type.clone(),
        cursor: settings.cursor.clone(),
        initial_cursor: settings.initial_cursor.clone(),
        interval: Some(duration_proto(settings.interval_ms.into())),
        pages_max: settings.pages_max,
    }
}

/// Judges the URL, whatever the cursor will be: it may only stand where it cannot change the host.
fn target(url: &str, policy: &Policy) -> Result<Target, Error> {
    let refused = |text: &str| Error::invalid("settings.poll.url", text);
    if url.len() > URL_BYTES_MAX {
        return Err(refused("must be at most 2048 bytes"));
    }
    let parse = |cursor| reach::target("settings.poll.url", &url.replace(CURSOR, cursor), policy);
    let (target, other) = (parse("1")?, parse("2")?);
    if target.authority() != other.authority() || url.contains(SECRET) {
        return Err(refused(
            "may hold `{cursor}` in its path and query only, and `{secret}` nowhere",
        ));
    }
    Ok(target)
}

fn headers(new: &[v1::Header]) -> Result<Vec<(String, String)>, Error> {
    let field = "settings.poll.headers";
    if new.len() > HEADERS_MAX {
        return Err(Error::invalid(field, "must be at most 16 headers"));
    }
    let mut violations = Violations::default();
    let mut headers = Vec::<(String, String)>::new();
    for (index, header) in new.iter().enumerate() {
        let path = format!("{field}[{index}].name");
        let name = violations.take(header_name(&path, &header.name))?;
        let name = name.unwrap_or_default();
        if !name.is_empty() && headers.iter().any(|(other, _)| *other == name) {
            violations.add(path, "must not be there twice");
        }
        let path = format!("{field}[{index}].value");
        if !is_header_value(&header.value, VALUE_CHARS_MAX) {
            let rule = "must be at most 1024 characters of visible ASCII, blanks and tabs";
            violations.add(path, rule);
        } else if looks_secret(&header.value) {
            let rule = "looks like a secret: write `{secret}`, and give it as `poll_secret`";
            violations.add(path, rule);
        }
        headers.push((name, header.value.clone()));
    }
    violations.finish()?;
    Ok(headers)
}

fn interval_ms(new: &v1::PollSettings) -> Result<u32, Error> {
    let field = "settings.poll.interval";
    let rule = "must be from 10 s to 24 h";
    let interval = new.interval.as_ref();
    let interval = interval.ok_or_else(|| Error::invalid(field, rule))?;
    duration_within(field, interval, INTERVAL_MIN_MS..=INTERVAL_MAX_MS, rule)
}

fn pages_max(pages: u32) -> Result<u32, Error> {
    match pages {
        0 => Ok(PAGES_DEFAULT),
        1..=PAGES_MAX => Ok(pages),
        _ => Err(Error::invalid(
            "settings.poll.pages_max",
            "must be from 1 to 100, or 0 for 10",
        )),
    }
}

/// RFC 6901: empty, or begins with a slash; `~` only before 0 and 1.
fn is_pointer(text: &str) -> bool {
    let is_escape = |rest: &str| rest.starts_with(['0', '1']);
    (text.is_empty() || text.starts_with('/'))
        && text.chars().count() <= POINTER_CHARS_MAX
        && !text.contains('\0')
        && text.split('~').skip(1).all(is_escape)
}

#[cfg(test)]
mod tests {
    use prost_types::Duration;

    use super::*;

    fn new() -> v1::PollSettings {
        v1::PollSettings {
            url: "https://api.example.com/events?after={cursor}".to_owned(),
            headers: vec![header_proto("authorization", "Bearer {secret}")],
            items: "/data".to_owned(),
            item_id: "/id".to_owned(),
            item_type: "/type".to_owned(),
            cursor: "/next~0a".to_owned(),
            initial_cursor: "0".to_owned(),
            interval: Some(duration_proto(60_000)),
            pages_max: 3,
        }
    }

    #[test]
    fn settings_survive_the_way_there_and_back() {
        let (settings, target) = read(&new(), &Policy::default()).unwrap();
        assert_eq!(proto(&settings), new());
        assert_eq!(target.as_str(), "https://api.example.com/events?after=1");
        let default = v1::PollSettings {
            pages_max: 0,
            ..new()
        };
        let (settings, _) = read(&default, &Policy::default()).unwrap();
        assert_eq!(settings.pages_max, 10);
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "it is a table")]
    fn each_field_out_of_its_limits_is_named() {
        let fault = |edit: &dyn Fn(&mut v1::PollSettings)| {
            let mut new = new();
            edit(&mut new);
            match read(&new, &Policy::default()) {
                Err(Error::Invalid(violations)) if violations.len() == 1 => {
                    violations[0].field.replace("settings.poll.", "")
                }
                other => format!("{other:?}"),
            }
        };
        for url in [
            "",
            "http://api.example.com/",
            "https://127.0.0.1/{cursor}",
            "https://{cursor}.example.com/",
            "https://api.example.com:{cursor}/",
            "https://api.example.com/?key={secret}",
            &format!("https://api.example.com/{}", "x".repeat(2_048)),
        ] {
            assert_eq!(fault(&|s| s.url = url.to_owned()), "url", "{url}");
        }
        for pointer in ["data", "/a~", "/a~2", &format!("/{}", "x".repeat(512))] {
            assert_eq!(fault(&|s| s.items = pointer.to_owned()), "items");
            assert_eq!(fault(&|s| s.item_id = pointer.to_owned()), "item_id");
            assert_eq!(fault(&|s| s.item_type = pointer.to_owned()), "item_type");
            assert_eq!(fault(&|s| s.cursor = pointer.to_owned()), "cursor");
        }
        for cursor in ["a\0".to_owned(), "x".repeat(1_025)] {
            let field = fault(&|s| s.initial_cursor.clone_from(&cursor));
            assert_eq!(field, "initial_cursor");
        }
        for interval in [
            None,
            Some(duration_proto(9_999)),
            Some(duration_proto(86_400_001)),
            Some(Duration {
                seconds: -1,
                nanos: 0,
            }),
        ] {
            assert_eq!(fault(&|s| s.interval = interval), "interval");
        }
        assert_eq!(fault(&|s| s.pages_max = 101), "pages_max");
        let header = |name: &str, value: &str| vec![header_proto(name, value)];
        assert_eq!(
            fault(&|s| s.headers = header("host", "")),
            "headers[0].name"
        );
        assert_eq!(
            fault(&|s| s.headers = header("a", "\n")),
            "headers[0].value"
        );
        let marked = header("authorization", "Bearer sk_live_abc");
        assert_eq!(
            fault(&|s| s.headers.clone_from(&marked)),
            "headers[0].value"
        );
        let twice = [header("a", ""), header("A", "")].concat();
        assert_eq!(fault(&|s| s.headers.clone_from(&twice)), "headers[1].name");
        let many = vec![header_proto("a", ""); 17];
        assert_eq!(fault(&|s| s.headers.clone_from(&many)), "headers");
    }
}
