//! What a provider says of its event ids: whether one can be claimed, so that a repeat is told from a new event.

use serde::Deserialize;

use super::Many;

/// What the provider's id of an event is.
///
/// A record that says nothing of its `event_id` says that it is unique per webhook, as users mean it who name one.
/// The records of the catalogue all say it; a test holds them to it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IdRule {
    /// What it identifies. As `webhook` when there is an `event_id` and nothing is said, as `none` when there is none.
    pub of: Option<IdOf>,
    /// Among what it is unique.
    pub scope: Option<IdScope>,
    /// How the provider signs a repeat.
    pub repeats: Option<Repeats>,
    /// The page or package that this rests on, such as `docs.stripe.com/webhooks`; `unconfirmed` when none was seen.
    pub page: String,
    /// What is unique per webhook where the id alone is not: references or templates, the first that is whole counts,
    /// and an empty value is a missing one. What it lists must be unique together with the type, which is always part of
    /// the claim, and, unless the id is that of a webhook, hold more than `event_id` holds: a time, or what the event
    /// says. Whoever repeats a request can change what is not signed in it. Without `claim` an id that is not that of a
    /// webhook claims nothing; then, as where what it lists is missing, a signed time is claimed with the body.
    pub claim: Many,
}

/// What an id identifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdOf {
    /// The webhook: the same when it is repeated, and no other has it.
    Webhook,
    /// What caused it: several webhooks of different types can have it.
    Cause,
    /// What it is about, such as an order or a message: every webhook about it has it.
    Object,
    /// What it is about and what became of it; that can happen twice.
    ObjectAndKind,
    /// Nothing: there is no id.
    None,
}

/// Among what an id is unique. A source that takes the requests of several must have what tells them apart in the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdScope {
    /// Everything that the provider sends to anybody.
    Provider,
    /// What the provider sends for one account, shop, workspace or organisation.
    Account,
    /// What the provider sends to one endpoint, webhook or app.
    Endpoint,
}

/// How a provider signs a repeat of a webhook that was not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeats {
    /// Anew, with the time of the repeat.
    Anew,
    /// As the first time; also where nothing that is signed changes with time, or nothing is signed.
    Same,
    /// Nobody says.
    Unknown,
}

impl IdRule {
    /// Whether `event_id` alone can be claimed.
    pub(crate) fn is_of_webhook(&self) -> bool {
        matches!(self.of, None | Some(IdOf::Webhook))
    }
}
