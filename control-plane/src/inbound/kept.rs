//! Which headers of a request are kept: those that somebody has a use for, and none that could be a credential.
//!
//! A list of what is kept, and not of what is left out: nobody knows every name that tokens go by. Kept are what the scheme
//! reads, so that a request can be verified again, what goes out with events, what says how the body is to be read, who
//! posted it by which way, and what has the name of an id or a kind.

/// What HTTP and tracing have to say of a request.
const KEPT: &[&str] = &[
    "accept",
    "accept-encoding",
    "cdn-loop",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-type",
    "date",
    "digest",
    "content-digest",
    "expect",
    "forwarded",
    "from",
    "host",
    "idempotency-key",
    "origin",
    "traceparent",
    "tracestate",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];
/// How the names of ids and kinds end.
const ENDS: &[&str] = &[
    "-action",
    "-attempt",
    "-delivery",
    "-environment",
    "-event",
    "-id",
    "-kind",
    "-retry-num",
    "-retry-reason",
    "-time",
    "-timestamp",
    "-topic",
    "-type",
    "-version",
];
/// What no such name holds: these are of credentials, or could be.
const CREDENTIAL: &[&str] = &[
    "access",
    "assertion",
    "auth",
    "cookie",
    "cred",
    "csrf",
    "jwt",
    "key",
    "login",
    "otp",
    "pass",
    "private",
    "secret",
    "session",
    "sso",
    "ticket",
    "token",
    "user",
    "xsrf",
];

/// Whether a header is kept; `read` are those that the source reads or sends on. `name` is in lower case.
pub(super) fn is_kept(name: &str, read: &[String]) -> bool {
    KEPT.contains(&name) || read.iter().any(|known| known == name) || is_plain(name)
}

fn is_plain(name: &str) -> bool {
    let says = |words: &[&str]| words.iter().any(|word| name.contains(word));
    let is_of_cloud_events = name.strip_prefix("ce-").is_some();
    (is_of_cloud_events || ENDS.iter().any(|end| name.ends_with(end))) && !says(CREDENTIAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s12_no_header_that_can_hold_a_credential_is_kept() {
        for name in [
            "api-key",
            "apikey",
            "authorization",
            "authentication",
            "bearer",
            "cf-access-client-id",
            "cf-access-client-secret",
            "cf-access-jwt-assertion",
            "cookie",
            "private-token",
            "proxy-authorization",
            "set-cookie",
            "verif-hash",
            "x-access-token",
            "x-amz-security-token",
            "x-api-key",
            "x-auth-token",
            "x-goog-iap-jwt-assertion",
            "x-session-id",
            "x-csrf-token",
            "x-vault-token",
            "x-whatever",
        ] {
            assert!(!is_kept(name, &[]), "{name}");
        }
    }

    #[test]
    fn s12_what_is_of_use_is_kept() {
        let read = ["x-hub-signature-256".to_owned()];
        for name in [
            "content-type",
            "x-hub-signature-256",
            "x-github-event",
            "x-github-delivery",
            "x-request-id",
            "x-slack-retry-num",
            "webhook-id",
            "ce-source",
            "traceparent",
        ] {
            assert!(is_kept(name, &read), "{name}");
        }
    }
}
