//! Takes a body in: within the source's limit, at the pace that is demanded, and only while there is room for it.
//!
//! A short body comes in one piece. Of a long one, the first piece is as long as may be forwarded at once, and the
//! following ones are short.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::time::timeout;

use super::{
    admission::{Admission, Room},
    body::Body,
    pace::Pace,
    refusal::Refusal,
    unfit::Unfit,
};
use crate::{
    clock,
    inbound::forward::{FIRST_BYTES_MAX, PART_BYTES_MAX},
};

/// A body being taken in.
pub(super) struct Intake<'a, B> {
    body: &'a mut B,
    bytes_max: u64,
    bytes: u64,
    pace: Pace,
    admission: Arc<Admission>,
    /// What was read beyond the last piece, with its room.
    rest: Option<(Bytes, Room)>,
    ended: bool,
}

/// A piece of a body.
pub(super) struct Taken {
    pub(super) bytes: Bytes,
    /// The room that it takes, unless it is empty.
    pub(super) room: Option<Room>,
    /// Whether the body goes on.
    pub(super) more: bool,
}

impl<'a, B: Body> Intake<'a, B> {
    /// Nothing is read yet.
    pub(super) fn new(
        body: &'a mut B,
        bytes_max: u64,
        pace: Pace,
        admission: Arc<Admission>,
    ) -> Self {
        Self {
            body,
            bytes_max,
            bytes: 0,
            pace,
            admission,
            rest: None,
            ended: false,
        }
    }

    /// The first piece: all of a short body.
    pub(super) async fn first(&mut self) -> Result<Taken, Unfit> {
        self.piece(FIRST_BYTES_MAX).await
    }

    /// The next piece.
    pub(super) async fn next(&mut self) -> Result<Taken, Unfit> {
        self.piece(PART_BYTES_MAX).await
    }

    /// A piece of `full` bytes, or what there is of the body.
    async fn piece(&mut self, full: usize) -> Result<Taken, Unfit> {
        let Some((first, mut room)) = self.read().await? else {
            return Ok(Taken {
                bytes: Bytes::new(),
                room: None,
                more: false,
            });
        };
        let mut bytes = first;
        let mut gathered = BytesMut::new();
        while bytes.len() + gathered.len() < full {
            let Some((next, its_room)) = self.read().await? else {
                break;
            };
            if gathered.is_empty() {
                gathered.extend_from_slice(&bytes);
                bytes = Bytes::new();
            }
            gathered.extend_from_slice(&next);
            room.join(its_room);
        }
        if !gathered.is_empty() {
            bytes = gathered.freeze();
        }
        self.keep_rest(&mut bytes, &mut room, full);
        let more = self.rest.is_some() || !self.ended;
        Ok(Taken {
            bytes,
            room: Some(room),
            more,
        })
    }

    /// Keeps what exceeds a piece for the next one.
    fn keep_rest(&mut self, bytes: &mut Bytes, room: &mut Room, full: usize) {
        if bytes.len() > full {
            let rest = bytes.split_off(full);
            let its_room = room.split(rest.len());
            self.rest = Some((rest, its_room));
        }
    }

    /// What comes next, with room for it. Nothing at the end.
    async fn read(&mut self) -> Result<Option<(Bytes, Room)>, Unfit> {
        if let Some(rest) = self.rest.take() {
            return Ok(Some(rest));
        }
        if self.ended {
            return Ok(None);
        }
        let began = clock::now();
        let next = timeout(self.pace.left(), self.body.next()).await;
        let Some(bytes) = next.map_err(|_| Refusal::BodySlow)?? else {
            self.ended = true;
            return Ok(None);
        };
        let waited = clock::now().saturating_duration_since(began);
        self.pace.came(waited, bytes.len());
        self.bytes += bytes.len() as u64;
        if self.bytes > self.bytes_max {
            return Err(Refusal::BodyLong.into());
        }
        let mut room = self.admission.room();
        room.widen(bytes.len())?;
        Ok(Some((bytes, room)))
    }
}
