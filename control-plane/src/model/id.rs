//! Identifiers: `UUIDv7`s behind a newtype each, written as `TypeID`s.
//!
//! The text form is a prefix, `_`, and 26 characters of lower-case Crockford base32 (TypeID specification 0.3,
//! <https://github.com/jetify-com/typeid>). The ids of events and deliveries carry more than a time:
//!
//! ```text
//!  48 bits  4 bits   4 bits  8 bits  2 bits   48 bits  14 bits
//! +--------+--------+-------+-------+--------+--------+---------+
//! | ms     | ver. 7 | random| shard | variant| random | ordinal |
//! +--------+--------+-------+-------+--------+--------+---------+
//! ```
//!
//! The shard says where the row lives without a look-up. The ordinal of an event is 0; its deliveries are numbered from
//! 1, so a delivery's id names its event, and the deliveries of an event are one range of the primary key.

use std::fmt;

use rand::Rng;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const SUFFIX_LEN: usize = 26;

/// How many deliveries one event can have.
pub(crate) const DELIVERIES_PER_EVENT_MAX: u16 = (1 << 14) - 1;

/// Text that is not the identifier it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be `{prefix}_` followed by 26 characters of lower-case base32")]
pub(crate) struct ParseIdError {
    /// The prefix that was expected.
    pub prefix: &'static str,
}

/// The slice of the data that a row belongs to: a hash of its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Shard(pub u8);

impl Shard {
    /// The shard that a new tenant's data goes to. It stays with the tenant: whoever asks later asks its entry.
    pub(crate) fn of(tenant: TenantId) -> Self {
        Self(Sha256::digest(tenant.0.as_bytes())[0])
    }

    /// The number as columns hold it.
    pub(crate) fn column(self) -> i16 {
        i16::from(self.0)
    }

    /// Reads the number of a column.
    pub(crate) fn from_column(value: i16) -> Option<Self> {
        u8::try_from(value).ok().map(Self)
    }
}

/// An identifier of one kind of things.
pub(crate) trait Id:
    Copy + Eq + std::hash::Hash + Ord + fmt::Debug + fmt::Display + Send + Sync + 'static
{
    /// Takes a value that a column holds.
    fn from_uuid(uuid: Uuid) -> Self;

    /// The value that a column holds.
    fn uuid(self) -> Uuid;
}

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) struct $name(Uuid);

        impl $name {
            /// What the text form begins with, without the `_`.
            pub(crate) const PREFIX: &'static str = $prefix;

            /// Takes a value that a column holds.
            pub(crate) const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The value that a column holds.
            pub(crate) const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl Id for $name {
            fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_typed(f, Self::PREFIX, self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_typed(Self::PREFIX, text)
                    .map(Self)
                    .ok_or(ParseIdError { prefix: Self::PREFIX })
            }
        }
    };
}

macro_rules! plain_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        typed_id!($(#[$doc])* $name, $prefix);

        impl $name {
            /// Makes a new id.
            pub(crate) fn new(now_ms: i64, rng: &mut impl Rng) -> Self {
                Self(uuid_v7(now_ms, rng))
            }
        }
    };
}

plain_id!(
    /// A tenant.
    TenantId, "tnt"
);
plain_id!(
    /// An endpoint.
    EndpointId, "ep"
);
plain_id!(
    /// An API key.
    KeyId, "key"
);
typed_id!(
    /// A process that runs a node. It makes its own.
    NodeId, "node"
);
plain_id!(
    /// A stream of a consumer.
    ConsumerId, "con"
);
plain_id!(
    /// A sealed secret. Never shown.
    SecretId, "sec"
);
plain_id!(
    /// A source.
    SourceId, "src"
);
typed_id!(
    /// An inbound request. An accepted one and its event have the same value.
    InboundId, "in"
);
plain_id!(
    /// Something that was done to an inbound request. Never shown.
    InboundActionId, "act"
);
plain_id!(
    /// A record of who did what.
    AuditId, "aud"
);
typed_id!(
    /// An event.
    EventId, "evt"
);
typed_id!(
    /// A delivery.
    DeliveryId, "dlv"
);

impl serde::Serialize for SourceId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for SourceId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl EventId {
    /// Makes a new id in `shard`.
    pub(crate) fn new(now_ms: i64, shard: Shard, rng: &mut impl Rng) -> Self {
        let mut bytes = uuid_v7(now_ms, rng).into_bytes();
        bytes[7] = shard.0;
        Self(with_ordinal(bytes, 0))
    }

    /// Makes so many ids of one instant, in order.
    pub(crate) fn several(
        count: usize,
        now_ms: i64,
        shard: Shard,
        rng: &mut impl Rng,
    ) -> Vec<Self> {
        let ids = (0..count).map(|_| Self::new(now_ms, shard, rng));
        let mut ids = ids.collect::<Vec<_>>();
        ids.sort_unstable();
        ids
    }

    /// The shard that holds the event.
    pub(crate) fn shard(self) -> Shard {
        Shard(self.0.as_bytes()[7])
    }

    /// When the event was emitted.
    pub(crate) fn created_at(self) -> i64 {
        created_at(self.0)
    }

    /// The id of this event's delivery number `ordinal`, from 1.
    pub(crate) fn delivery(self, ordinal: u16) -> DeliveryId {
        DeliveryId(with_ordinal(self.0.into_bytes(), ordinal))
    }

    /// The first and the last id that a delivery of this event can have.
    pub(crate) fn delivery_range(self) -> (DeliveryId, DeliveryId) {
        (self.delivery(1), self.delivery(DELIVERIES_PER_EVENT_MAX))
    }
}

impl InboundId {
    /// Makes a new id in `shard`.
    pub(crate) fn new(now_ms: i64, shard: Shard, rng: &mut impl Rng) -> Self {
        Self(EventId::new(now_ms, shard, rng).0)
    }

    /// Makes so many ids of one instant, in order.
    pub(crate) fn several(
        count: usize,
        now_ms: i64,
        shard: Shard,
        rng: &mut impl Rng,
    ) -> Vec<Self> {
        let ids = EventId::several(count, now_ms, shard, rng);
        ids.into_iter().map(|id| Self(id.0)).collect()
    }

    /// The event that the request is when it is accepted.
    pub(crate) fn event(self) -> EventId {
        EventId(self.0)
    }

    /// The shard that holds the request.
    pub(crate) fn shard(self) -> Shard {
        self.event().shard()
    }
}

impl DeliveryId {
    /// The event that is delivered.
    pub(crate) fn event(self) -> EventId {
        EventId(with_ordinal(self.0.into_bytes(), 0))
    }

    /// The shard that holds the delivery.
    pub(crate) fn shard(self) -> Shard {
        Shard(self.0.as_bytes()[7])
    }

    /// When the event was emitted.
    pub(crate) fn created_at(self) -> i64 {
        created_at(self.0)
    }
}

/// The lowest `UUIDv7` of an instant: where a range of ids by time begins.
pub(crate) fn uuid_floor(at_ms: i64) -> Uuid {
    let millis = u64::try_from(at_ms).unwrap_or(0).min((1 << 48) - 1);
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    Uuid::from_bytes(bytes)
}

fn uuid_v7(now_ms: i64, rng: &mut impl Rng) -> Uuid {
    let mut random = [0; 10];
    rng.fill_bytes(&mut random);
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(now_ms).unwrap_or(0), &random)
        .into_uuid()
}

fn with_ordinal(mut bytes: [u8; 16], ordinal: u16) -> Uuid {
    let [high, low] = (ordinal & DELIVERIES_PER_EVENT_MAX).to_be_bytes();
    bytes[14] = (bytes[14] & 0xc0) | high;
    bytes[15] = low;
    Uuid::from_bytes(bytes)
}

fn created_at(uuid: Uuid) -> i64 {
    let mut millis = [0; 8];
    millis[2..].copy_from_slice(&uuid.as_bytes()[..6]);
    i64::from_be_bytes(millis)
}

fn write_typed(f: &mut fmt::Formatter<'_>, prefix: &str, uuid: Uuid) -> fmt::Result {
    let mut suffix = [0; SUFFIX_LEN];
    let mut rest = uuid.as_u128();
    for place in suffix.iter_mut().rev() {
        *place = ALPHABET[(rest & 31) as usize];
        rest >>= 5;
    }
    write!(
        f,
        "{prefix}_{}",
        std::str::from_utf8(&suffix).map_err(|_| fmt::Error)?
    )
}

fn parse_typed(prefix: &str, text: &str) -> Option<Uuid> {
    let suffix = text.strip_prefix(prefix)?.strip_prefix('_')?.as_bytes();
    if suffix.len() != SUFFIX_LEN || suffix[0] > b'7' {
        return None;
    }
    suffix
        .iter()
        .try_fold(0_u128, |value, byte| Some(value << 5 | digit(*byte)?))
        .map(Uuid::from_u128)
}

fn digit(byte: u8) -> Option<u128> {
    ALPHABET
        .iter()
        .position(|letter| *letter == byte)
        .map(|place| place as u128)
}

#[cfg(test)]
mod tests;
