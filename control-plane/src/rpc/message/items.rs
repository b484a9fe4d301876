//! How many items a message holds, counted from its bytes before it is decoded.
//!
//! An empty element of a list is two bytes on the wire and hundreds in memory. So everything that takes memory of its own
//! is an item: each element of a list or a map, and each message within. What they are is read from the descriptors of the
//! contract; what no descriptor knows is skipped, as the decoder does.
//! <https://protobuf.dev/programming-guides/encoding/>

use std::collections::HashMap;

use prost::{Message as _, encoding::decode_varint};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

/// How deep messages may nest: as deep as the decoder goes.
const LEVELS_MAX: usize = 100;

/// What messages are made of, as far as it takes memory.
#[derive(Debug)]
pub(crate) struct Schema {
    shapes: Vec<Shape>,
    inputs: HashMap<String, ShapeId>,
}

/// A message's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShapeId(usize);

/// The fields of a message that hold items, by their numbers.
#[derive(Debug, Default)]
struct Shape(Vec<(u32, Items)>);

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Items {
    /// A message, or a list or a map of them.
    Message(ShapeId),
    /// A list of texts or bytes: each is one item.
    Texts,
    /// A list of numbers, which can come packed, of at least one byte each.
    Numbers,
}

/// How many items there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted(pub(super) usize);

/// Why a message is not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TooMany {
    /// It holds more items than it may.
    Items,
    /// It nests too deep.
    Levels,
    /// It is no message at all.
    Faults,
}

impl Schema {
    /// What the contract says.
    pub(crate) fn of_the_contract() -> Self {
        // The descriptors are part of the program; a test decodes them.
        let files = FileDescriptorSet::decode(posthorn::v1::FILE_DESCRIPTOR_SET);
        Self::new(&files.unwrap_or_default())
    }

    fn new(files: &FileDescriptorSet) -> Self {
        let mut messages = Vec::new();
        for file in &files.file {
            collect(
                &format!(".{}", file.package()),
                &file.message_type,
                &mut messages,
            );
        }
        let ids = messages.iter().enumerate();
        let ids = ids
            .map(|(index, (name, _))| (name.clone(), ShapeId(index)))
            .collect::<HashMap<_, _>>();
        let shapes = messages.iter().map(|(_, message)| shape(message, &ids));
        Self {
            shapes: shapes.collect(),
            inputs: inputs(files, &ids),
        }
    }

    /// The shape of the messages that a method takes.
    pub(crate) fn input(&self, path: &str) -> Option<ShapeId> {
        self.inputs.get(path).copied()
    }

    /// Counts the items of a message, up to so many.
    pub(super) fn count(
        &self,
        shape: ShapeId,
        message: &[u8],
        items_max: usize,
    ) -> Result<Counted, TooMany> {
        let mut count = Count {
            schema: self,
            items: 0,
            items_max,
        };
        count.message(shape, message, 0)?;
        Ok(Counted(count.items))
    }
}

/// All messages with their full names, those within others too.
fn collect<'a>(
    within: &str,
    messages: &'a [DescriptorProto],
    into: &mut Vec<(String, &'a DescriptorProto)>,
) {
    for message in messages {
        let name = format!("{within}.{}", message.name());
        collect(&name, &message.nested_type, into);
        into.push((name, message));
    }
}

fn shape(message: &DescriptorProto, ids: &HashMap<String, ShapeId>) -> Shape {
    let fields = message.field.iter().filter_map(|field| {
        let number = u32::try_from(field.number()).ok()?;
        Some((number, items(field, ids)?))
    });
    Shape(fields.collect())
}

fn items(field: &FieldDescriptorProto, ids: &HashMap<String, ShapeId>) -> Option<Items> {
    match field.r#type() {
        Type::Message => ids.get(field.type_name()).copied().map(Items::Message),
        _ if field.label() != Label::Repeated => None,
        Type::String | Type::Bytes => Some(Items::Texts),
        _ => Some(Items::Numbers),
    }
}

fn inputs(files: &FileDescriptorSet, ids: &HashMap<String, ShapeId>) -> HashMap<String, ShapeId> {
    let mut inputs = HashMap::new();
    for file in &files.file {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                if let Some(id) = ids.get(method.input_type()) {
                    inputs.insert(path, *id);
                }
            }
        }
    }
    inputs
}

struct Count<'a> {
    schema: &'a Schema,
    items: usize,
    items_max: usize,
}

impl Count<'_> {
    fn message(&mut self, id: ShapeId, mut bytes: &[u8], level: usize) -> Result<(), TooMany> {
        if level > LEVELS_MAX {
            return Err(TooMany::Levels);
        }
        let schema = self.schema;
        let fields = schema.shapes.get(id.0).map_or(&[][..], |shape| &shape.0);
        while !bytes.is_empty() {
            let (number, wire) = tag(&mut bytes)?;
            let content = content(&mut bytes, number, wire, level)?;
            let items = fields.iter().find(|(of, _)| *of == number);
            match (items, content) {
                (None, _) => {}
                (Some((_, Items::Message(within))), Some(content)) => {
                    self.add(1)?;
                    self.message(*within, content, level + 1)?;
                }
                (Some((_, Items::Numbers)), Some(content)) => self.add(content.len())?,
                (Some(_), _) => self.add(1)?,
            }
        }
        Ok(())
    }

    fn add(&mut self, items: usize) -> Result<(), TooMany> {
        self.items += items;
        if self.items > self.items_max {
            Err(TooMany::Items)
        } else {
            Ok(())
        }
    }
}

const VARINT: u32 = 0;
const EIGHT_BYTES: u32 = 1;
const LENGTH: u32 = 2;
const GROUP: u32 = 3;
const GROUP_END: u32 = 4;
const FOUR_BYTES: u32 = 5;

/// A field's number and how it is written.
fn tag(bytes: &mut &[u8]) -> Result<(u32, u32), TooMany> {
    let tag = decode_varint(bytes).map_err(|_| TooMany::Faults)?;
    let tag = u32::try_from(tag).map_err(|_| TooMany::Faults)?;
    match tag >> 3 {
        0 => Err(TooMany::Faults),
        number => Ok((number, tag & 7)),
    }
}

/// What a field holds, if it is written with its length.
fn content<'a>(
    bytes: &mut &'a [u8],
    number: u32,
    wire: u32,
    level: usize,
) -> Result<Option<&'a [u8]>, TooMany> {
    match wire {
        VARINT => {
            decode_varint(bytes).map_err(|_| TooMany::Faults)?;
        }
        EIGHT_BYTES => {
            split(bytes, 8)?;
        }
        FOUR_BYTES => {
            split(bytes, 4)?;
        }
        LENGTH => {
            let length = decode_varint(bytes).map_err(|_| TooMany::Faults)?;
            let length = usize::try_from(length).map_err(|_| TooMany::Faults)?;
            return split(bytes, length).map(Some);
        }
        GROUP => skip_group(bytes, number, level + 1)?,
        _ => return Err(TooMany::Faults),
    }
    Ok(None)
}

fn skip_group(bytes: &mut &[u8], number: u32, level: usize) -> Result<(), TooMany> {
    if level > LEVELS_MAX {
        return Err(TooMany::Levels);
    }
    loop {
        let (inner, wire) = tag(bytes)?;
        if wire == GROUP_END {
            return if inner == number {
                Ok(())
            } else {
                Err(TooMany::Faults)
            };
        }
        content(bytes, inner, wire, level)?;
    }
}

fn split<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], TooMany> {
    let (content, rest) = bytes.split_at_checked(length).ok_or(TooMany::Faults)?;
    *bytes = rest;
    Ok(content)
}

#[cfg(test)]
mod tests;
