//! The messages of a call, framed before they are decoded.
//!
//! tonic keeps what comes of a message for as long as its sender likes, and decodes whatever fits into its length. Here
//! the length is read first and held against the method's limit, so many bytes are taken from the budgets before any is
//! kept, and the message must be whole within a time. Then its items are counted, and paid for as well, before it is
//! passed on. What a message took is given back when the next one is asked for, or when the call ends.
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>

mod body;
mod gzip;
pub(super) mod items;
mod paid;
mod weigh;

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::Frame;
use tokio::time::Sleep;
use tonic::{Status, body::Body};

use self::body::poll_data;
use super::calls::claim::{Charge, Claim};
use crate::{budget::Short, error::Error};
pub(crate) use items::ShapeId;
pub(crate) use paid::Paid;

/// The length of what stands before each message: a flag, and the message's length.
const PREFIX_BYTES: usize = 5;
/// What an item takes in memory at most, besides its own bytes: twice the largest element of a list in the contract, as
/// a list that grows has room for more.
pub(crate) const ITEM_BYTES: usize = 512;

/// What a message of a plain call may take without being paid for, its items included: it is small beside what its place
/// stands for. In bytes.
pub(crate) const FREE_BYTES_MAX: u32 = 4 * 1_024;

/// What is said of a body that is no message of its call.
const NO_MESSAGE: &str = "the request is no message of this call, or is cut off";
/// What is said of a second message.
const ONE_MESSAGE: &str = "this call takes one message";

/// A body whose messages are framed.
pub(crate) struct Messages {
    body: Body,
    claim: Claim,
    shape: Option<ShapeId>,
    paid: Paid,
    /// What came and is not framed yet.
    came: Bytes,
    stage: Stage,
    charge: Option<Charge>,
    /// When the message must be whole. None: nobody waits for it yet.
    deadline: Option<Pin<Box<Sleep>>>,
    has_first: bool,
    /// Whether what is marked as compressed is gzip.
    takes_gzip: bool,
}

type Paying = Pin<Box<dyn Future<Output = Result<Charge, Short>> + Send>>;

/// How far a message has come.
enum Stage {
    /// So much of its prefix.
    Prefix(BytesMut),
    /// It waits until it can be paid for.
    Paying {
        prefix: [u8; PREFIX_BYTES],
        paying: Paying,
    },
    /// So much of it, of the whole length, prefix and all.
    Coming {
        prefix: [u8; PREFIX_BYTES],
        message: BytesMut,
        length: usize,
    },
    /// It is whole and compressed; what it unpacks to waits until it can be paid for.
    Packed {
        message: Bytes,
        length: usize,
        paying: Paying,
    },
    /// It is whole; its items wait until they can be paid for.
    Weighed { message: Bytes, paying: Paying },
    /// There is nothing more, or it was refused.
    Over,
}

impl Messages {
    /// Gives back what the last message of a stream took.
    fn let_go(&mut self) {
        if !self.claim.kind().takes_one {
            drop(self.paid.take());
        }
    }

    /// The messages of a body. What they take is put into `paid`.
    pub(super) fn new(
        body: Body,
        claim: Claim,
        shape: Option<ShapeId>,
        paid: Paid,
        takes_gzip: bool,
    ) -> Self {
        Self {
            takes_gzip,
            body,
            claim,
            shape,
            paid,
            came: Bytes::new(),
            stage: Stage::Prefix(BytesMut::new()),
            charge: None,
            deadline: None,
            has_first: false,
        }
    }

    /// Goes on until a message is whole. None: the body has ended where a message may.
    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Status>> {
        loop {
            match &mut self.stage {
                Stage::Over => return Poll::Ready(Ok(None)),
                Stage::Paying { prefix, paying } => {
                    let paid = ready!(paying.as_mut().poll(context));
                    let prefix = *prefix;
                    let charge = paid.map_err(|short| self.claim.refused(short))?;
                    self.begin(prefix, Some(charge));
                }
                Stage::Packed {
                    message,
                    length,
                    paying,
                } => {
                    let paid = ready!(paying.as_mut().poll(context));
                    let (message, length) = (message.clone(), *length);
                    let charge = paid.map_err(|short| self.claim.refused(short))?;
                    self.paid.put(charge);
                    if let Some(message) = self.unpack(&message, length)? {
                        return Poll::Ready(Ok(Some(message)));
                    }
                }
                Stage::Weighed { message, paying } => {
                    let paid = ready!(paying.as_mut().poll(context));
                    let message = message.clone();
                    let charge = paid.map_err(|short| self.claim.refused(short))?;
                    self.paid.put(charge);
                    return Poll::Ready(self.pass(message).map(Some));
                }
                Stage::Prefix(_) | Stage::Coming { .. } => {
                    if let Some(message) = self.take_in()? {
                        return Poll::Ready(Ok(Some(message)));
                    }
                    if !self.came.is_empty() || self.is_paying() {
                        continue;
                    }
                    if !ready!(self.poll_more(context))? {
                        return Poll::Ready(self.end().map(|()| None));
                    }
                }
            }
        }
    }

    fn is_paying(&self) -> bool {
        let stage = &self.stage;
        matches!(
            stage,
            Stage::Paying { .. } | Stage::Packed { .. } | Stage::Weighed { .. }
        )
    }

    /// Frames what came, as far as it goes.
    fn take_in(&mut self) -> Result<Option<Bytes>, Status> {
        match &mut self.stage {
            Stage::Prefix(have) => {
                if self.claim.kind().takes_one && self.has_first && !self.came.is_empty() {
                    return Err(Error::invalid("", ONE_MESSAGE).into());
                }
                if have.is_empty() && self.came.len() >= PREFIX_BYTES {
                    return self.take_whole();
                }
                let missing = (PREFIX_BYTES - have.len()).min(self.came.len());
                have.extend_from_slice(&self.came.split_to(missing));
                let Ok(prefix) = <[u8; PREFIX_BYTES]>::try_from(&have[..]) else {
                    return Ok(None);
                };
                self.announced(prefix)?;
                Ok(None)
            }
            Stage::Coming {
                prefix,
                message,
                length,
            } => {
                if message.is_empty() {
                    message.reserve(*length);
                    message.extend_from_slice(prefix);
                }
                let missing = (*length - message.len()).min(self.came.len());
                message.extend_from_slice(&self.came.split_to(missing));
                if message.len() < *length {
                    return Ok(None);
                }
                let message = message.split().freeze();
                self.weigh(message)
            }
            _ => Ok(None),
        }
    }

    /// Frames what begins with a whole prefix. A message that has come as one piece is not copied.
    fn take_whole(&mut self) -> Result<Option<Bytes>, Status> {
        let came = self.came.clone();
        let mut prefix = [0; PREFIX_BYTES];
        self.came.copy_to_slice(&mut prefix);
        self.announced(prefix)?;
        match self.stage {
            Stage::Coming { length, .. } if came.len() >= length => {
                self.came.advance(length - PREFIX_BYTES);
                self.weigh(came.slice(..length))
            }
            _ => Ok(None),
        }
    }

    /// The prefix is there: the message is held against the limit, and paid for.
    fn announced(&mut self, prefix: [u8; PREFIX_BYTES]) -> Result<(), Status> {
        let [_, length @ ..] = prefix;
        let length = u32::from_be_bytes(length);
        self.check_length(length)?;
        if self.is_free(length) {
            self.begin(prefix, None);
        } else if let Ok(charge) = self.claim.try_pay(length) {
            self.begin(prefix, Some(charge));
        } else {
            // Waiting for memory is no delay of the sender's.
            self.deadline = None;
            let paying = self.paying(length);
            self.stage = Stage::Paying { prefix, paying };
        }
        Ok(())
    }

    fn check_length(&self, length: u32) -> Result<(), Status> {
        let bytes_max = self.claim.kind().bytes_max;
        if length as usize > bytes_max {
            self.claim.refuse("message_bytes");
            return Err(Status::out_of_range(format!(
                "the message is announced with {length} bytes: this call takes messages of at most {bytes_max}"
            )));
        }
        Ok(())
    }

    fn paying(&self, bytes: u32) -> Paying {
        let claim = self.claim.clone();
        Box::pin(async move { claim.pay(bytes).await })
    }

    /// Whether so many bytes cost nothing.
    fn is_free(&self, bytes: u32) -> bool {
        self.claim.kind().takes_one && bytes <= FREE_BYTES_MAX
    }

    /// The message is paid for, or costs nothing: it may come.
    fn begin(&mut self, prefix: [u8; PREFIX_BYTES], charge: Option<Charge>) {
        let [_, length @ ..] = prefix;
        let length = PREFIX_BYTES + u32::from_be_bytes(length) as usize;
        self.charge = charge;
        self.stage = Stage::Coming {
            prefix,
            message: BytesMut::new(),
            length,
        };
    }

    /// Hands a message on, and is ready for the next.
    fn pass(&mut self, message: Bytes) -> Result<Bytes, Status> {
        if let Some(charge) = self.charge.take() {
            self.paid.put(charge);
        }
        self.stage = Stage::Prefix(BytesMut::new());
        self.deadline = None;
        self.has_first = true;
        if self.claim.kind().takes_one && !self.came.is_empty() {
            return Err(Error::invalid("", ONE_MESSAGE).into());
        }
        Ok(message)
    }

    /// Reads more of the body, within the time that a message has. False: there is no more.
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<Result<bool, Status>> {
        let Poll::Ready(polled) = poll_data(&mut self.body, context) else {
            if self.is_awaited() {
                ready!(self.poll_deadline(context));
                self.claim.refuse("message_timeout");
                let seconds = self.claim.message_timeout().as_secs_f32();
                let late = format!("the message did not arrive within {seconds} s");
                return Poll::Ready(Err(Status::deadline_exceeded(late)));
            }
            return Poll::Pending;
        };
        Poll::Ready(match polled.transpose()? {
            Some(data) => {
                if data.has_remaining() {
                    self.claim.progress();
                }
                self.came = data;
                Ok(true)
            }
            None => Ok(false),
        })
    }

    /// Whether the sender owes something: the first message, the rest of one, or the end of a body that has only one.
    fn is_awaited(&self) -> bool {
        match &self.stage {
            Stage::Prefix(have) => {
                let kind = self.claim.kind();
                let owes_first = kind.owes_first && !self.has_first;
                owes_first || !have.is_empty() || kind.takes_one
            }
            _ => true,
        }
    }

    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let within = self.claim.message_timeout();
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(within)));
        deadline.as_mut().poll(context)
    }

    /// The body has ended.
    fn end(&mut self) -> Result<(), Status> {
        let is_between = matches!(&self.stage, Stage::Prefix(have) if have.is_empty());
        self.stage = Stage::Over;
        if is_between {
            Ok(())
        } else {
            Err(Error::invalid("", NO_MESSAGE).into())
        }
    }
}

impl http_body::Body for Messages {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        // The last message is done with, unless its handler took over what it took.
        self.let_go();
        let message = ready!(self.poll_message(context));
        if message.is_err() {
            self.charge = None;
            self.stage = Stage::Over;
        }
        Poll::Ready(message.transpose().map(|message| message.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.let_go();
    }
}

#[cfg(test)]
mod tests;
