//! The words for refusals that programs can tell apart: the reasons of `google.rpc.ErrorInfo`.

/// Defines the words and the list of them.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal,)+) => {
        /// Why a call is refused that is well-formed and that its caller may make. A word keeps its meaning for ever.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// All of them.
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$name),+];

            /// The word.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }
    };
}

reasons! {
    /// The guard denies where the URL leads.
    TargetNotAllowed = "TARGET_NOT_ALLOWED",
    /// Another object of the kind has the name.
    NameTaken = "NAME_TAKEN",
    /// The key stands for an event with other content, whose `event_id` is beside the reason.
    IdempotencyKeyReused = "IDEMPOTENCY_KEY_REUSED",
    /// The `request_id` stands for a call with other content.
    RequestIdReused = "REQUEST_ID_REUSED",
    /// The object was changed since it was read.
    EtagStale = "ETAG_STALE",
    /// The body was removed at the end of its retention.
    PayloadErased = "PAYLOAD_ERASED",
    /// The tenant has endpoints or sources.
    TenantInUse = "TENANT_IN_USE",
    /// The endpoint has open deliveries.
    OpenDeliveries = "OPEN_DELIVERIES",
    /// The endpoint is a handler of a consumer group.
    IsHandler = "IS_HANDLER",
    /// The endpoint is paused or disabled.
    EndpointNotEnabled = "ENDPOINT_NOT_ENABLED",
    /// The endpoint is disabled.
    EndpointDisabled = "ENDPOINT_DISABLED",
    /// No master key that is configured opens the endpoint's secrets.
    SecretsSealed = "SECRETS_SEALED",
    /// 10 secrets are valid at once.
    TooManySecrets = "TOO_MANY_SECRETS",
    /// The source's scheme needs no secret, or it is only polled.
    NoSecretNeeded = "NO_SECRET_NEEDED",
    /// More endpoints are subscribed to the event type than one event may have deliveries.
    TooManySubscribers = "TOO_MANY_SUBSCRIBERS",
    /// The node and the control plane speak no version of the protocol in common.
    ProtocolNotSpoken = "PROTOCOL_NOT_SPOKEN",
    /// The delivery is delivered or cancelled.
    DeliveryEnded = "DELIVERY_ENDED",
    /// The delivery just changed.
    DeliveryChanged = "DELIVERY_CHANGED",
    /// An earlier retry has not had its attempt yet.
    RetryPending = "RETRY_PENDING",
    /// An attempt is under way.
    AttemptUnderWay = "ATTEMPT_UNDER_WAY",
    /// The inbound request was rejected or quarantined.
    NotVerified = "NOT_VERIFIED",
    /// The inbound request verified already.
    VerifiedAlready = "VERIFIED_ALREADY",
    /// The inbound request is a batch.
    IsBatch = "IS_BATCH",
    /// The inbound request is a handshake, and no event.
    IsHandshake = "IS_HANDSHAKE",
    /// The inbound request fails again, for the reason that the message names.
    FailsAgain = "FAILS_AGAIN",
    /// The source is gone, or its secret does not open.
    SourceGone = "SOURCE_GONE",
    /// The source is paused or disabled.
    SourceNotEnabled = "SOURCE_NOT_ENABLED",
    /// The source is not polled.
    SourceNotPolled = "SOURCE_NOT_POLLED",
    /// The credential was a token, which is never kept.
    CredentialNotKept = "CREDENTIAL_NOT_KEPT",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o5_every_reason_has_its_line_in_the_docs() {
        let page = include_str!("../../../docs/refusals.md");
        for reason in Reason::ALL {
            let line = format!("| `{}` | ", reason.as_str());
            assert!(page.contains(&line), "{line}");
        }
    }
}
