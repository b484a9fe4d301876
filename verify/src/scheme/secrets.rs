//! What a scheme asks of its source's secrets, for whoever configures and stores.

use super::{Kind, Scheme, SchemeError, Settings};
use crate::{reference::Reference, special, template::Template};

impl Scheme {
    /// Whether nothing verifies unless a source with these settings has a secret.
    pub fn needs_secret(&self, settings: &Settings) -> bool {
        match self.kind {
            Kind::Hmac | Kind::Hash | Kind::Token | Kind::Basic => true,
            Kind::Asym | Kind::Jwt => self.key.remote.is_none(),
            Kind::Special => special::find(&self.special).is_none_or(|special| {
                let is_keyless = special.key_request.is_none();
                special
                    .needs_secret
                    .map_or(is_keyless, |needs| needs(settings))
            }),
            Kind::None => false,
        }
    }

    /// Whether a secret is of any use, if only in a handshake.
    pub fn takes_secret(&self) -> bool {
        let in_handshake = self.handshake.iter().any(|rule| {
            let is_keyed = rule.digest.as_ref().is_some_and(|digest| digest.keyed);
            let mut checked = rule.check.iter().flat_map(|(left, right)| [left, right]);
            is_keyed
                || checked
                    .any(|reference| reference == "secret" || reference.starts_with("secret:"))
        });
        self.kind != Kind::None || in_handshake
    }

    /// Whether the provider hands a secret over in a handshake.
    pub fn captures_secret(&self) -> bool {
        self.handshake.iter().any(|rule| rule.capture.is_some())
    }

    /// The names, in lower case, of the headers whose value is a secret of the source: tokens, credentials, secrets that
    /// are handed over. They are neither stored nor sent on.
    pub fn secret_headers(&self) -> Vec<String> {
        let is_login = matches!(self.kind, Kind::Token | Kind::Basic);
        let logins = self.sig.at.0.iter().filter(|_| is_login);
        let captured = self
            .handshake
            .iter()
            .filter_map(|rule| rule.capture.as_ref());
        let mut names = Vec::new();
        for reference in logins.chain(captured) {
            let Some(name) = reference.strip_prefix("header:") else {
                continue;
            };
            let name = name.split('|').next().unwrap_or(name).to_ascii_lowercase();
            let aliases = self.header_alias.iter();
            let aliases = aliases.filter(|(known, _)| known.eq_ignore_ascii_case(&name));
            let aliases = aliases.flat_map(|(_, aliases)| aliases);
            names.extend(aliases.map(|alias| alias.to_ascii_lowercase()));
            names.push(name);
        }
        if self.kind == Kind::Basic && self.sig.at.0.is_empty() {
            names.push("authorization".to_owned());
        }
        names
    }

    /// Refuses `secret` where there is none to put in: it would always be missing.
    pub(crate) fn check_places_of_secret(&self) -> Result<(), SchemeError> {
        let items = self.items.iter();
        let items = items.flat_map(|items| items.event_id.0.iter().chain(&items.event_type.0));
        refuse_secret("event_id", self.event_id.0.iter())?;
        refuse_secret("event_type", self.event_type.0.iter())?;
        refuse_secret("items", items)?;
        refuse_role("content", self.content.0.iter())?;
        for (left, right) in &self.require {
            refuse_secret("require", [left].into_iter())?;
            refuse_role("require", [right].into_iter())?;
        }
        self.handshake.iter().try_for_each(|rule| {
            let answer = &rule.answer;
            let texts = answer.text.iter().chain(answer.json.values());
            let shown = texts.chain(answer.headers.values());
            refuse_secret("handshake.answer", shown)?;
            let pairs = rule
                .when
                .equal
                .iter()
                .flat_map(|(left, right)| [left, right]);
            refuse_secret("handshake.when", pairs.chain(&rule.when.present))?;
            let digested = rule.digest.iter().map(|digest| &digest.content);
            refuse_role("handshake.digest.content", digested)?;
            refuse_secret("handshake.check", rule.check.iter().map(|(left, _)| left))
        })
    }

    /// How old a request may be unless its source says otherwise, in seconds. `None`: no time is signed, or only the
    /// scheme's code knows.
    pub fn tolerance_s(&self) -> Option<u32> {
        let signed = self.ts.as_ref().map(|rule| rule.tolerance_s);
        signed.or(self.jwt.max_age_s)
    }
}

fn refuse_secret<'t>(
    field: &str,
    texts: impl Iterator<Item = &'t String>,
) -> Result<(), SchemeError> {
    refuse(field, texts, |reference| {
        matches!(reference, Reference::Secret | Reference::Role(_))
    })
}

fn refuse_role<'t>(
    field: &str,
    texts: impl Iterator<Item = &'t String>,
) -> Result<(), SchemeError> {
    refuse(field, texts, |reference| {
        matches!(reference, Reference::Role(_))
    })
}

fn refuse<'t>(
    field: &str,
    mut texts: impl Iterator<Item = &'t String>,
    is_meant: fn(&Reference) -> bool,
) -> Result<(), SchemeError> {
    let reads = |text: &String| {
        Template::parse_lenient(text).is_ok_and(|template| template.references().any(is_meant))
    };
    if texts.any(reads) {
        return Err(SchemeError::new(field, "cannot hold the secret"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheme(record: &str) -> Scheme {
        Scheme::from_json(record).expect(record)
    }

    #[test]
    fn a_scheme_says_what_it_asks_of_secrets() {
        for (record, needs, takes, captures) in [
            (r#"{"kind":"none"}"#, false, false, false),
            (r#"{"kind":"token"}"#, true, true, false),
            (r#"{"kind":"hmac","alg":"sha256"}"#, true, true, false),
            (r#"{"kind":"asym","alg":"ed25519"}"#, true, true, false),
            (
                r#"{"kind":"asym","key":{"remote":{"url":"https://a.test/","hosts":["a.test"],"form":"pem"}}}"#,
                false,
                true,
                false,
            ),
            (
                r#"{"kind":"none","handshake":[{"check":[["query:t","secret"]]}]}"#,
                false,
                true,
                false,
            ),
            (
                r#"{"kind":"hmac","handshake":[{"capture":"header:X-Hook-Secret"}]}"#,
                true,
                true,
                true,
            ),
        ] {
            let scheme = scheme(record);
            let said = (
                scheme.needs_secret(&Settings::new()),
                scheme.takes_secret(),
                scheme.captures_secret(),
            );
            assert_eq!(said, (needs, takes, captures), "{record}");
        }
    }

    #[test]
    fn headers_that_carry_the_secret_itself_are_named() {
        for (record, names) in [
            (
                r#"{"kind":"hmac","sig":{"at":"header:X-Signature"}}"#,
                &[][..],
            ),
            (
                r#"{"kind":"token","sig":{"at":["header:X-Token","query:token"]}}"#,
                &["x-token"],
            ),
            (r#"{"kind":"basic"}"#, &["authorization"]),
            (
                r#"{"kind":"token","sig":{"at":"header:a"},"header_alias":{"A":["B","a"]}}"#,
                &["b", "a", "a"],
            ),
            (
                r#"{"kind":"hmac","handshake":[{"capture":"header:X-Hook-Secret"}]}"#,
                &["x-hook-secret"],
            ),
        ] {
            assert_eq!(scheme(record).secret_headers(), names, "{record}");
        }
    }
}
