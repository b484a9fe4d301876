//! What a scheme asks of its source's secrets, for whoever configures and stores.

use super::{Kind, Scheme};
use crate::special;

impl Scheme {
    /// Whether nothing verifies unless the source has a secret.
    pub fn needs_secret(&self) -> bool {
        match self.kind {
            Kind::Hmac | Kind::Hash | Kind::Token | Kind::Basic => true,
            Kind::Asym | Kind::Jwt => self.key.remote.is_none(),
            Kind::Special => {
                special::find(&self.special).is_none_or(|special| special.key_request.is_none())
            }
            Kind::None => false,
        }
    }

    /// Whether a secret is of any use, if only in a handshake.
    pub fn takes_secret(&self) -> bool {
        let in_handshake = self.handshake.iter().any(|rule| {
            let is_keyed = rule.digest.as_ref().is_some_and(|digest| digest.keyed);
            let mut checked = rule.check.iter().flat_map(|(left, right)| [left, right]);
            is_keyed || checked.any(|reference| reference == "secret")
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

    /// How old a request may be unless its source says otherwise, in seconds. `None`: no time is signed, or only the
    /// scheme's code knows.
    pub fn tolerance_s(&self) -> Option<u32> {
        let signed = self.ts.as_ref().map(|rule| rule.tolerance_s);
        signed.or(self.jwt.max_age_s)
    }
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
                scheme.needs_secret(),
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
