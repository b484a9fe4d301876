//! Items of real messages, and that nothing which the decoder takes is counted as less than it is.

use std::mem::size_of;

use posthorn::{node, v1};
use proptest::prelude::*;
use prost_types::{ListValue, Struct, Value, value::Kind};

use super::*;
use crate::rpc::message::ITEM_BYTES;

const EMIT: &str = "/posthorn.v1.EventService/EmitEvent";
const EMITS: &str = "/posthorn.v1.EventService/EmitEvents";

fn count(path: &str, message: &[u8], items_max: usize) -> Result<usize, TooMany> {
    let schema = Schema::of_the_contract();
    let shape = schema.input(path).unwrap();
    let counted = schema.count(shape, message, items_max);
    counted.map(|Counted(items)| items)
}

#[test]
fn every_method_of_the_contract_has_a_shape_and_its_messages_are_known() {
    let schema = Schema::of_the_contract();
    let files = FileDescriptorSet::decode(posthorn::v1::FILE_DESCRIPTOR_SET).unwrap();
    for file in &files.file {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                assert!(schema.input(&path).is_some(), "{path}");
            }
        }
        for message in &file.message_type {
            for field in message
                .field
                .iter()
                .filter(|field| field.r#type() == Type::Message)
            {
                let name = field.type_name();
                let known = files.file.iter().any(|file| {
                    let mut messages = Vec::new();
                    collect(
                        &format!(".{}", file.package()),
                        &file.message_type,
                        &mut messages,
                    );
                    messages.iter().any(|(one, _)| one == name)
                });
                assert!(known, "{name}");
            }
        }
    }
}

#[test]
fn events_and_what_they_hold_are_items() {
    let value = |kind| Value { kind: Some(kind) };
    let list = value(Kind::ListValue(ListValue {
        values: vec![value(Kind::BoolValue(true)); 3],
    }));
    let object = value(Kind::StructValue(Struct {
        fields: [("a".to_owned(), list)].into(),
    }));
    // The value, the object, its entry, the list as a value and as such, and its three values.
    let event = v1::EmitEventRequest {
        event_type: "order.paid".to_owned(),
        content: Some(v1::emit_event_request::Content::Data(object)),
        ..v1::EmitEventRequest::default()
    };
    assert_eq!(count(EMIT, &event.encode_to_vec(), 100), Ok(8));
    let batch = v1::EmitEventsRequest {
        events: vec![event; 10],
        ..v1::EmitEventsRequest::default()
    };
    assert_eq!(count(EMITS, &batch.encode_to_vec(), 100), Ok(90));
    assert_eq!(
        count(EMITS, &batch.encode_to_vec(), 89),
        Err(TooMany::Items)
    );
}

#[test]
fn empty_elements_are_counted_before_they_take_memory() {
    let events = v1::EmitEventsRequest {
        events: vec![v1::EmitEventRequest::default(); 70_000],
        ..v1::EmitEventsRequest::default()
    };
    let bytes = events.encode_to_vec();
    assert!(bytes.len() < 150_000);
    assert_eq!(count(EMITS, &bytes, 65_536), Err(TooMany::Items));
}

#[test]
fn an_item_takes_no_more_memory_than_is_paid_for_it() {
    for (what, bytes) in [
        ("event", size_of::<v1::EmitEventRequest>()),
        ("value", size_of::<Value>()),
        ("outcome", size_of::<node::v1::Outcome>()),
        ("header", size_of::<node::v1::Header>()),
        ("lease", size_of::<node::v1::LeaseReference>()),
        ("entry of an object", size_of::<(String, Value)>()),
    ] {
        // A list that grows may have room for twice its elements.
        assert!(2 * bytes <= ITEM_BYTES, "{what}: {bytes}");
    }
}

#[test]
fn what_nests_too_deep_or_is_none_is_said_to_be_so() {
    let mut value = Value { kind: None };
    for _ in 0..60 {
        let values = vec![value];
        value = Value {
            kind: Some(Kind::ListValue(ListValue { values })),
        };
    }
    let event = v1::EmitEventRequest {
        content: Some(v1::emit_event_request::Content::Data(value)),
        ..v1::EmitEventRequest::default()
    };
    assert_eq!(
        count(EMIT, &event.encode_to_vec(), 1_000),
        Err(TooMany::Levels)
    );
    let groups = [0x0b; 200];
    assert_eq!(count(EMIT, &groups, 1_000), Err(TooMany::Levels));
    for bad in [
        &b"\xff\xff\xff\xff\xff\xff"[..],
        b"\x0a\x05ab",
        b"\x02\x00",
        b"\x0b",
        b"\x0c",
        b"\x0b\x14",
        b"\x0f",
    ] {
        assert_eq!(count(EMIT, bad, 1_000), Err(TooMany::Faults), "{bad:?}");
    }
}

proptest! {
    /// What the decoder takes is never called faulty, so nothing that was accepted before is refused.
    #[test]
    fn whatever_can_be_decoded_can_be_counted(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let counted = count(EMITS, &bytes, usize::MAX);
        if v1::EmitEventsRequest::decode(&bytes[..]).is_ok() {
            prop_assert!(counted.is_ok(), "{counted:?}");
        }
    }
}
