//! The contract's enums and the model's, whose numbers are each its own.

use posthorn::v1;

use crate::{
    error::Error,
    model::{
        audit::AuditOutcome,
        delivery::{DeadReason, DeliveryActionKind, DeliveryState, ErrorKind},
        inbound::{Channel, InboundActionKind, Verdict},
        object::ObjectState,
    },
};

/// A value of the model for each of the contract's but `UNSPECIFIED`.
pub(in crate::rpc) trait Worded<Proto>: Sized {
    /// Takes the contract's value. None: it is unspecified.
    fn known(value: Proto) -> Option<Self>;
}

/// Writes both directions from one list of the values that both have, so that neither can lack one.
macro_rules! worded {
    ($($model:ident = $proto:ident { $($value:ident),+ $(,)? })+) => {$(
        impl From<$model> for v1::$proto {
            fn from(value: $model) -> Self {
                match value {
                    $($model::$value => Self::$value,)+
                }
            }
        }

        impl Worded<v1::$proto> for $model {
            fn known(value: v1::$proto) -> Option<Self> {
                match value {
                    v1::$proto::Unspecified => None,
                    $(v1::$proto::$value => Some(Self::$value),)+
                }
            }
        }
    )+};
}

worded! {
    DeliveryState = DeliveryState { Pending, Dead, Delivered, Cancelled }
    DeadReason = DeadReason { AttemptsExhausted, Rejected, Gone, LeaseLost }
    ErrorKind = ErrorKind {
        DnsError, ConnectionRefused, ConnectionReset, ConnectionClosed, TlsError, Timeout, ProtocolError,
        ResponseTooLarge, TargetNotAllowed, Http3xx, Http4xx, Http5xx, HandlerFailed, Other,
        DnsNoSuchName, DnsNoAnswer, HostUnreachable, ConnectTimeout, LocalError, TlsCertificateExpired, TlsCertificateNotYetValid, TlsUnknownIssuer, TlsIncompleteChain, TlsWrongName, TlsNoCommonProtocol, TlsClientCertificateWanted, TlsNotTls, TlsClosed, TlsTimeout, AnswerTimeout, AnswerNotHttp, AnswerMalformed, UnexpectedStatus, Http2Error,
    }
    DeliveryActionKind = DeliveryActionKind { Retry, Redrive, Cancel, Discard, Expire }
    Verdict = Verdict { Accepted, Duplicate, Conflict, Rejected, Quarantined }
    Channel = InboundChannel { Webhook, Poll }
    InboundActionKind = InboundActionKind { Reverify, Replay, Hold, Release, Accept }
    ObjectState = EndpointState { Enabled, Paused, Disabled }
    ObjectState = SourceState { Enabled, Paused, Disabled }
    AuditOutcome = AuditOutcome { Done, Denied }
}

/// Reads a value that narrows a list. None: it is unspecified, which is any.
pub(in crate::rpc) fn any_or<Proto, Model>(field: &str, number: i32) -> Result<Option<Model>, Error>
where
    Proto: TryFrom<i32>,
    Model: Worded<Proto>,
{
    match Proto::try_from(number) {
        Ok(value) => Ok(Model::known(value)),
        Err(_) => Err(Error::invalid(field, "must be a known value")),
    }
}

/// Reads a value that must be given.
pub(in crate::rpc) fn one_of<Proto, Model>(field: &str, number: i32) -> Result<Model, Error>
where
    Proto: TryFrom<i32>,
    Model: Worded<Proto>,
{
    let known = Proto::try_from(number).ok().and_then(Model::known);
    known.ok_or_else(|| Error::invalid(field, "must be given, and a known value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(number: i32) -> Result<Option<Verdict>, Error> {
        any_or::<v1::Verdict, _>("verdict", number)
    }

    fn state(number: i32) -> Result<ObjectState, Error> {
        one_of::<v1::SourceState, _>("state", number)
    }

    #[test]
    fn a_filter_is_any_value_or_a_known_one() {
        assert!(matches!(verdict(0), Ok(None)));
        assert!(matches!(verdict(3), Ok(Some(Verdict::Conflict))));
        for number in [6, -1, 65_537] {
            assert!(matches!(verdict(number), Err(Error::Invalid(_))));
        }
    }

    #[test]
    fn a_value_that_must_be_given_is_a_known_one() {
        assert!(matches!(state(2), Ok(ObjectState::Paused)));
        for number in [0, 4, -1, 65_537] {
            assert!(matches!(state(number), Err(Error::Invalid(_))));
        }
    }

    /// What a caller asks for by the contract is called the same in metrics, logs and views.
    #[test]
    fn the_contract_and_the_tables_have_the_same_words() {
        fn same<Model: Copy>(
            of: &[Model],
            word: fn(Model) -> &'static str,
            name: fn(Model) -> &'static str,
        ) {
            for value in of {
                let name = name(*value).to_ascii_lowercase();
                assert!(name.ends_with(&format!("_{}", word(*value))), "{name}");
            }
        }
        same(DeliveryState::ALL, DeliveryState::as_str, |v| {
            v1::DeliveryState::from(v).as_str_name()
        });
        same(DeadReason::ALL, DeadReason::as_str, |v| {
            v1::DeadReason::from(v).as_str_name()
        });
        same(ErrorKind::ALL, ErrorKind::as_str, |v| {
            v1::ErrorKind::from(v).as_str_name()
        });
        same(DeliveryActionKind::ALL, DeliveryActionKind::as_str, |v| {
            v1::DeliveryActionKind::from(v).as_str_name()
        });
        same(Verdict::ALL, Verdict::as_str, |v| {
            v1::Verdict::from(v).as_str_name()
        });
        same(Channel::ALL, Channel::as_str, |v| {
            v1::InboundChannel::from(v).as_str_name()
        });
        same(InboundActionKind::ALL, InboundActionKind::as_str, |v| {
            v1::InboundActionKind::from(v).as_str_name()
        });
        same(ObjectState::ALL, ObjectState::as_str, |v| {
            v1::EndpointState::from(v).as_str_name()
        });
        same(AuditOutcome::ALL, AuditOutcome::as_str, |v| {
            v1::AuditOutcome::from(v).as_str_name()
        });
    }
}
