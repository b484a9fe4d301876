//! Who sent an inbound request: the verifiers of webhook providers, as pure functions.
//!
//! A [`Scheme`] says how a provider signs; [`catalogue()`] holds the built-in ones. [`Verifier::compile`] turns one, with
//! the settings of a source, into a [`Verifier`], which verifies, recognises and answers requests.
//!
//! Nothing here waits, reads a clock or opens a socket: the time, the secrets and the fetched keys are arguments. Nothing
//! here remembers: whether an event was seen before, or a signature used before, is the caller's to know. What a verifier
//! accepts was signed with one of the source's secrets; what the signature does not cover ([`Verifier::covers_body`]) is
//! only claimed.

pub use crate::{
    answer::{Answer, Answers},
    catalogue::{Catalogue, Provider, catalogue},
    claim::{Claim, ClaimedBy},
    context::Context,
    crypto::secret::{SECRET_BYTES_MAX, Secret, SecretError},
    handshake::{Handshake, Handshaken},
    identify::{Identity, Item, identity},
    refusal::Refusal,
    remote::{FETCHED_BYTES_MAX, Fetched, KeyForm, KeyRequest},
    request::{Headers, Request},
    scheme::{Scheme, SchemeError, Settings},
    special::wechat_pay::open_resource as open_wechat_pay_resource,
    timestamp::Tolerance,
    verifier::{Options, Verifier},
};

mod answer;
mod catalogue;
mod claim;
mod context;
mod crypto;
mod form;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod identify;
mod json;
#[cfg(test)]
mod kit;
mod proof;
mod reference;
mod refusal;
mod remote;
mod request;
pub mod scheme;
mod special;
mod template;
mod timestamp;
mod values;
mod verifier;
