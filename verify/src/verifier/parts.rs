//! What of a scheme is checked or taken over as it is when it is compiled.

use crate::{
    Scheme, SchemeError, Settings, proof::Proof, reference::is_token, request::GET,
    scheme::BodyForm, values::Names,
};

const POST: &str = "POST";

/// How events come.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    /// By which methods.
    pub(super) methods: Vec<String>,
    /// Whether bodies may be packed.
    pub(super) gzip: bool,
}

impl Transport {
    /// By `POST` unless the scheme says otherwise.
    pub(super) fn compile(scheme: &Scheme) -> Result<Self, SchemeError> {
        let methods = match scheme.methods.as_slice() {
            [] => vec![POST.to_owned()],
            said => said.to_vec(),
        };
        let is_taken = |method: &String| [POST, GET].contains(&method.as_str());
        if !methods.iter().all(is_taken) {
            return Err(SchemeError::new("methods", "must be POST, GET or both"));
        }
        Ok(Self {
            methods,
            gzip: scheme.gzip,
        })
    }
}

/// Names of headers are tokens.
pub(super) fn check_header_names(scheme: &Scheme) -> Result<(), SchemeError> {
    let aliases = scheme.header_alias.iter();
    let mut names = aliases.flat_map(|(name, aliases)| std::iter::once(name).chain(aliases));
    if names.all(|name| is_token(name)) {
        return Ok(());
    }
    Err(SchemeError::new("header_alias", "must be names of headers"))
}

/// Where the scheme's references look.
pub(super) fn names(scheme: &Scheme) -> Names {
    let lower = |names: &Vec<String>| names.iter().map(|name| name.to_ascii_lowercase()).collect();
    Names {
        header_alias: scheme
            .header_alias
            .iter()
            .map(|(name, aliases)| (name.to_ascii_lowercase(), lower(aliases)))
            .collect(),
        json_in_form: scheme.json_in_form.clone(),
        json_lines: scheme.body == BodyForm::JsonLines,
        json_or_form: scheme.body == BodyForm::JsonOrForm,
        multipart: scheme.multipart,
    }
}

/// Every setting without which nothing can be verified is there.
pub(super) fn check_settings(scheme: &Scheme, settings: &Settings) -> Result<(), SchemeError> {
    let is_missing = |name: &String| settings.get(name).is_none_or(String::is_empty);
    match scheme.needed_setting_names().into_iter().find(is_missing) {
        None => Ok(()),
        Some(missing) => Err(SchemeError::new(
            format!("settings.{missing}"),
            "must be given",
        )),
    }
}

/// Whether batches are taken apart.
pub(super) fn splits(scheme: &Scheme) -> Result<bool, SchemeError> {
    match (scheme.split, &scheme.items) {
        (Some(true), None) => Err(SchemeError::new("split", "goes with `items`")),
        (said, items) => Ok(said.unwrap_or(items.is_some())),
    }
}

/// A record says itself that its signature does not cover the body, so that nobody leaves `{body}` out by mistake.
pub(super) fn covers_body(scheme: &Scheme, proof: &Proof) -> Result<bool, SchemeError> {
    match (proof.covers_body(), scheme.covers_body) {
        // Code knows what it covers.
        (None, said) => Ok(said.unwrap_or(true)),
        (Some(false), None) if proof.should_cover_body() => Err(SchemeError::new(
            "content",
            "does not hold the body; say `covers_body = false` when that is meant",
        )),
        (Some(covered), Some(said)) if covered != said => Err(SchemeError::new(
            "covers_body",
            format!("is not so: it is {covered}"),
        )),
        (Some(covered), _) => Ok(covered),
    }
}
