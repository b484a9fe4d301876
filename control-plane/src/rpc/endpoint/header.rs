//! Headers that an endpoint's owner adds: which names and values are allowed.

use posthorn::v1;
use secrecy::SecretString;

use crate::{
    error::Error,
    model::endpoint::EndpointHeader,
    rpc::convert::{Violations, header_name, is_header_value, looks_secret},
};

const HEADERS_MAX: usize = 32;
const VALUE_CHARS_MAX: usize = 4_096;

/// Headers as they were read: settings without secrets, and the secrets beside them.
#[derive(Debug, Default)]
pub(super) struct Headers {
    pub(super) settings: Vec<EndpointHeader>,
    /// The secret values that were given, by name.
    pub(super) new_secrets: Vec<(String, SecretString)>,
}

/// Reads a request's headers. A secret without a value keeps the one that `current` has.
pub(super) fn read(
    new: &[v1::EndpointHeader],
    current: &[EndpointHeader],
) -> Result<Headers, Error> {
    if new.len() > HEADERS_MAX {
        return Err(Error::invalid(
            "settings.headers",
            "must be at most 32 headers",
        ));
    }
    let mut headers = Headers::default();
    let mut violations = Violations::default();
    for (index, header) in new.iter().enumerate() {
        let path = format!("settings.headers[{index}]");
        let name = violations
            .take(header_name(&format!("{path}.name"), &header.name))?
            .unwrap_or_default();
        if !name.is_empty() && headers.settings.iter().any(|other| other.name == name) {
            violations.add(format!("{path}.name"), "must not be there twice");
        }
        let is_kept = header.value.is_empty() && has_secret(current, &name);
        let value_path = format!("{path}.value");
        if header.secret && header.value.is_empty() && !is_kept {
            violations.add(value_path, "is required for a new secret header");
        } else if !is_header_value(&header.value, VALUE_CHARS_MAX) {
            violations.add(
                value_path,
                "must be at most 4096 characters of visible ASCII, blanks and tabs",
            );
        } else if !header.secret && looks_secret(&header.value) {
            violations.add(
                value_path,
                "looks like a secret: set `secret`, so that it is kept encrypted",
            );
        } else if header.secret && !header.value.is_empty() {
            headers
                .new_secrets
                .push((name.clone(), header.value.as_str().into()));
        }
        let value = (!header.secret).then(|| header.value.clone());
        headers.settings.push(EndpointHeader { name, value });
    }
    violations.finish()?;
    Ok(headers)
}

/// The contract's form; secrets have no value in it.
pub(super) fn proto(header: &EndpointHeader) -> v1::EndpointHeader {
    v1::EndpointHeader {
        name: header.name.clone(),
        value: header.value.clone().unwrap_or_default(),
        secret: header.value.is_none(),
    }
}

fn has_secret(headers: &[EndpointHeader], name: &str) -> bool {
    headers
        .iter()
        .any(|header| header.name == name && header.value.is_none())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn header(name: &str, value: &str, secret: bool) -> v1::EndpointHeader {
        v1::EndpointHeader {
            name: name.to_owned(),
            value: value.to_owned(),
            secret,
        }
    }

    fn fields_at_fault(new: &[v1::EndpointHeader]) -> Vec<String> {
        match read(new, &[]) {
            Err(Error::Invalid(violations)) => violations
                .into_iter()
                .map(|violation| violation.field)
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_value_has_nothing_that_ends_a_line() {
        for value in ["", "plain", "a b\tc", &"x".repeat(4_096)] {
            assert!(read(&[header("x", value, false)], &[]).is_ok());
        }
        for value in ["a\r\nb", "a\n", "a\0", "ä", &"x".repeat(8_192)] {
            assert_eq!(
                fields_at_fault(&[header("x", value, false)]),
                ["settings.headers[0].value"]
            );
        }
    }

    #[test]
    fn a_header_at_fault_is_named_by_its_place() {
        let new = [
            header("ok", "1", false),
            header("x y", "1", false),
            header("OK", "1", false),
        ];
        assert_eq!(
            fields_at_fault(&new),
            ["settings.headers[1].name", "settings.headers[2].name"]
        );
        let many = (0..33)
            .map(|n| header(&format!("x{n}"), "", false))
            .collect::<Vec<_>>();
        assert_eq!(fields_at_fault(&many), ["settings.headers"]);
    }

    #[test]
    fn a_value_that_looks_like_a_secret_must_be_one() {
        for value in [
            "sk_live_abc",
            "Bearer phk_abc",
            "-----BEGIN PRIVATE KEY-----",
            "whsec_abc",
        ] {
            let fields = fields_at_fault(&[header("x", value, false)]);
            assert_eq!(fields, ["settings.headers[0].value"]);
            assert!(read(&[header("x", value, true)], &[]).is_ok());
        }
    }

    #[test]
    fn secrets_are_kept_apart_and_can_be_kept() {
        let new = [
            header("Authorization", "s3cret", true),
            header("x", "1", false),
        ];
        let headers = read(&new, &[]).unwrap();
        assert_eq!(headers.settings[0].value, None);
        assert_eq!(headers.new_secrets[0].0, "authorization");
        assert_eq!(headers.new_secrets[0].1.expose_secret(), "s3cret");

        let kept = [header("authorization", "", true)];
        assert_eq!(fields_at_fault(&kept), ["settings.headers[0].value"]);
        assert!(
            read(&kept, &headers.settings)
                .unwrap()
                .new_secrets
                .is_empty()
        );
        let was_plain = [header("x", "", true)];
        assert!(read(&was_plain, &headers.settings).is_err());
    }
}
