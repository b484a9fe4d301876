//! The providers that Posthorn knows.

use posthorn::v1;
use posthorn_verify::{Options, Provider, Settings, Verifier, catalogue, scheme::Parameter};

use super::title::title;
use crate::{
    error::Error,
    model::source::SourceSettings,
    rpc::{Page, QueryFingerprint, convert::duration_proto},
};

/// A page of them, by name.
pub(super) fn list(request: &v1::ListProvidersRequest) -> Result<v1::ListProvidersResponse, Error> {
    let query = QueryFingerprint::new("ListProviders", &[]);
    let page = Page::parse(request.page_size, &request.page_token, query)?;
    let after = page.after_text()?;
    let names = catalogue().names().filter(|name| *name > after);
    let names = names.take(page.rows() + 1).collect::<Vec<_>>();
    let (names, next_page_token) = page.cut(names, |name| *name);
    let providers = names.into_iter().filter_map(|name| catalogue().get(name));
    Ok(v1::ListProvidersResponse {
        providers: providers.map(proto).collect(),
        next_page_token,
    })
}

fn proto(provider: &Provider) -> v1::Provider {
    let scheme = &provider.scheme;
    let tolerance_ms = scheme
        .tolerance_s()
        .map(|seconds| u64::from(seconds) * 1_000);
    let usual = SourceSettings::of(Some(provider.name.clone()));
    let answer_within_ms = scheme.limits.answer_within_ms;
    v1::Provider {
        name: provider.name.clone(),
        title: title(&provider.name),
        parameters: scheme.needed_setting_names(),
        needs_secret: scheme.needs_secret(&Settings::new()) && !scheme.captures_secret(),
        covers_body: covers_body(provider),
        tolerance: tolerance_ms.map(duration_proto),
        all_parameters: scheme.parameters().into_iter().map(parameter).collect(),
        body_bytes_max: usual.body_bytes_usual(),
        answer_within: answer_within_ms.map(|ms| duration_proto(ms.into())),
        limits_page: scheme.limits.page.clone(),
        note: scheme.note.clone(),
        confirm: scheme.confirm,
    }
}

fn parameter(parameter: Parameter) -> v1::ProviderParameter {
    v1::ProviderParameter {
        name: parameter.name,
        about: parameter.about,
        required: parameter.needed,
    }
}

/// Compiled with anything for the settings that it needs.
fn covers_body(provider: &Provider) -> bool {
    let names = provider.scheme.setting_names().into_iter();
    let settings: Settings = names.map(|name| (name, "x".to_owned())).collect();
    let options = Options::named(&provider.name);
    let verifier = Verifier::compile(&provider.scheme, &settings, &options);
    verifier.is_ok_and(|verifier| verifier.covers_body())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All pages of so many rows.
    fn every(page_size: i32) -> Vec<v1::Provider> {
        let (mut every, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = v1::ListProvidersRequest {
                page_size,
                page_token,
            };
            let page = list(&request).unwrap();
            every.extend(page.providers);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return every;
            }
        }
    }

    #[test]
    fn every_provider_is_listed_once_by_name() {
        let names = every(7).into_iter().map(|provider| provider.name);
        let names = names.collect::<Vec<_>>();
        assert!(names.is_sorted_by(|a, b| a < b));
        assert_eq!(names.len(), catalogue().names().count());
        assert!(names.iter().any(|name| name == "standard_webhooks"));
    }

    #[test]
    fn a_provider_says_what_a_source_of_it_needs() {
        let providers = every(500);
        let provider = providers
            .iter()
            .find(|known| known.name == "standard_webhooks");
        let provider = provider.expect("it is in the catalogue");
        assert_eq!(provider.title, "Standard Webhooks");
        assert_eq!(provider.tolerance, Some(duration_proto(300_000)));
        assert!(provider.parameters.is_empty());
        assert!(provider.needs_secret && provider.covers_body);
    }
}
