//! What a whole message weighs: what it unpacks to, and its items. Both are paid for before they are made.

use bytes::Bytes;
use tonic::Status;

use super::{
    ITEM_BYTES, Messages, NO_MESSAGE, PREFIX_BYTES, Stage, gzip,
    items::{Counted, TooMany},
};
use crate::error::Error;

impl Messages {
    /// The message is whole: its items are counted and paid for.
    pub(super) fn weigh(&mut self, message: Bytes) -> Result<Option<Bytes>, Status> {
        let is_plain = message.first() == Some(&0);
        if !is_plain && self.takes_gzip {
            return self.pay_to_unpack(message);
        }
        let items_max = self.claim.kind().items_max;
        let counted = match self.shape {
            // What is compressed in another way is refused by the decoder.
            Some(shape) if is_plain => {
                let content = &message[PREFIX_BYTES..];
                self.claim.schema().count(shape, content, items_max)
            }
            _ => Ok(Counted(0)),
        };
        let Counted(items) = counted.map_err(|why| self.not_counted(why, items_max))?;
        // What is paid for already, or never.
        let owed = if self.charge.is_none() {
            message.len()
        } else {
            0
        };
        let bytes = u32::try_from(items * ITEM_BYTES + owed).unwrap_or(u32::MAX);
        if items == 0 || self.is_free(bytes) {
            return self.pass(message).map(Some);
        }
        if let Ok(charge) = self.claim.try_pay(bytes) {
            self.paid.put(charge);
            return self.pass(message).map(Some);
        }
        self.deadline = None;
        let paying = self.paying(bytes);
        self.stage = Stage::Weighed { message, paying };
        Ok(None)
    }

    fn not_counted(&self, why: TooMany, items_max: usize) -> Status {
        let text = match why {
            TooMany::Items => {
                self.claim.refuse("message_items");
                format!(
                    "the message holds more than {items_max} elements and messages within: send less at a time"
                )
            }
            TooMany::Levels => {
                self.claim.refuse("message_items");
                "the message holds messages within messages too many levels deep".to_owned()
            }
            TooMany::Faults => NO_MESSAGE.to_owned(),
        };
        Error::invalid("", text).into()
    }

    /// A compressed message is whole: what it says that it unpacks to is held against the limit, and paid for.
    fn pay_to_unpack(&mut self, message: Bytes) -> Result<Option<Bytes>, Status> {
        let announced = gzip::announced(&message[PREFIX_BYTES..]);
        let length = announced.ok_or_else(|| Error::invalid("", NO_MESSAGE))?;
        self.check_length(length)?;
        if self.is_free(length) {
            return self.unpack(&message, length as usize);
        }
        if let Ok(charge) = self.claim.try_pay(length) {
            self.paid.put(charge);
            return self.unpack(&message, length as usize);
        }
        self.deadline = None;
        let paying = self.paying(length);
        let length = length as usize;
        self.stage = Stage::Packed {
            message,
            length,
            paying,
        };
        Ok(None)
    }

    /// Unpacks a message that is paid for.
    pub(super) fn unpack(
        &mut self,
        message: &Bytes,
        length: usize,
    ) -> Result<Option<Bytes>, Status> {
        let plain = gzip::unpack(&message[PREFIX_BYTES..], length);
        self.weigh(plain.ok_or_else(|| Error::invalid("", NO_MESSAGE))?)
    }
}
