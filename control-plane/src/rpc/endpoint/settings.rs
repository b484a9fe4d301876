//! What the owner of an endpoint decides, read and written.

use posthorn::v1;
use posthorn_guard::{Policy, Target as GuardTarget};
use prost_types::Duration;
use secrecy::SecretString;

use super::header;
use crate::{
    error::Error,
    model::{
        endpoint::{
            CONCURRENCY_DEFAULT, CONCURRENCY_MAX, EndpointSettings, SOURCES_MAX, TIMEOUT_DEFAULT,
            TIMEOUT_MAX, TIMEOUT_MIN, Target,
        },
        id::SourceId,
        subscription::{PATTERNS_MAX, Subscription},
    },
    rpc::{
        convert::{
            Field as _, Violations, duration_ms, duration_proto, fields, header_name, id,
            printable, retry_policy, retry_policy_proto,
        },
        reach,
    },
};

fields! {
    /// The fields that an update can name.
    Field {
        Name: "name",
        Url: "url",
        Subscriptions: "subscriptions",
        Headers: "headers",
        Timeout: "timeout",
        RetryPolicy: "retry_policy",
        BodySignatureHeader: "body_signature_header",
        Concurrency: "concurrency",
        Sources: "sources",
    }
}

const NAME_CHARS_MAX: usize = 100;

/// Settings as they were read, and what does not belong into them.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) settings: EndpointSettings,
    /// The URL, if it was among the fields: its addresses are still to be judged.
    pub(super) target: Option<GuardTarget>,
    /// Values of secret headers that were given, by name.
    pub(super) new_secrets: Vec<(String, SecretString)>,
}

/// Reads the settings of a new endpoint.
pub(super) fn read(new: &v1::EndpointSettings, policy: &Policy) -> Result<Draft, Error> {
    let blank = EndpointSettings::to(Target::Url(String::new()));
    change(blank, new, Field::ALL, policy)
}

/// Reads the named fields over the settings that are there.
pub(super) fn change(
    settings: EndpointSettings,
    new: &v1::EndpointSettings,
    fields: &[Field],
    policy: &Policy,
) -> Result<Draft, Error> {
    let former_url = settings.url().to_owned();
    let mut draft = Draft {
        settings,
        target: None,
        new_secrets: Vec::new(),
    };
    let mut violations = Violations::default();
    for field in fields {
        let read = draft.change_field(new, *field, policy);
        violations.take(read)?;
    }
    if new.consumer.is_some() {
        let rule = "must not be set: handlers are registered by InboundService.Consume";
        violations.add("settings.consumer", rule);
    }
    if origin(&former_url) != origin(draft.settings.url()) && draft.keeps_secrets() {
        let rule = "must give the values of secret headers again, because the URL leads elsewhere";
        violations.add("settings.headers", rule);
    }
    if draft.has_header_twice() {
        let field = "settings.body_signature_header";
        violations.add(field, "must not be one of `headers`");
    }
    violations.finish()?;
    Ok(draft)
}

/// Scheme, host and port of a canonical URL.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |scheme| scheme + 3);
    let end = url[host..].find(['/', '?']);
    &url[..end.map_or(url.len(), |end| host + end)]
}

/// The contract's form, without secrets.
pub(super) fn proto(settings: &EndpointSettings) -> v1::EndpointSettings {
    v1::EndpointSettings {
        name: settings.name.clone().unwrap_or_default(),
        url: settings.url().to_owned(),
        subscriptions: settings
            .subscriptions
            .iter()
            .map(ToString::to_string)
            .collect(),
        headers: settings.headers.iter().map(header::proto).collect(),
        timeout: Some(duration_proto(settings.timeout_ms.into())),
        retry_policy: settings.retry_policy.as_ref().map(retry_policy_proto),
        body_signature_header: settings.body_signature_header.clone().unwrap_or_default(),
        concurrency: settings.concurrency,
        sources: settings.sources.iter().map(ToString::to_string).collect(),
        consumer: match &settings.target {
            Target::Url(_) => None,
            Target::Consumer(handler) => Some(v1::ConsumerHandler {
                group: handler.group.clone(),
                handler: handler.handler.clone(),
            }),
        },
    }
}

impl Draft {
    /// Whether a secret header keeps a value that this request did not give: who cannot read a secret must not be able
    /// to have it sent to a place of their choice.
    fn keeps_secrets(&self) -> bool {
        let mut secrets = self
            .settings
            .headers
            .iter()
            .filter(|header| header.value.is_none());
        secrets.any(|secret| {
            !self
                .new_secrets
                .iter()
                .any(|(name, _)| *name == secret.name)
        })
    }

    fn change_field(
        &mut self,
        new: &v1::EndpointSettings,
        field: Field,
        policy: &Policy,
    ) -> Result<(), Error> {
        let settings = &mut self.settings;
        match field {
            Field::Name => {
                let name = printable("settings.name", &new.name, NAME_CHARS_MAX)?;
                settings.name = Some(name).filter(|name| !name.is_empty());
            }
            Field::Url => {
                let target = reach::target("settings.url", &new.url, policy)?;
                settings.target = Target::Url(target.as_str().to_owned());
                self.target = Some(target);
            }
            Field::Subscriptions => {
                settings.subscriptions =
                    subscriptions("settings.subscriptions", &new.subscriptions)?;
            }
            Field::Sources => settings.sources = sources("settings.sources", &new.sources)?,
            Field::Headers => {
                let headers = header::read(&new.headers, &settings.headers)?;
                settings.headers = headers.settings;
                self.new_secrets = headers.new_secrets;
            }
            Field::Timeout => settings.timeout_ms = timeout_ms(new.timeout.as_ref())?,
            Field::RetryPolicy => {
                let policy = new.retry_policy.as_ref();
                let policy = policy.map(|policy| retry_policy("settings.retry_policy", policy));
                settings.retry_policy = policy.transpose()?;
            }
            Field::BodySignatureHeader => {
                let name = Some(new.body_signature_header.as_str()).filter(|name| !name.is_empty());
                let name = name.map(|name| header_name("settings.body_signature_header", name));
                settings.body_signature_header = name.transpose()?;
            }
            Field::Concurrency => settings.concurrency = concurrency(new.concurrency)?,
        }
        Ok(())
    }

    fn has_header_twice(&self) -> bool {
        let signature = self.settings.body_signature_header.as_deref();
        let mut headers = self.settings.headers.iter();
        headers.any(|header| signature == Some(header.name.as_str()))
    }
}

/// Reads the patterns of an endpoint or a handler.
pub(in crate::rpc) fn subscriptions(
    field: &str,
    patterns: &[String],
) -> Result<Vec<Subscription>, Error> {
    if !(1..=PATTERNS_MAX).contains(&patterns.len()) {
        return Err(Error::invalid(field, "must be 1 to 100 patterns"));
    }
    let mut violations = Violations::default();
    let mut subscriptions = Vec::with_capacity(patterns.len());
    for (index, pattern) in patterns.iter().enumerate() {
        match Subscription::parse(pattern) {
            Ok(subscription) => subscriptions.push(subscription),
            Err(error) => violations.add(format!("{field}[{index}]"), error.to_string()),
        }
    }
    violations.finish()?;
    Ok(subscriptions)
}

/// Reads the ids of the sources that events are limited to. Whose they are is still to be judged.
pub(in crate::rpc) fn sources(field: &str, ids: &[String]) -> Result<Vec<SourceId>, Error> {
    if ids.len() > SOURCES_MAX {
        return Err(Error::invalid(field, "must be at most 100 ids of sources"));
    }
    let numbered = ids.iter().enumerate();
    numbered
        .map(|(index, text)| id(&format!("{field}[{index}]"), text))
        .collect()
}

fn timeout_ms(timeout: Option<&Duration>) -> Result<u32, Error> {
    let Some(timeout) = timeout else {
        return Ok(millis(TIMEOUT_DEFAULT));
    };
    let refused = || Error::invalid("settings.timeout", "must be from 1 s to 60 s");
    let ms = duration_ms("settings.timeout", timeout).map_err(|_| refused())?;
    let ms = u32::try_from(ms).map_err(|_| refused())?;
    let is_allowed = (millis(TIMEOUT_MIN)..=millis(TIMEOUT_MAX)).contains(&ms);
    is_allowed.then_some(ms).ok_or_else(refused)
}

fn concurrency(number: u32) -> Result<u32, Error> {
    match number {
        0 => Ok(CONCURRENCY_DEFAULT),
        1..=CONCURRENCY_MAX => Ok(number),
        _ => Err(Error::invalid(
            "settings.concurrency",
            "must be from 1 to 1024, or 0 for 64",
        )),
    }
}

fn millis(duration: std::time::Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
