//! The hello of a consumer: its group and what it takes for which handler, held to their limits.

use std::collections::HashSet;

use posthorn::v1;

use crate::{
    error::Error,
    model::{
        endpoint::{EndpointSettings, Handler, TIMEOUT_MAX, TIMEOUT_MIN, Target},
        id::{SourceId, TenantId},
    },
    registry::Registry,
    rpc::{
        convert::{Violations, duration_within, retry_policy},
        endpoint::{check_own_sources, sources, subscriptions},
    },
};

/// How many handlers one stream can serve.
const HANDLERS_MAX: usize = 32;
/// The longest name of a group or a handler, in characters.
const NAME_CHARS_MAX: usize = 40;
/// How long a handler may take for one event unless it says otherwise, in milliseconds.
const ACK_WITHIN_DEFAULT_MS: u32 = 30_000;

/// Who consumes what.
#[derive(Debug)]
pub(super) struct Hello {
    /// The group.
    pub(super) group: String,
    /// The settings of each handler's endpoint, with the handler's name.
    pub(super) handlers: Vec<(String, EndpointSettings)>,
}

impl Hello {
    /// Reads a hello. Whose the sources are is still to be judged.
    pub(super) fn read(hello: &v1::ConsumeHello) -> Result<Self, Error> {
        let mut violations = Violations::default();
        violations.take(check_name("hello.group", &hello.group))?;
        if !(1..=HANDLERS_MAX).contains(&hello.handlers.len()) {
            violations.add("hello.handlers", "must be 1 to 32 handlers");
        }
        let (mut handlers, mut names) = (Vec::new(), HashSet::new());
        for (index, handler) in hello.handlers.iter().take(HANDLERS_MAX).enumerate() {
            let path = format!("hello.handlers[{index}]");
            if !names.insert(handler.name.as_str()) {
                violations.add(format!("{path}.name"), "must not be there twice");
            }
            let settings = violations.take(read_handler(&path, &hello.group, handler))?;
            handlers.extend(settings.map(|settings| (handler.name.clone(), settings)));
        }
        violations.finish()?;
        Ok(Self {
            group: hello.group.clone(),
            handlers,
        })
    }

    /// Refuses sources that are not the tenant's.
    pub(super) fn check_sources(&self, registry: &Registry, tenant: TenantId) -> Result<(), Error> {
        let mut violations = Violations::default();
        for (index, (_, settings)) in self.handlers.iter().enumerate() {
            let field = format!("hello.handlers[{index}].sources");
            let checked = check_own_sources(&field, registry, tenant, &settings.sources);
            violations.take(checked)?;
        }
        violations.finish()
    }
}

fn read_handler(path: &str, group: &str, handler: &v1::Handler) -> Result<EndpointSettings, Error> {
    let mut violations = Violations::default();
    violations.take(check_name(&format!("{path}.name"), &handler.name))?;
    let patterns = subscriptions(&format!("{path}.subscriptions"), &handler.subscriptions);
    let subscriptions = violations.take(patterns)?;
    let from = sources(&format!("{path}.sources"), &handler.sources);
    let sources: Option<Vec<SourceId>> = violations.take(from)?;
    let timeout_ms = violations.take(ack_within_ms(&format!("{path}.ack_within"), handler))?;
    let policy = handler.retry_policy.as_ref();
    let policy = policy.map(|policy| retry_policy(&format!("{path}.retry_policy"), policy));
    let retry_policy = violations.take(policy.transpose())?;
    violations.finish()?;
    let target = Handler {
        group: group.to_owned(),
        handler: handler.name.clone(),
    };
    Ok(EndpointSettings {
        name: Some(target.endpoint_name()),
        subscriptions: subscriptions.unwrap_or_default(),
        sources: sources.unwrap_or_default(),
        timeout_ms: timeout_ms.unwrap_or_default(),
        retry_policy: retry_policy.flatten(),
        concurrency: 0,
        ..EndpointSettings::to(Target::Consumer(target))
    })
}

fn check_name(field: &str, name: &str) -> Result<(), Error> {
    let is_name_byte = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    if (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(is_name_byte) {
        return Ok(());
    }
    let rule = "must be 1 to 40 of a-z, 0-9, `-` and `_`";
    Err(Error::invalid(field, rule))
}

fn ack_within_ms(field: &str, handler: &v1::Handler) -> Result<u32, Error> {
    let millis = |duration: std::time::Duration| u32::try_from(duration.as_millis());
    let (min, max) = (millis(TIMEOUT_MIN), millis(TIMEOUT_MAX));
    let range = min.unwrap_or(u32::MAX)..=max.unwrap_or(0);
    match &handler.ack_within {
        None => Ok(ACK_WITHIN_DEFAULT_MS),
        Some(within) => duration_within(field, within, range, "must be from 1 s to 60 s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::subscription::Subscription, retry::RetryPolicy, rpc::convert::duration_proto,
    };

    type Edit = fn(&mut v1::Handler);

    fn hello() -> v1::ConsumeHello {
        v1::ConsumeHello {
            tenant_id: String::new(),
            group: "billing".to_owned(),
            handlers: vec![handler("book")],
        }
    }

    fn handler(name: &str) -> v1::Handler {
        v1::Handler {
            name: name.to_owned(),
            subscriptions: vec!["stripe.*".to_owned()],
            ..v1::Handler::default()
        }
    }

    fn field_at_fault(edit: impl FnOnce(&mut v1::ConsumeHello)) -> String {
        let mut hello = hello();
        edit(&mut hello);
        match Hello::read(&hello) {
            Err(Error::Invalid(violations)) if violations.len() == 1 => violations[0].field.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_hello_becomes_the_settings_of_endpoints() {
        let mut told = hello();
        told.handlers.push(v1::Handler {
            subscriptions: vec!["*".to_owned()],
            sources: vec!["src_01h455vb4pex5vsknk084sn02q".to_owned()],
            ack_within: Some(duration_proto(1_500)),
            retry_policy: Some(v1::RetryPolicy {
                schedule: Some(v1::retry_policy::Schedule::Preset(
                    v1::RetryPreset::Long.into(),
                )),
            }),
            ..handler("mail-it_2")
        });
        let read = Hello::read(&told).unwrap();
        assert_eq!(read.group, "billing");
        let [(first_name, first), (second_name, second)] = &read.handlers[..] else {
            panic!("{read:?}");
        };
        assert_eq!(
            (first_name.as_str(), second_name.as_str()),
            ("book", "mail-it_2")
        );
        assert_eq!(first.name.as_deref(), Some("billing/book"));
        assert_eq!((first.timeout_ms, &first.retry_policy), (30_000, &None));
        assert!(first.sources.is_empty());
        assert_eq!(second.subscriptions, [Subscription::All]);
        assert_eq!((second.timeout_ms, second.sources.len()), (1_500, 1));
        assert_eq!(second.retry_policy, Some(RetryPolicy::Long));
        assert_eq!(second.url(), "");
    }

    #[test]
    fn each_part_out_of_its_limits_is_named() {
        let long = "x".repeat(41);
        for name in ["", "A", "a b", "a/b", "ä", &long] {
            let field = field_at_fault(|hello| hello.group = name.to_owned());
            assert_eq!(field, "hello.group", "{name}");
            let field = field_at_fault(|hello| hello.handlers[0].name = name.to_owned());
            assert_eq!(field, "hello.handlers[0].name", "{name}");
        }
        let many = || {
            (0..33)
                .map(|number| handler(&format!("h{number}")))
                .collect()
        };
        for handlers in [Vec::new(), many()] {
            assert_eq!(
                field_at_fault(|hello| hello.handlers = handlers),
                "hello.handlers"
            );
        }
        let twice = field_at_fault(|hello| hello.handlers.push(handler("book")));
        assert_eq!(twice, "hello.handlers[1].name");
        let cases: [(Edit, &str); 7] = [
            (|h| h.subscriptions.clear(), "subscriptions"),
            (
                |h| h.subscriptions = vec!["a".to_owned(); 101],
                "subscriptions",
            ),
            (
                |h| h.subscriptions.push("a.*.b".to_owned()),
                "subscriptions[1]",
            ),
            (|h| h.sources = vec!["x".to_owned()], "sources[0]"),
            (|h| h.ack_within = Some(duration_proto(999)), "ack_within"),
            (
                |h| h.ack_within = Some(duration_proto(60_001)),
                "ack_within",
            ),
            (
                |h| h.retry_policy = Some(v1::RetryPolicy::default()),
                "retry_policy",
            ),
        ];
        for (edit, field) in cases {
            let named = field_at_fault(|hello| edit(&mut hello.handlers[0]));
            assert_eq!(named, format!("hello.handlers[0].{field}"));
        }
    }
}
