//! How an attempt goes: which of its phases took how long, over which connection, to whom.
//!
//! Written while the attempt is made, so that one that is cut off has told how far it came.

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use http::Version;
use posthorn::node::v1;
use posthorn_outbound::Failure;
use tokio::time::Instant;

/// What an attempt does one after the other. Over a kept connection it does only the last.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Phase {
    Dns,
    Connect,
    Tls,
    Answer,
}

/// What is known of an attempt so far.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    current: Option<(Phase, Instant)>,
    spent: [Option<Duration>; 4],
    peer: Option<SocketAddr>,
    version: Option<Version>,
}

impl Trace {
    /// The next phase begins.
    pub(crate) fn enter(&mut self, phase: Phase, now: Instant) {
        self.leave(now);
        self.current = Some((phase, now));
    }

    /// The phase is over.
    pub(crate) fn leave(&mut self, now: Instant) {
        if let Some((phase, since)) = self.current.take() {
            self.spent[phase as usize] = Some(now.saturating_duration_since(since));
        }
    }

    /// An address is spoken to.
    pub(crate) fn reach(&mut self, peer: SocketAddr) {
        self.peer = Some(peer);
    }

    /// An answer came in this version of HTTP.
    pub(crate) fn answered(&mut self, version: Version) {
        self.version = Some(version);
    }

    /// What it is called that the time is up now.
    pub(crate) fn timed_out(&self) -> Failure {
        match self.current {
            Some((Phase::Dns, _)) => Failure::DnsNoAnswer,
            Some((Phase::Connect, _)) => Failure::ConnectTimeout,
            Some((Phase::Tls, _)) => Failure::TlsTimeout,
            Some((Phase::Answer, _)) | None => Failure::AnswerTimeout,
        }
    }

    /// What is reported of an attempt that is over, without its URL.
    pub(crate) fn report(mut self, now: Instant) -> v1::Trace {
        self.leave(now);
        let micros = |phase: Phase| {
            let spent = self.spent[phase as usize]?;
            Some(u32::try_from(spent.as_micros()).unwrap_or(u32::MAX))
        };
        v1::Trace {
            http_version: self.version.map_or(0, number),
            dns_us: micros(Phase::Dns),
            connect_us: micros(Phase::Connect),
            tls_us: micros(Phase::Tls),
            answer_us: micros(Phase::Answer),
            peer: self.peer.map(text).unwrap_or_default(),
            url: String::new(),
        }
    }
}

fn text(peer: SocketAddr) -> String {
    // Long enough for most, so that it is written at once.
    let mut text = String::with_capacity(48);
    let _never = write!(text, "{peer}");
    text
}

fn number(version: Version) -> u32 {
    match version {
        Version::HTTP_10 => 10,
        Version::HTTP_2 => 20,
        _ => 11,
    }
}
