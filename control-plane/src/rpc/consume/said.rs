//! What a consumer says once its stream stands, held to its limits.

use posthorn::v1::{self, consume_request::Message};
use tonic::Status;

use crate::{
    dispatch::{
        consumer::{HandlerResult, Said},
        stream,
    },
    error::Error,
    model::{
        delivery::{AttemptResult, ErrorKind},
        id::InboundId,
        source::Answer,
    },
    rpc::{
        convert::{duration_within, id},
        source::computed_answer,
    },
};

/// How many handouts one message can name.
const LEASES_MAX: usize = 1_024;
/// How much a handler can say of one handout, in bytes.
const TEXT_BYTES_MAX: usize = 1_024;
const SECOND_MS: u32 = 1_000;
const HOUR_MS: u32 = 3_600 * SECOND_MS;

/// Reads a message. A computed answer goes to `answer`, and nothing is left of the message then.
pub(super) fn read(
    message: Option<Message>,
    answer: impl FnOnce(InboundId, Answer),
) -> Result<Option<Said>, Status> {
    let said = match message {
        None => return Err(Error::invalid("message", "must be set").into()),
        Some(Message::Hello(_)) => return Err(stream::second_hello()),
        Some(Message::Credit(credit)) => Said::Credit(credit.handouts),
        Some(Message::Acks(acks)) => Said::Results(words("acks.acks", acks.acks, read_ack)?),
        Some(Message::Nacks(nacks)) => Said::Results(words("nacks.nacks", nacks.nacks, read_nack)?),
        Some(Message::Extensions(extensions)) => {
            let list = extensions.extensions;
            Said::Extensions(words("extensions.extensions", list, |path, extension| {
                read_extension(path, &extension)
            })?)
        }
        Some(Message::Answer(computed)) => {
            let inbound_id = id("answer.inbound_request_id", &computed.inbound_request_id)?;
            let given = computed.answer.unwrap_or_default();
            answer(inbound_id, computed_answer("answer.answer", &given)?);
            return Ok(None);
        }
    };
    Ok(Some(said))
}

/// Reads the items of a list of at most 1,024.
fn words<T, U>(
    field: &str,
    list: Vec<T>,
    read: impl Fn(&str, T) -> Result<U, Error>,
) -> Result<Vec<U>, Error> {
    if list.len() > LEASES_MAX {
        return Err(Error::invalid(field, "must be at most 1024"));
    }
    let numbered = list.into_iter().enumerate();
    numbered
        .map(|(index, item)| read(&format!("{field}[{index}]"), item))
        .collect()
}

fn read_ack(path: &str, ack: v1::Ack) -> Result<HandlerResult, Error> {
    Ok(HandlerResult {
        lease_id: ack.lease_id,
        result: AttemptResult::Handled,
        text: text(path, "effect", ack.effect)?,
    })
}

fn read_nack(path: &str, nack: v1::Nack) -> Result<HandlerResult, Error> {
    let error = text(path, "error", nack.error)?;
    let result = if nack.permanent {
        AttemptResult::Refused
    } else {
        AttemptResult::Failed(ErrorKind::HandlerFailed)
    };
    Ok(HandlerResult {
        lease_id: nack.lease_id,
        result,
        text: error,
    })
}

fn read_extension(path: &str, extension: &v1::Extension) -> Result<(u64, u64), Error> {
    let field = format!("{path}.by");
    let rule = "must be from 1 s to 1 h";
    let by = extension.by.as_ref();
    let by = by.ok_or_else(|| Error::invalid(&field, rule))?;
    let by_ms = duration_within(&field, by, SECOND_MS..=HOUR_MS, rule)?;
    Ok((extension.lease_id, by_ms.into()))
}

fn text(path: &str, field: &str, text: String) -> Result<String, Error> {
    if text.len() > TEXT_BYTES_MAX {
        let field = format!("{path}.{field}");
        return Err(Error::invalid(field, "must be at most 1024 bytes"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tonic_types::StatusExt as _;

    use super::*;
    use crate::rpc::convert::duration_proto;

    fn field_at_fault(message: Message) -> String {
        let status = read(Some(message), |_, _| {}).unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_details_bad_request();
        details.unwrap().field_violations.remove(0).field
    }

    fn ack(effect: &str) -> Message {
        let effect = effect.to_owned();
        let ack = v1::Ack {
            lease_id: 7,
            effect,
        };
        Message::Acks(v1::Acks { acks: vec![ack] })
    }

    fn nack(error: &str, permanent: bool) -> Message {
        let error = error.to_owned();
        let nack = v1::Nack {
            lease_id: 7,
            error,
            permanent,
        };
        Message::Nacks(v1::Nacks { nacks: vec![nack] })
    }

    fn extension(by_ms: Option<u64>) -> Message {
        let extension = v1::Extension {
            lease_id: 7,
            by: by_ms.map(duration_proto),
        };
        Message::Extensions(v1::Extensions {
            extensions: vec![extension],
        })
    }

    fn answer(id: &str, status: u32) -> Message {
        Message::Answer(v1::ComputedAnswer {
            inbound_request_id: id.to_owned(),
            answer: Some(v1::SourceAnswer {
                status,
                ..v1::SourceAnswer::default()
            }),
        })
    }

    #[test]
    fn words_on_handouts_are_read() {
        let word = |result, text: &str| {
            Some(Said::Results(vec![HandlerResult {
                lease_id: 7,
                result,
                text: text.to_owned(),
            }]))
        };
        let failed = AttemptResult::Failed(ErrorKind::HandlerFailed);
        let credit = Message::Credit(v1::ConsumeCredit { handouts: 9 });
        for (message, said) in [
            (ack("booked"), word(AttemptResult::Handled, "booked")),
            (nack("no", false), word(failed, "no")),
            (nack("no", true), word(AttemptResult::Refused, "no")),
            (
                extension(Some(1_000)),
                Some(Said::Extensions(vec![(7, 1_000)])),
            ),
            (credit, Some(Said::Credit(9))),
        ] {
            let read = read(Some(message), |_, _| panic!("no answer")).unwrap();
            assert_eq!(read, said);
        }
    }

    #[test]
    fn a_computed_answer_goes_its_own_way() {
        let mut given = None;
        let message = answer("in_01h455vb4pex5vsknk084sn02q", 422);
        let said = read(Some(message), |id, answer| {
            given = Some((id, answer.status));
        });
        assert_eq!(said.unwrap(), None);
        let (id, status) = given.unwrap();
        assert_eq!(
            (id.to_string().as_str(), status),
            ("in_01h455vb4pex5vsknk084sn02q", 422)
        );
    }

    #[test]
    fn what_is_out_of_place_or_of_its_limits_is_named() {
        let long = "x".repeat(1_025);
        let many = Message::Acks(v1::Acks {
            acks: vec![v1::Ack::default(); 1_025],
        });
        for (message, field) in [
            (Message::Hello(v1::ConsumeHello::default()), "message"),
            (many, "acks.acks"),
            (ack(&long), "acks.acks[0].effect"),
            (nack(&long, true), "nacks.nacks[0].error"),
            (extension(None), "extensions.extensions[0].by"),
            (extension(Some(999)), "extensions.extensions[0].by"),
            (extension(Some(3_600_001)), "extensions.extensions[0].by"),
            (answer("in_1", 200), "answer.inbound_request_id"),
            (
                answer("in_01h455vb4pex5vsknk084sn02q", 100),
                "answer.answer.status",
            ),
        ] {
            assert_eq!(field_at_fault(message), field);
        }
        assert!(read(None, |_, _| {}).is_err());
    }
}
