//! API keys: who may call, and what.
//!
//! The text of a key is `phk_`, the 26 characters of its id, `_`, 52 characters of base32 that hold 256 random bits, and
//! a checksum of 8 hexadecimal digits, by which scanners find leaked keys and a mistyped one is refused without a
//! look-up. Only its SHA-256 is kept. Nothing slower is needed: no dictionary has 256 random bits in it.

use std::fmt;

use rand::Rng;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::id::{KeyId, TenantId};

const PREFIX: &str = "phk_";
const ID_LEN: usize = 26;
const SECRET_LEN: usize = 52;
const CHECKSUM_LEN: usize = 8;
/// The length of every key's text, in bytes.
pub(crate) const TEXT_LEN: usize = PREFIX.len() + ID_LEN + 1 + SECRET_LEN + CHECKSUM_LEN;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Everything in its reach, keys and tenants among it.
    Admin,
    /// The registry and deliveries.
    Operator,
    /// Emit events, and look at event types.
    Emitter,
    /// Look, but change nothing.
    Viewer,
    /// Open a node's session.
    Node,
    /// Take events for an internal service.
    Consumer,
}

impl Role {
    /// Every role.
    pub(crate) const ALL: [Self; 6] = [
        Self::Admin,
        Self::Operator,
        Self::Emitter,
        Self::Viewer,
        Self::Node,
        Self::Consumer,
    ];

    /// Its name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Emitter => "emitter",
            Self::Viewer => "viewer",
            Self::Node => "node",
            Self::Consumer => "consumer",
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::Admin => 1,
            Self::Operator => 2,
            Self::Emitter => 4,
            Self::Viewer => 8,
            Self::Node => 16,
            Self::Consumer => 32,
        }
    }
}

/// A set of roles.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Roles(u8);

impl Roles {
    /// The set of the given roles.
    pub(crate) fn of(roles: &[Role]) -> Self {
        Self(roles.iter().fold(0, |bits, role| bits | role.bit()))
    }

    /// Whether the role is in the set.
    pub(crate) fn has(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// Whether one of the roles is in the set.
    pub(crate) fn has_any(self, roles: &[Role]) -> bool {
        self.0 & Self::of(roles).0 != 0
    }

    /// The roles in the set.
    pub(crate) fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.has(*role))
    }

    /// The value of the column.
    pub(crate) fn column(self) -> i16 {
        i16::from(self.0)
    }

    /// Reads the value of the column: at least one role, and no bit that is none.
    pub(crate) fn from_column(value: i16) -> Option<Self> {
        let bits = u8::try_from(value).ok()?;
        (1..=63).contains(&bits).then_some(Self(bits))
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The SHA-256 of a key's text. Compared in constant time only.
#[derive(Clone)]
pub(crate) struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of a text.
    pub(crate) fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Takes the bytes that a column holds.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes that a column holds.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether the text is the one that was hashed.
    pub(crate) fn matches(&self, text: &str) -> bool {
        self.0.ct_eq(&Self::of(text).0).into()
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(..)")
    }
}

/// A key, without its text.
#[derive(Debug, Clone)]
pub(crate) struct ApiKey {
    /// Its id.
    pub id: KeyId,
    /// The tenant that it is bound to. None: it belongs to the whole installation.
    pub tenant_id: Option<TenantId>,
    /// What it is for, for people.
    pub name: String,
    /// What it may do.
    pub roles: Roles,
    /// When it was created.
    pub created_at: i64,
    /// When it stops working. None: never.
    pub expires_at: Option<i64>,
    /// When it was revoked. None: it was not.
    pub revoked_at: Option<i64>,
    /// The hash of its text.
    pub hash: KeyHash,
}

impl ApiKey {
    /// Whether it is neither revoked nor expired at `now`.
    pub(crate) fn is_live(&self, now: i64) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }
}

/// Makes the text of a new key.
pub(crate) fn generate(id: KeyId, rng: &mut impl Rng) -> SecretString {
    let mut bytes = Zeroizing::new([0; 32]);
    rng.fill_bytes(bytes.as_mut_slice());
    let id = id.to_string();
    let mut text = Zeroizing::new(String::with_capacity(TEXT_LEN));
    text.push_str(PREFIX);
    text.push_str(id.strip_prefix("key_").unwrap_or_default());
    text.push('_');
    push_base32(bytes.as_slice(), &mut text);
    let checksum = checksum(&text);
    text.push_str(&checksum);
    text.as_str().into()
}

/// The id that a key's text names. None: it is no key's text.
pub(crate) fn parse(text: &str) -> Option<KeyId> {
    if text.len() != TEXT_LEN || !text.is_ascii() {
        return None;
    }
    let (body, sum) = text.split_at(TEXT_LEN - CHECKSUM_LEN);
    let (id, secret) = body.strip_prefix(PREFIX)?.split_once('_')?;
    let is_secret =
        secret.len() == SECRET_LEN && secret.bytes().all(|byte| ALPHABET.contains(&byte));
    if !is_secret || checksum(body) != sum {
        return None;
    }
    format!("{}_{id}", KeyId::PREFIX).parse().ok()
}

fn push_base32(bytes: &[u8], text: &mut String) {
    let (mut rest, mut bits) = (0_u32, 0);
    for byte in bytes {
        rest = rest << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(letter(rest >> bits));
        }
        rest &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(letter(rest << (5 - bits)));
    }
}

fn letter(value: u32) -> char {
    char::from(ALPHABET[(value & 31) as usize])
}

fn checksum(body: &str) -> String {
    let digest = Sha256::digest(body.as_bytes());
    format!(
        "{:08x}",
        u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
    )
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};
    use secrecy::ExposeSecret as _;

    use super::*;

    fn key() -> (KeyId, String) {
        let mut rng = StdRng::seed_from_u64(3);
        let id = KeyId::new(1_764_000_000_000, &mut rng);
        (id, generate(id, &mut rng).expose_secret().to_owned())
    }

    #[test]
    fn a_key_names_its_id_and_matches_its_hash() {
        let (id, text) = key();
        assert_eq!(text.len(), TEXT_LEN);
        assert_eq!(parse(&text), Some(id));
        assert!(KeyHash::of(&text).matches(&text));
    }

    #[test]
    fn a_key_with_any_character_changed_is_no_key() {
        let (_, text) = key();
        for place in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[place] = if bytes[place] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(bytes).expect("ascii");
            assert_eq!(parse(&changed), None, "{place}");
            assert!(!KeyHash::of(&text).matches(&changed));
        }
    }

    #[test]
    fn text_that_is_no_key_is_refused() {
        let (_, text) = key();
        let other_prefix = text.replacen("phk_", "sk__", 1);
        for text in [
            "",
            "phk_",
            &text[1..],
            &text[..text.len() - 1],
            &text.to_uppercase(),
            &other_prefix,
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&"ä".repeat(TEXT_LEN)), None);
    }

    #[test]
    fn a_key_lives_until_it_expires_or_is_revoked() {
        let (id, text) = key();
        let key = |expires_at, revoked_at| ApiKey {
            id,
            tenant_id: None,
            name: "test".to_owned(),
            roles: Roles::of(&[Role::Admin]),
            created_at: 0,
            expires_at,
            revoked_at,
            hash: KeyHash::of(&text),
        };
        for (expires_at, revoked_at, is_live) in [
            (None, None, true),
            (Some(11), None, true),
            (Some(10), None, false),
            (None, Some(5), false),
            (Some(11), Some(5), false),
        ] {
            assert_eq!(key(expires_at, revoked_at).is_live(10), is_live);
        }
    }

    #[test]
    fn roles_are_kept_as_a_sum() {
        let roles = Roles::of(&[Role::Operator, Role::Viewer]);
        assert_eq!(roles.column(), 10);
        assert_eq!(Roles::from_column(10), Some(roles));
        assert!(roles.has(Role::Viewer) && !roles.has(Role::Admin));
        assert_eq!(
            [
                Roles::from_column(0),
                Roles::from_column(64),
                Roles::from_column(-1)
            ],
            [None; 3]
        );
    }
}
