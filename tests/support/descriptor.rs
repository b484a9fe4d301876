//! The contract as data: every RPC with its roles, read from the descriptors and the comments in them.

use std::collections::BTreeSet;

use posthorn::v1::{FILE_DESCRIPTOR_SET, Role};
use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

/// The field numbers of services in a file and of methods in a service, as paths of comments have them.
const SERVICE: i32 = 6;
const METHOD: i32 = 2;

/// One RPC of the contract.
#[derive(Debug)]
pub(crate) struct Rpc {
    /// Such as `/posthorn.v1.EventService/EmitEvent`.
    pub(crate) path: String,
    /// The fields of the request: name and number.
    pub(crate) fields: Vec<(String, u32)>,
    /// Who may call it, as its comment says.
    pub(crate) roles: BTreeSet<i32>,
    /// Only keys of the whole installation may call it.
    pub(crate) installation_only: bool,
}

impl Rpc {
    /// The number of a field of the request, if there is one of this name.
    pub(crate) fn field(&self, name: &str) -> Option<u32> {
        let mut fields = self.fields.iter();
        fields.find_map(|(field, number)| (field == name).then_some(*number))
    }
}

/// Every RPC of the contract. Panics when the comment of one says no role.
pub(crate) fn rpcs() -> Vec<Rpc> {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("build.rs wrote descriptors");
    let ours = |file: &&FileDescriptorProto| file.package().starts_with("posthorn.");
    let files = set.file.iter().filter(ours).collect::<Vec<_>>();
    files
        .iter()
        .flat_map(|file| of_file(&files, file))
        .collect()
}

fn of_file(files: &[&FileDescriptorProto], file: &FileDescriptorProto) -> Vec<Rpc> {
    let mut rpcs = Vec::new();
    for (service_index, service) in (0..).zip(&file.service) {
        for (method_index, method) in (0..).zip(&service.method) {
            let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
            let comment = comment(file, &[SERVICE, service_index, METHOD, method_index]);
            let (roles, installation_only) = roles(&path, &comment);
            rpcs.push(Rpc {
                fields: fields(files, method.input_type()),
                path,
                roles,
                installation_only,
            });
        }
    }
    rpcs
}

/// The fields of a message of the package.
fn fields(files: &[&FileDescriptorProto], message: &str) -> Vec<(String, u32)> {
    let name = message
        .rsplit('.')
        .next()
        .expect("splitting gives one part at least");
    let mut messages = files.iter().flat_map(|file| &file.message_type);
    let message = messages.find(|one| one.name() == name);
    let message = message.expect("requests are of the package");
    let fields = message.field.iter();
    fields
        .map(|field| (field.name().to_owned(), field.number().unsigned_abs()))
        .collect()
}

fn comment(file: &FileDescriptorProto, path: &[i32]) -> String {
    let info = file.source_code_info.as_ref();
    let locations = info.expect("the descriptors keep comments").location.iter();
    let location = locations.clone().find(|location| location.path == path);
    location
        .map(|location| location.leading_comments().replace('\n', " "))
        .unwrap_or_default()
}

/// Reads `Roles: admin, operator.`, `Role: node.` and `Role: admin of the installation.`
fn roles(path: &str, comment: &str) -> (BTreeSet<i32>, bool) {
    let sentence = comment
        .split_once("Roles: ")
        .or_else(|| comment.split_once("Role: "))
        .unwrap_or_else(|| panic!("the comment of {path} does not say who may call it"))
        .1;
    let sentence = sentence
        .split(['.', ';'])
        .next()
        .expect("splitting gives one part at least");
    let (names, installation_only) = match sentence.split_once(" of the installation") {
        Some((names, _)) => (names, true),
        None => (sentence, false),
    };
    let roles = names.split(',').map(|name| {
        let value = format!("ROLE_{}", name.trim().to_uppercase());
        let role = Role::from_str_name(&value);
        i32::from(role.unwrap_or_else(|| panic!("{path}: {value} is no role")))
    });
    (roles.collect(), installation_only)
}
