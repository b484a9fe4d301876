//! What the owner of a source decides, read and written.

mod field;

use posthorn::v1;
use posthorn_guard::{Policy, Target};

use super::{
    answer, poll,
    scheme::{self, Compiled},
};
use crate::{
    error::Error,
    model::source::SourceSettings,
    rpc::convert::{
        Field as _, Violations, duration_proto, fields, json_object, json_object_proto, printable,
    },
};

fields! {
    /// The fields that an update can name.
    Field {
        Name: "name",
        Scheme: "scheme",
        Parameters: "parameters",
        Tolerance: "tolerance",
        IgnoreTime: "ignore_time",
        AllowedAddresses: "allowed_addresses",
        BodyBytesMax: "body_bytes_max",
        ContentTypes: "content_types",
        AcceptGzip: "accept_gzip",
        Answer: "answer",
        Synchronous: "synchronous",
        ForwardHeaders: "forward_headers",
        RegisteredUrl: "registered_url",
        RatePerSecond: "rate_per_second",
        Poll: "poll",
        DedupeWindow: "dedupe_window",
        OnConflict: "on_conflict",
        Split: "split",
        AcceptStaleFor: "accept_stale_for",
    }
}

const NAME_CHARS_MAX: usize = 100;
/// What stands for a page that was not seen.
const UNCONFIRMED: &str = "unconfirmed";

/// Settings as they were read, and what comes of them.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) settings: SourceSettings,
    /// The scheme, compiled. None: the source is only polled.
    pub(super) compiled: Option<Compiled>,
    /// Where polling goes, if that was among the fields: its addresses are still to be judged.
    pub(super) poll_target: Option<Target>,
}

/// Reads the settings of a new source.
pub(super) fn read(new: &v1::SourceSettings, policy: &Policy) -> Result<Draft, Error> {
    let mut violations = Violations::default();
    let provider = violations.take(field::provider(&new.provider))?.flatten();
    read_over(
        SourceSettings::of(provider),
        new,
        Field::ALL,
        policy,
        violations,
    )
}

/// Reads the named fields over the settings that are there.
pub(super) fn change(
    settings: SourceSettings,
    new: &v1::SourceSettings,
    fields: &[Field],
    policy: &Policy,
) -> Result<Draft, Error> {
    if settings.provider.is_none() && fields.contains(&Field::Poll) && new.poll.is_none() {
        let rule = "is required: the source has no provider";
        return Err(Error::invalid("settings.poll", rule));
    }
    read_over(settings, new, fields, policy, Violations::default())
}

/// The contract's form.
pub(super) fn proto(settings: &SourceSettings) -> v1::SourceSettings {
    let tolerance_ms = settings.tolerance_ms.and_then(|ms| u64::try_from(ms).ok());
    let window_ms = settings.dedupe_window_ms;
    let window_ms = window_ms.and_then(|ms| u64::try_from(ms).ok());
    let stale_ms = settings.accept_stale_ms;
    let stale_ms = stale_ms.and_then(|ms| u64::try_from(ms).ok());
    v1::SourceSettings {
        name: settings.name.clone().unwrap_or_default(),
        provider: settings.provider.clone().unwrap_or_default(),
        scheme: settings.scheme.as_ref().map(json_object_proto),
        parameters: settings.parameters.clone().into_iter().collect(),
        tolerance: tolerance_ms.map(duration_proto),
        ignore_time: settings.ignore_time,
        allowed_addresses: texts(&settings.allowed_addresses),
        body_bytes_max: settings.body_bytes_max,
        content_types: settings.content_types.clone(),
        accept_gzip: settings.accept_gzip,
        answer: settings.answer.as_ref().map(answer::proto),
        synchronous: settings.synchronous.as_ref().map(answer::synchronous_proto),
        forward_headers: settings.forward_headers.clone(),
        registered_url: settings.registered_url.clone().unwrap_or_default(),
        rate_per_second: settings.rate_per_second.unwrap_or_default(),
        poll: settings.poll.as_ref().map(poll::proto),
        dedupe_window: window_ms.map(duration_proto),
        on_conflict: field::on_conflict_proto(settings.on_conflict).into(),
        split: settings.split,
        accept_stale_for: stale_ms.map(duration_proto),
    }
}

fn read_over(
    settings: SourceSettings,
    new: &v1::SourceSettings,
    fields: &[Field],
    policy: &Policy,
    mut violations: Violations,
) -> Result<Draft, Error> {
    let mut draft = Draft {
        settings,
        compiled: None,
        poll_target: None,
    };
    for field in fields {
        let read = draft.change_field(new, *field, policy);
        violations.take(read)?;
    }
    // What follows needs fields that are right by themselves.
    violations.finish()?;
    let mut violations = Violations::default();
    draft.compiled = violations.take(scheme::compile(&draft.settings))?.flatten();
    let compiled = draft.compiled.as_ref();
    violations.take(scheme::check_addresses(&draft.settings, compiled, policy))?;
    draft.check_forwarded(&mut violations);
    draft.check_deadline(&mut violations);
    violations.finish()?;
    Ok(draft)
}

impl Draft {
    fn change_field(
        &mut self,
        new: &v1::SourceSettings,
        field: Field,
        policy: &Policy,
    ) -> Result<(), Error> {
        let settings = &mut self.settings;
        match field {
            Field::Name => {
                let name = printable("settings.name", &new.name, NAME_CHARS_MAX)?;
                settings.name = Some(name).filter(|name| !name.is_empty());
            }
            Field::Scheme => {
                let scheme = new.scheme.as_ref();
                let scheme = scheme.map(|scheme| json_object("settings.scheme", scheme));
                settings.scheme = scheme.transpose()?.map(serde_json::Value::Object);
            }
            Field::Parameters => settings.parameters = field::parameters(new)?,
            Field::Tolerance => settings.tolerance_ms = field::tolerance_ms(new)?,
            Field::IgnoreTime => settings.ignore_time = new.ignore_time,
            Field::AllowedAddresses => {
                settings.allowed_addresses = field::allowed_addresses(&new.allowed_addresses)?;
            }
            Field::BodyBytesMax => {
                settings.body_bytes_max =
                    field::body_bytes_max(new.body_bytes_max, settings.body_bytes_usual())?;
            }
            Field::ContentTypes => {
                settings.content_types = field::content_types(&new.content_types)?;
            }
            Field::AcceptGzip => settings.accept_gzip = new.accept_gzip,
            Field::Answer => {
                settings.answer = answer::read("settings.answer", new.answer.as_ref())?;
            }
            Field::Synchronous => {
                settings.synchronous = answer::synchronous(new.synchronous.as_ref())?;
            }
            Field::ForwardHeaders => {
                settings.forward_headers = field::forward_headers(&new.forward_headers)?;
            }
            Field::RegisteredUrl => {
                settings.registered_url = field::registered_url(&new.registered_url)?;
            }
            Field::RatePerSecond => settings.rate_per_second = field::rate(new.rate_per_second)?,
            Field::DedupeWindow => settings.dedupe_window_ms = field::dedupe_window_ms(new)?,
            Field::OnConflict => settings.on_conflict = field::on_conflict(new.on_conflict)?,
            Field::Split => settings.split = new.split,
            Field::AcceptStaleFor => settings.accept_stale_ms = field::accept_stale_ms(new)?,
            Field::Poll => {
                let read = new.poll.as_ref().map(|poll| poll::read(poll, policy));
                let (poll, target) = read.transpose()?.unzip();
                settings.poll = poll;
                self.poll_target = target;
            }
        }
        Ok(())
    }

    /// Notes a computed answer that is promised for when the provider has gone.
    fn check_deadline(&self, violations: &mut Violations) {
        let promised = self.settings.synchronous.as_ref();
        let promised = promised.map(|synchronous| synchronous.deadline_ms);
        let limits = self
            .compiled
            .as_ref()
            .map(|compiled| &compiled.scheme.limits);
        // What nobody is known to have said is no reason to refuse anything.
        let said = limits.filter(|limits| limits.page != UNCONFIRMED);
        let waits = said.and_then(|limits| limits.answer_within_ms);
        if let (Some(promised), Some(waits)) = (promised, waits)
            && promised > waits
        {
            let rule = format!("must be at most {waits} ms: the provider waits no longer");
            violations.add("settings.synchronous.deadline".to_owned(), rule);
        }
    }

    /// Notes every header that would go out although it carries a secret of the scheme.
    fn check_forwarded(&self, violations: &mut Violations) {
        let Some(compiled) = &self.compiled else {
            return;
        };
        let secret = compiled.scheme.secret_headers();
        for (index, name) in self.settings.forward_headers.iter().enumerate() {
            if secret.contains(name) {
                let field = format!("settings.forward_headers[{index}]");
                violations.add(field, "must not be a header that carries a secret");
            }
        }
    }
}

fn texts<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests;
