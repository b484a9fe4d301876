//! How a provider signs, as data: the record that built-in providers and users' own schemes share.
//!
//! A record says nothing that is secret. It is read from TOML (the catalogue) or JSON (users), merged with the record
//! that it is `like`, and then compiled into a [`crate::Verifier`].
//!
//! **References** name a value of the request or of the configuration:
//! `header:NAME`, `query:NAME`, `form:NAME`, `json:/pointer`, `last_key:/pointer` (the name of an object's last member),
//! `item:/pointer` and `item_last_key:/pointer` (within one of `items`), `item_sha256` (hex), `sig:KEY` (another entry of the signature header), `param:NAME` (a setting of
//! the source), `claim:NAME` (of a verified JWT's payload), `=literal`, and without an argument `body`, `body_inflated`
//! (gzip undone when the body begins with its magic bytes), `body_sha256` (hex), `body_crc32` (decimal), `method`,
//! `path`, `path_query`, `url` (as registered), `secret`, `form_sorted` (names and values of the form, sorted by name,
//! strung together) and `digest` (of a handshake). In a handshake's `check`, `secret:ROLE` means those of the source's secrets
//! that are configured as `ROLE:value`; with `key = { not_prefix = ["ROLE:"] }` they sign nothing.
//!
//! **Templates** are text with references in braces, `{json:/id}`. A part in square brackets, `[.{json:/action}]`, is
//! left out when one of its references is missing. A backslash takes the next `{`, `}`, `[`, `]` or `\` as it is.
//! Filters follow a bar: `{query:data.id|lower}`, `upper`, `trim`, and the tests `token` (1 to 256 printable
//! characters other than blank and dot), `word` (1 to 256 letters, digits and `-_.~+/=`: no JSON object), `id` (1 to 128
//! letters, digits, `-` and `_`, for paths), `hex` (1 to 64 lower-case hex digits) and `digits` (1 to 19 of them), which
//! refuse a value of another form.
//!
//! In a JSON pointer a `*` takes the first element of an array (in `items.at` all of them). A number keeps the text it has
//! in the body; `null`, objects and arrays count as missing. So does a text with an escape that is no character (half of
//! a surrogate pair): the body with it is genuine all the same.

use std::collections::BTreeMap;

use serde::Deserialize;

pub use self::{
    addresses::Address,
    handshake::{AnswerRule, DigestRule, HandshakeAnswer, HandshakeRule, When},
    id::{IdOf, IdRule, IdScope, Repeats},
    items::ItemsRule,
    jwt::{HashClaim, JwtRule},
    key::{KeyDecode, KeyRule, RemoteKey},
    limits::LimitsRule,
};

mod addresses;
mod handshake;
mod id;
mod items;
mod jwt;
mod key;
mod limits;
mod read;
mod secrets;
mod settings;

pub(crate) use self::read::from_record;
pub use self::settings::Parameter;

/// What a source knows besides its secrets, by name: `access_key`, `webhook_id`, `topic_arn`. Read by `param:` references.
pub type Settings = BTreeMap<String, String>;

/// How requests of one provider are verified, recognised and answered.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scheme {
    /// What proves the sender.
    pub kind: Kind,
    /// With `kind = "special"`: the name of the code that verifies.
    pub special: String,
    /// What signs; for `hmac`, `hash` and `asym`.
    pub alg: Option<Algorithm>,
    /// How a secret's text becomes a key.
    pub key: KeyRule,
    /// Where the signature, token or JWT is and how it is written.
    pub sig: SignatureRule,
    /// What is signed: a template, or several of which one must match (at most four).
    pub content: Many,
    /// Pairs of references that must be equal, the second usually a literal: `["header:x-version", "=1"]`.
    pub require: Vec<(String, String)>,
    /// Where the signing time is.
    pub ts: Option<TimestampRule>,
    /// With `kind = "jwt"`: what the token must say.
    pub jwt: JwtRule,
    /// Other names of headers, in the order they are looked for: `{"webhook-id" = ["svix-id", "webhook-id"]}`.
    pub header_alias: BTreeMap<String, Vec<String>>,
    /// What a verified body must be.
    pub body: BodyForm,
    /// Media types besides the usual ones of `body`, in lower case: `text/plain`.
    pub content_types: Vec<String>,
    /// When the body is a form: the field whose text `json:` references read. Bodies that begin with `{` or `[` are read themselves.
    pub json_in_form: Option<String>,
    /// Whether a form may also be `multipart/form-data`. Its files are no fields.
    pub multipart: bool,
    /// Whether bodies may be packed with gzip without a source asking for it.
    pub gzip: bool,
    /// The methods of events; `POST` when not given. With `GET` the query is the form, and the event's payload.
    pub methods: Vec<String>,
    /// How long its bodies are and how long it waits.
    pub limits: LimitsRule,
    /// The provider's id of the event: references or templates, the first that is whole counts. An empty value is a
    /// missing one.
    pub event_id: Many,
    /// What that id is, and what can be claimed so that a repeat is told from a new event.
    pub id: IdRule,
    /// The provider's type of the event, likewise. It is brought into the form of Posthorn's event types.
    pub event_type: Many,
    /// The events of a batch. `event_type` is then that of a batch without any; one with items is a `batch`.
    pub items: Option<ItemsRule>,
    /// Whether each of the `items` is an event, and not the batch. They are unless this says `false`.
    pub split: Option<bool>,
    /// Requests that ask for an answer and are no events, in the order they are tried.
    pub handshake: Vec<HandshakeRule>,
    /// What the provider is answered.
    pub answer: AnswerRule,
    /// Settings that a source must have; those of `param:` references are known without this.
    pub params: Vec<String>,
    /// What settings mean, by name: of those that a source must have, and of those that it may have.
    pub about: BTreeMap<String, String>,
    /// Whether the signature covers the body. Worked out when not given; `special` schemes cover it unless they say `false`.
    pub covers_body: Option<bool>,
    /// Whether an event should be fetched from the provider before it is believed.
    pub confirm: bool,
    /// For people: what is peculiar about the scheme.
    pub note: String,
}

/// What proves the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Nothing: anybody can send. Must be said, it is never the outcome of an oversight in a user's record.
    #[default]
    None,
    /// A keyed digest (HMAC) of the content.
    Hmac,
    /// A plain digest of a content that holds `{secret}`.
    Hash,
    /// A public-key signature of the content; the secrets are public keys.
    Asym,
    /// A JSON web token.
    Jwt,
    /// The secret itself.
    Token,
    /// HTTP Basic; the secret is `user:password`, or the password when the setting `username` is given.
    Basic,
    /// Code of its own, named by `special`.
    Special,
}

/// A digest or signature algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// MD5: `hash` only.
    Md5,
    /// SHA-1: `hmac` and `hash`.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// Ed25519.
    Ed25519,
    /// ECDSA on P-256 with SHA-256, signature in DER or as 64 bytes.
    EcdsaP256Sha256,
    /// ECDSA on P-256 with SHA-1, likewise.
    EcdsaP256Sha1,
    /// RSA PKCS#1 v1.5 with SHA-1.
    RsaSha1,
    /// RSA PKCS#1 v1.5 with SHA-256.
    RsaSha256,
    /// RSA PKCS#1 v1.5 with SHA-384.
    RsaSha384,
    /// RSA PKCS#1 v1.5 with SHA-512.
    RsaSha512,
    /// RSA PSS with SHA-256.
    RsaPssSha256,
    /// RSA PSS with SHA-512.
    RsaPssSha512,
}

/// Where a signature is and how it is written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignatureRule {
    /// References; with several, each that is present is read.
    pub at: Many,
    /// What a value or a list's entry must begin with: `sha256=`. When it ends with a blank
    /// (`Bearer `) its case is free, and it is that of headers only: in a query the bare token is expected.
    pub prefix: String,
    /// Separates the entries of a value, blanks around them are dropped; one entry when empty.
    pub list: String,
    /// Separates an entry's key from its value (the first occurrence counts); no keys when empty.
    pub kv: String,
    /// Which key's values are signatures.
    pub pick: String,
    /// How the signature's bytes are written.
    pub enc: Encoding,
    /// Whether the n-th place of `at` belongs to the n-th secret alone.
    pub paired: bool,
    /// What a repeated header means.
    pub repeat: Repeat,
}

/// How bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Hex in either case.
    #[default]
    Hex,
    /// Base64 with padding.
    Base64,
    /// Base64url; padding may be there or not.
    Base64url,
    /// Base64 with padding of hex text.
    Base64hex,
}

/// What it means that a header comes more than once with different values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeat {
    /// The request is refused.
    #[default]
    Reject,
    /// Each is read.
    Any,
}

/// Where the signing time is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimestampRule {
    /// A reference; or one of JSON and one of a form, for bodies that are either.
    pub at: Many,
    /// How it is written.
    #[serde(default)]
    pub unit: TimeUnit,
    /// The greatest age in seconds.
    #[serde(default = "default_tolerance_s")]
    pub tolerance_s: u32,
    /// How far ahead it may be, in seconds; as `tolerance_s` when not given.
    #[serde(default)]
    pub future_s: Option<u32>,
    /// Whether it may be missing.
    #[serde(default)]
    pub optional: bool,
}

/// Five minutes.
pub(crate) const fn default_tolerance_s() -> u32 {
    300
}

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    /// Seconds since 1970, digits only.
    #[default]
    S,
    /// Milliseconds since 1970, digits only.
    Ms,
    /// Seconds or milliseconds since 1970: more than eleven digits are milliseconds.
    SOrMs,
    /// Such as `2026-01-02T03:04:05.678Z`.
    Rfc3339,
    /// Such as `Fri, 02 Jan 2026 03:04:05 GMT`.
    HttpDate,
}

/// What a verified body must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyForm {
    /// Anything.
    #[default]
    Any,
    /// JSON in UTF-8, at most 64 levels deep.
    Json,
    /// A form of at most 1,000 fields.
    Form,
    /// JSON when it begins with `{` or `[`, otherwise a form.
    JsonOrForm,
    /// JSON, or JSON lines: one text on each line that is not blank. With lines, each is one of the `items`, or an array of them.
    JsonLines,
}

/// One text or a list of texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Many(pub Vec<String>);

impl<'de> Deserialize<'de> for Many {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            One(String),
            List(Vec<String>),
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::One(text) => Self(vec![text]),
            Form::List(list) => Self(list),
        })
    }
}

/// What is wrong with a scheme or with a source's settings for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {what}")]
pub struct SchemeError {
    /// The field of the record, such as `sig.at`.
    pub field: String,
    /// What is wrong with it, for people.
    pub what: String,
}

impl SchemeError {
    /// An error at a field.
    pub(crate) fn new(field: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            what: what.into(),
        }
    }
}
