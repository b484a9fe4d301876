//! The providers that Posthorn knows.

use posthorn::v1;
use posthorn_verify::{Options, Provider, Settings, Verifier, catalogue};

use super::title::title;
use crate::rpc::convert::duration_proto;

/// All of them, by name.
pub(super) fn list() -> v1::ListProvidersResponse {
    let names = catalogue().names();
    let providers = names.filter_map(|name| catalogue().get(name)).map(proto);
    v1::ListProvidersResponse {
        providers: providers.collect(),
    }
}

fn proto(provider: &Provider) -> v1::Provider {
    let scheme = &provider.scheme;
    let tolerance_ms = scheme
        .tolerance_s()
        .map(|seconds| u64::from(seconds) * 1_000);
    v1::Provider {
        name: provider.name.clone(),
        title: title(&provider.name),
        parameters: scheme.needed_setting_names(),
        needs_secret: scheme.needs_secret() && !scheme.captures_secret(),
        covers_body: covers_body(provider),
        tolerance: tolerance_ms.map(duration_proto),
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

    #[test]
    fn every_provider_is_listed_once_by_name() {
        let names = list().providers.into_iter().map(|provider| provider.name);
        let names = names.collect::<Vec<_>>();
        assert!(names.is_sorted_by(|a, b| a < b));
        assert!(names.iter().any(|name| name == "standard_webhooks"));
    }

    #[test]
    fn a_provider_says_what_a_source_of_it_needs() {
        let providers = list().providers;
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
