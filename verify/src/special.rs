//! Schemes that no record can express: one file each, listed in [`SPECIALS`].

mod adyen_payments;
mod alipay;
mod aws_sns;
mod braintree;
mod bridge_xyz;
mod certificate;
mod contentful;
mod detached;
mod ebay;
mod exact_online;
mod fireblocks;
mod input;
mod microsoft_graph;
mod neon;
mod payfast;
mod paypal;
mod persona;
mod praxis;
mod treezor;
mod twilio;
pub(crate) mod wechat_pay;
mod wix;

use crate::{
    Answer, Context, Identity, KeyRequest, Refusal, Request, SchemeError, Settings,
    timestamp::Tolerance,
};

/// What a special scheme knows of its source, fixed when the source is compiled.
#[derive(Debug, Clone)]
pub(crate) struct SpecialPlan {
    /// The source's settings.
    pub settings: Settings,
    /// How old and how far ahead a request may be; `Tolerance::Scheme` leaves it to the code.
    pub tolerance: Tolerance,
}

impl SpecialPlan {
    /// A setting of the source.
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }
}

type Verify = fn(&Context<'_>, &SpecialPlan) -> Result<(), Refusal>;
type AskForKey = fn(&Request<'_>, &SpecialPlan) -> Result<Option<KeyRequest>, Refusal>;
type Check = fn(&Settings) -> Result<(), SchemeError>;
type Identify = fn(&Request<'_>, &SpecialPlan) -> Option<Identity>;
type ReadType = fn(&Request<'_>) -> Option<String>;
type MakeAnswer = fn(&Context<'_>, &SpecialPlan) -> Option<Answer>;

/// One special scheme. Only `verify` is needed; what is left out is done as for a record.
#[derive(Debug)]
pub(crate) struct Special {
    /// The name in `special = "..."`.
    pub name: &'static str,
    /// Whether the request is from who it says.
    pub verify: Verify,
    /// Which remote key is needed, if any.
    pub key_request: Option<AskForKey>,
    /// What is wrong with the source's settings, if anything.
    pub check: Option<Check>,
    /// The event's id and type; the record's `event_id` and `event_type` are used when left out or when it gives none.
    pub identify: Option<Identify>,
    /// The event's type alone.
    pub event_type: Option<ReadType>,
    /// Whether a source with these settings verifies nothing without a secret. Left out: it does unless keys are fetched.
    pub needs_secret: Option<fn(&Settings) -> bool>,
    /// The answer to an accepted request, where it depends on the request or has to be signed.
    pub answer: Option<MakeAnswer>,
    /// Headers that are read and may not be repeated, in lower case.
    pub headers: &'static [&'static str],
}

impl Special {
    /// A scheme that only verifies.
    pub(crate) const fn new(name: &'static str, verify: Verify) -> Self {
        Self {
            name,
            verify,
            key_request: None,
            check: None,
            identify: None,
            event_type: None,
            needs_secret: None,
            answer: None,
            headers: &[],
        }
    }
}

/// Every special scheme.
pub(crate) static SPECIALS: &[&Special] = &[
    &adyen_payments::SPECIAL,
    &alipay::SPECIAL,
    &aws_sns::SPECIAL,
    &braintree::SPECIAL,
    &bridge_xyz::SPECIAL,
    &contentful::SPECIAL,
    &ebay::SPECIAL,
    &exact_online::SPECIAL,
    &fireblocks::SPECIAL,
    &microsoft_graph::SPECIAL,
    &neon::SPECIAL,
    &payfast::SPECIAL,
    &paypal::SPECIAL,
    &persona::SPECIAL,
    &praxis::SPECIAL,
    &treezor::SPECIAL,
    &twilio::SPECIAL,
    &wechat_pay::SPECIAL,
    &wix::SPECIAL,
];

/// The special scheme of a name.
pub(crate) fn find(name: &str) -> Option<&'static Special> {
    SPECIALS
        .iter()
        .copied()
        .find(|special| special.name == name)
}

#[cfg(test)]
mod tests;
