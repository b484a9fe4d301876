//! The part of a scheme that speaks of handshakes and answers.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Algorithm, Encoding, KeyDecode};

/// A request that asks for an answer and is no event.
///
/// ```toml
/// # Meta: GET with hub.mode=subscribe
/// [[meta.handshake]]
/// name = "hub"
/// when = { method = "GET", present = ["query:hub.challenge"], equal = [["query:hub.mode", "=subscribe"]] }
/// before_signature = true
/// check = [["query:hub.verify_token", "secret:verify_token"]]
/// answer = { text = "{query:hub.challenge}" }
/// ```
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HandshakeRule {
    /// A short name for logs and metrics.
    pub name: String,
    /// Which requests it is.
    pub when: When,
    /// Whether the provider does not sign it. Otherwise it is answered after the signature was found right.
    pub before_signature: bool,
    /// Pairs of references that must be equal, compared in constant time. `secret` means any of the source's secrets,
    /// `secret:ROLE` any that is configured as `ROLE:value`.
    pub check: Vec<(String, String)>,
    /// The status when `check` fails; 403 when not given.
    pub failed_status: Option<u16>,
    /// A digest that the answer holds, under the reference `digest`.
    pub digest: Option<DigestRule>,
    /// The answer.
    pub answer: HandshakeAnswer,
    /// A reference to a secret that the provider hands over, to be kept as the source's secret.
    pub capture: Option<String>,
    /// A reference to a URL that has to be called for the handshake to be complete.
    pub call_back: Option<String>,
    /// Host names that `call_back` may have; `*` stands for one label.
    pub call_back_hosts: Vec<String>,
}

/// Which requests a handshake is: all that is given must hold.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// The method; `POST` when not given.
    pub method: Option<String>,
    /// References that must be there.
    pub present: Vec<String>,
    /// Pairs of references that must be equal: `["json:/type", "=url_verification"]`.
    pub equal: Vec<(String, String)>,
    /// Whether the body must be empty.
    pub empty_body: bool,
}

/// A digest that an answer holds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DigestRule {
    /// `true`: HMAC with the first secret; `false`: the plain digest.
    #[serde(default)]
    pub keyed: bool,
    /// The digest.
    pub alg: Algorithm,
    /// How the secret becomes the key; the scheme's own `key` rule is not used.
    #[serde(default)]
    pub key: KeyDecode,
    /// What is digested: a template.
    pub content: String,
    /// How it is written.
    #[serde(default)]
    pub enc: Encoding,
}

/// What a handshake is answered. With neither `text` nor `json` the body is empty.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HandshakeAnswer {
    /// The status; 200 when not given.
    pub status: Option<u16>,
    /// A template of a plain text body, at most 1 KiB of printable characters once filled in.
    pub text: Option<String>,
    /// The members of a JSON object: names and templates.
    pub json: BTreeMap<String, String>,
    /// Members of the JSON object that are numbers.
    pub json_numbers: BTreeMap<String, i64>,
    /// Headers and templates.
    pub headers: BTreeMap<String, String>,
}

/// What the provider is answered when the request is no handshake.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnswerRule {
    /// The status of an accepted request; 200 when not given.
    pub ok: Option<u16>,
    /// The body of an accepted request.
    pub body: String,
    /// Its content type; none when empty.
    pub content_type: String,
    /// Further headers of an accepted request.
    pub headers: BTreeMap<String, String>,
    /// The status of a request whose signature is not right; 401 when not given.
    pub bad_signature: Option<u16>,
}
