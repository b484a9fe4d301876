//! A source's scheme: compiled to see that it can be used, and what a fault in it is called in a request.

use std::borrow::Cow;

use posthorn_guard::Policy;
use posthorn_verify::{Scheme, SchemeError, Verifier};

use crate::{
    error::Error,
    model::source::{CUSTOM, SourceSettings},
    rpc::reach,
};

/// A scheme with what it compiles to.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) scheme: Cow<'static, Scheme>,
    pub(super) verifier: Verifier,
}

/// Compiles the scheme of the settings. None: the source is only polled.
pub(super) fn compile(settings: &SourceSettings) -> Result<Option<Compiled>, Error> {
    let is_custom = settings.provider.as_deref() == Some(CUSTOM);
    match (&settings.scheme, is_custom) {
        (None, true) => {
            let rule = "is required with the provider `custom`";
            return Err(Error::invalid("settings.scheme", rule));
        }
        (Some(_), false) => {
            let rule = "goes with the provider `custom` only";
            return Err(Error::invalid("settings.scheme", rule));
        }
        _ => {}
    }
    if settings.provider.is_none() && settings.poll.is_none() {
        let rule = "is required, unless `poll` is set";
        return Err(Error::invalid("settings.provider", rule));
    }
    let compiled = || {
        Ok(match (settings.scheme()?, settings.verifier()?) {
            (Some(scheme), Some(verifier)) => Some(Compiled { scheme, verifier }),
            _ => None,
        })
    };
    compiled().map_err(|fault| invalid(&fault, is_custom))
}

/// Refuses a scheme of the caller's own whose keys are fetched, or whose handshakes are completed, where Posthorn does not
/// go. Only what is written is judged: where a name leads is judged before each request, as for the catalogue's schemes.
pub(super) fn check_addresses(
    settings: &SourceSettings,
    compiled: Option<&Compiled>,
    policy: &Policy,
) -> Result<(), Error> {
    if settings.provider.as_deref() != Some(CUSTOM) {
        return Ok(());
    }
    let Some(compiled) = compiled else {
        return Ok(());
    };
    let addresses = compiled.scheme.addresses(&settings.parameters);
    for address in addresses.map_err(|fault| invalid(&fault, true))? {
        let field = format!("settings.scheme.{}", address.field);
        reach::target(&field, &address.url, policy)?;
    }
    Ok(())
}

/// Names the field of the request that a fault is in.
fn invalid(fault: &SchemeError, is_custom: bool) -> Error {
    let field = match fault.field.strip_prefix("settings.") {
        Some(parameter) => format!("settings.parameters[{parameter}]"),
        None if !is_custom => "settings.provider".to_owned(),
        None if fault.field.is_empty() => "settings.scheme".to_owned(),
        None => format!("settings.scheme.{}", fault.field),
    };
    Error::invalid(field, fault.what.clone())
}
