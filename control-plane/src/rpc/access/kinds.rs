//! What kinds of calls there are: what each takes of the limits, and how much it may bring.

/// What a call takes a place of, while it is under way. Each class has places of its own, so that none is behind another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Open to everybody: health.
    Open,
    /// What must never be behind anything: revocation.
    Vital,
    /// Reads one object.
    Get,
    /// Reads a list, or a payload that can be long.
    Scan,
    /// Changes something. It goes on to its end, whatever its caller does.
    Change,
    /// Emits one event.
    Emit,
    /// A stream of emits.
    EmitStream,
    /// A consumer's stream.
    Consume,
    /// A node's stream.
    Node,
    /// Reflection.
    Reflection,
}

/// How the calls of a method are treated.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// What it takes a place of.
    pub class: Class,
    /// Whether it takes one message, and not a stream of them.
    pub takes_one: bool,
    /// Whether its caller has to say something at once, and not when there is something to say.
    pub owes_first: bool,
    /// The longest message, in bytes.
    pub bytes_max: usize,
    /// How many elements of lists and maps, and how many messages within, one message may hold.
    pub items_max: usize,
}

const KIB: usize = 1_024;
const MIB: usize = 1_024 * KIB;

const fn plain(class: Class, bytes_max: usize, items_max: usize) -> Kind {
    Kind {
        class,
        takes_one: true,
        owes_first: true,
        bytes_max,
        items_max,
    }
}

const fn stream(class: Class, bytes_max: usize, items_max: usize) -> Kind {
    Kind {
        takes_one: false,
        ..plain(class, bytes_max, items_max)
    }
}

/// Health.
pub(crate) const OPEN: &Kind = &plain(Class::Open, KIB, 64);
/// Reflection.
pub(crate) const REFLECTION: &Kind = &stream(Class::Reflection, KIB, 64);
/// Revocation.
pub(crate) const VITAL: &Kind = &plain(Class::Vital, KIB, 64);
/// A call that reads one object.
pub(crate) const GET: &Kind = &plain(Class::Get, 16 * KIB, 256);
/// A list, or a payload.
pub(crate) const SCAN: &Kind = &plain(Class::Scan, 64 * KIB, 1_024);
/// A change.
pub(crate) const CHANGE: &Kind = &plain(Class::Change, 2 * MIB, 16_384);
/// A plain emit.
pub(crate) const EMIT: &Kind = &plain(Class::Emit, 4 * MIB, 65_536);
/// A stream of emits.
pub(crate) const EMITS: &Kind = &stream(Class::EmitStream, 4 * MIB, 65_536);
/// A consumer's stream.
pub(crate) const CONSUME: &Kind = &stream(Class::Consume, 4 * MIB, 16_384);
/// A node's session: a thousand outcomes with their excerpts.
pub(crate) const SESSION: &Kind = &stream(Class::Node, 16 * MIB, 98_304);
/// What a node forwards: the first part of a body with its head, or a later part. There is nothing to forward until a
/// provider comes.
pub(crate) const FORWARD: &Kind = &Kind {
    owes_first: false,
    ..stream(Class::Node, MIB, 4_096)
};
