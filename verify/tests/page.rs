//! `docs/providers.md` is what the catalogue says. `POSTHORN_WRITE_PAGES=1` writes it anew.

use std::{env, fmt::Write as _, fs, path::PathBuf};

use posthorn_verify::{
    Options, Provider, Scheme, Settings, Verifier, catalogue,
    scheme::{IdOf, Repeats},
};

const HEAD: &str = "# Providers

The providers whose webhooks Posthorn verifies, made from the records of `verify/catalogue`; the test
`the_page_of_providers_is_what_the_catalogue_says` writes this page (`POSTHORN_WRITE_PAGES=1`) and holds it to them. `ListProviders`
says the same to programs. How to make a source is in [receive.md](receive.md).

* **secret**: what a source of it needs. A provider that hands its secret over needs none to begin with.
* **body**: whether the signature covers all of it. Where it does not, fetch an event before you rely on it (*confirm*).
* **age**: how old the signed time may be, unless the source says otherwise (`tolerance`, `accept_stale_for`).
* **repeats**: by what a repeat is told from a new event: an id of the webhook, what the record claims, or the signed time with
  the body; *nothing* where there is none of these, and each is an event.
* **longest body**, **waits**: what its pages say, with the page; empty where none does, which means 1 MiB. *unconfirmed*: it is
  common knowledge, and no page was seen.

";

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/providers.md")
}

fn rendered() -> String {
    let providers = catalogue().names().filter_map(|name| catalogue().get(name));
    let providers = providers.collect::<Vec<_>>();
    let mut text = HEAD.to_owned();
    text.push_str("| provider | secret | body | age | repeats | longest body | waits | page |\n");
    text.push_str("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for provider in &providers {
        row(&mut text, provider);
    }
    text.push_str("\n## Parameters\n\n");
    text.push_str("What a source has in `parameters`, beside its secrets.\n\n");
    text.push_str("| provider | parameter | needed | what it is |\n| --- | --- | --- | --- |\n");
    for provider in &providers {
        for parameter in provider.scheme.parameters() {
            let needed = if parameter.needed { "yes" } else { "no" };
            let _ = writeln!(
                text,
                "| `{}` | `{}` | {needed} | {} |",
                provider.name, parameter.name, parameter.about
            );
        }
    }
    text.push_str("\n## Peculiarities\n\n| provider | what |\n| --- | --- |\n");
    for provider in providers.iter().filter(|one| !one.scheme.note.is_empty()) {
        let _ = writeln!(text, "| `{}` | {} |", provider.name, provider.scheme.note);
    }
    text
}

fn row(text: &mut String, provider: &Provider) {
    let scheme = &provider.scheme;
    let age = scheme.tolerance_s().map(seconds).unwrap_or_default();
    let limits = &scheme.limits;
    let body = limits.body_max.map(bytes).unwrap_or_default();
    let waits = limits.answer_within_ms.map(millis).unwrap_or_default();
    let _ = writeln!(
        text,
        "| `{}` | {} | {} | {age} | {} | {body} | {waits} | {} |",
        provider.name,
        secret(scheme),
        covered(provider),
        repeats(scheme),
        limits.page,
    );
}

fn secret(scheme: &Scheme) -> &'static str {
    if scheme.captures_secret() {
        "handed over"
    } else if scheme.needs_secret(&Settings::new()) {
        "yes"
    } else if scheme.takes_secret() {
        "may have one"
    } else {
        "none"
    }
}

fn covered(provider: &Provider) -> String {
    let names = provider.scheme.setting_names().into_iter();
    let settings: Settings = names.map(|name| (name, "x".to_owned())).collect();
    let options = Options::named(&provider.name);
    let verifier = Verifier::compile(&provider.scheme, &settings, &options);
    let covers = verifier.is_ok_and(|verifier| verifier.covers_body());
    let confirm = if provider.scheme.confirm {
        ", confirm"
    } else {
        ""
    };
    format!("{}{confirm}", if covers { "all" } else { "not all" })
}

fn repeats(scheme: &Scheme) -> String {
    let rule = &scheme.id;
    let by = match (rule.of, rule.claim.0.is_empty()) {
        (_, false) => "what it claims",
        (Some(IdOf::Webhook), true) => "its id",
        _ if scheme.tolerance_s().is_some() => "time and body",
        _ if scheme.items.is_some() => "its items",
        _ => "nothing",
    };
    match rule.repeats {
        Some(Repeats::Anew) => format!("{by}; signed anew"),
        Some(Repeats::Same) => format!("{by}; signed as the first"),
        _ => by.to_owned(),
    }
}

fn seconds(seconds: u32) -> String {
    match seconds {
        86_400.. if seconds.is_multiple_of(86_400) => format!("{} d", seconds / 86_400),
        3_600.. if seconds.is_multiple_of(3_600) => format!("{} h", seconds / 3_600),
        60.. if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}

fn millis(ms: u32) -> String {
    if ms.is_multiple_of(1_000) {
        format!("{} s", ms / 1_000)
    } else {
        format!("{ms} ms")
    }
}

fn bytes(bytes: u32) -> String {
    format!("{} MiB", bytes / (1_024 * 1_024))
}

#[test]
fn the_page_of_providers_is_what_the_catalogue_says() {
    let expected = rendered();
    if env::var_os("POSTHORN_WRITE_PAGES").is_some() {
        fs::write(page(), &expected).expect("the page is written");
    }
    let written = fs::read_to_string(page()).unwrap_or_default();
    let differs = written.lines().zip(expected.lines()).find(|(a, b)| a != b);
    assert!(
        written == expected,
        "docs/providers.md is another one, at {differs:?}: write it with POSTHORN_WRITE_PAGES=1"
    );
}
