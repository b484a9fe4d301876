//! The built-in providers: records in `catalogue/*.toml`, one table each.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use serde_json::{Map, Value};

use crate::{Options, Scheme, SchemeError, Verifier, scheme::from_record};

/// The longest text of a user's record, in bytes.
const RECORD_BYTES_MAX: usize = 32 * 1024;
/// The files, in the order of a reader's interest.
static FILES: [&str; 5] = [
    include_str!("../catalogue/generic.toml"),
    include_str!("../catalogue/payments.toml"),
    include_str!("../catalogue/developer.toml"),
    include_str!("../catalogue/communication.toml"),
    include_str!("../catalogue/special.toml"),
];

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::read(&FILES));

/// The built-in providers, read once.
pub fn catalogue() -> &'static Catalogue {
    &CATALOGUE
}

impl Scheme {
    /// Reads a user's record: a JSON object with the fields of [`Scheme`], and `like`, the name of a provider of the
    /// catalogue whose record is the base. Objects are merged, everything else is replaced.
    ///
    /// # Errors
    /// When it is no such record, says nothing of its `kind`, or is `like` nothing known.
    pub fn from_json(text: &str) -> Result<Self, SchemeError> {
        if text.len() > RECORD_BYTES_MAX {
            return Err(SchemeError::new("", "must not be longer than 32 KiB"));
        }
        let record: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| SchemeError::new("", error.to_string()))?;
        from_record(record, |name| catalogue().record(name))
    }
}

/// All built-in providers.
#[derive(Debug)]
pub struct Catalogue {
    records: BTreeMap<String, Map<String, Value>>,
    providers: BTreeMap<String, Provider>,
    single_valued_headers: BTreeSet<String>,
    faults: Vec<(String, SchemeError)>,
}

/// A built-in provider.
#[derive(Debug)]
pub struct Provider {
    /// The name, such as `stripe`.
    pub name: String,
    /// How it signs.
    pub scheme: Scheme,
}

impl Catalogue {
    /// The provider of a name.
    pub fn get(&self, name: &str) -> Option<&Provider> {
        self.providers.get(name)
    }

    /// All names in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.providers.keys().map(String::as_str)
    }

    /// The names, in lower case, of all headers that some provider's verification or recognition reads, and that may
    /// therefore not come twice with different values.
    pub fn single_valued_headers(&self) -> impl Iterator<Item = &str> {
        self.single_valued_headers.iter().map(String::as_str)
    }

    /// The names of records that cannot be used, and why. There are none; a test says so.
    pub fn faults(&self) -> impl Iterator<Item = (&str, &SchemeError)> {
        self.faults
            .iter()
            .map(|(name, fault)| (name.as_str(), fault))
    }

    /// The record of a provider as it is in its file.
    pub(crate) fn record(&self, name: &str) -> Option<&Map<String, Value>> {
        self.records.get(name)
    }

    fn read(files: &[&str]) -> Self {
        let mut faults = Vec::new();
        let records = records(files, &mut faults);
        let mut providers = BTreeMap::new();
        for (name, record) in &records {
            match from_record(record.clone(), |like| records.get(like)) {
                Ok(scheme) => {
                    let name = name.clone();
                    providers.insert(name.clone(), Provider { name, scheme });
                }
                Err(fault) => faults.push((name.clone(), fault)),
            }
        }
        let mut catalogue = Self {
            records,
            providers,
            single_valued_headers: BTreeSet::new(),
            faults,
        };
        catalogue.check();
        catalogue
    }

    /// Compiles every record with settings of the form that it wants.
    fn check(&mut self) {
        for provider in self.providers.values() {
            let settings = provider
                .scheme
                .setting_names()
                .into_iter()
                .map(|name| {
                    let value = sample(&name).to_owned();
                    (name, value)
                })
                .collect();
            match Verifier::compile(&provider.scheme, &settings, &Options::named(&provider.name)) {
                Ok(verifier) => self.single_valued_headers.extend(verifier.header_names()),
                Err(fault) => self.faults.push((provider.name.clone(), fault)),
            }
        }
    }
}

/// A value for a setting, in the form that the schemes with code of their own ask for.
fn sample(name: &str) -> &'static str {
    match name {
        "topic_arn" => "arn:aws:sns:eu-west-1:123456789012:topic",
        "auth_url" => "https://ep-a.neonauth.eu-central-1.aws.neon.tech/neondb/auth",
        _ => "x",
    }
}

/// The tables of all files, by name.
fn records(
    files: &[&str],
    faults: &mut Vec<(String, SchemeError)>,
) -> BTreeMap<String, Map<String, Value>> {
    let mut records = BTreeMap::new();
    for file in files {
        let tables: BTreeMap<String, Map<String, Value>> = match toml::from_str(file) {
            Ok(tables) => tables,
            Err(error) => {
                faults.push((String::new(), SchemeError::new("", error.to_string())));
                continue;
            }
        };
        for (name, record) in tables {
            if records.insert(name.clone(), record).is_some() {
                faults.push((name, SchemeError::new("", "is there twice")));
            }
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheme::{IdOf, IdRule, Many};

    #[test]
    fn every_record_of_the_catalogue_can_be_used() {
        let faults: Vec<_> = catalogue()
            .faults()
            .map(|(name, fault)| format!("{name}: {fault}"))
            .collect();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    /// What a record says of its ids, and of those of its items.
    fn rules(scheme: &Scheme) -> impl Iterator<Item = (&IdRule, &Many)> {
        let items = scheme
            .items
            .iter()
            .map(|items| (&items.id, &items.event_id));
        std::iter::once((&scheme.id, &scheme.event_id)).chain(items)
    }

    fn faults_of(record: impl Fn(&Provider) -> bool) -> Vec<&'static str> {
        let providers = catalogue().names().filter_map(|name| catalogue().get(name));
        let faulty = providers.filter(|provider| !record(provider));
        faulty.map(|provider| provider.name.as_str()).collect()
    }

    #[test]
    fn every_record_says_what_its_id_identifies_and_by_what_page() {
        let silent = faults_of(|provider| {
            let rule = &provider.scheme.id;
            let said = rules(&provider.scheme).all(|(rule, _)| rule.of.is_some());
            said && rule.repeats.is_some() && rule.page.len() > 5
        });
        assert!(silent.is_empty(), "{silent:?}");
    }

    #[test]
    fn every_id_of_the_catalogue_has_a_scope() {
        let wrong = faults_of(|provider| {
            // Code of its own reads the id.
            let by_code = provider.name == "wix";
            rules(&provider.scheme).all(|(rule, ids)| {
                let has_id = rule.of != Some(IdOf::None);
                // A record that is like another may have its scope and no id.
                by_code || (has_id != ids.0.is_empty() && (!has_id || rule.scope.is_some()))
            })
        });
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn an_id_that_no_page_speaks_of_is_never_claimed_alone() {
        let wrong = faults_of(|provider| {
            let rule = &provider.scheme.id;
            let alone = rule.of == Some(IdOf::Webhook) && rule.claim.0.is_empty();
            !alone || rule.page != "unconfirmed"
        });
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn an_id_of_something_else_is_never_claimed_alone() {
        let wrong = faults_of(|provider| {
            rules(&provider.scheme).all(|(rule, ids)| {
                let alone = |claim: &String| ids.0.contains(claim);
                rule.of == Some(IdOf::Webhook) || !rule.claim.0.iter().any(alone)
            })
        });
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn p7_every_setting_of_the_catalogue_says_what_it_means() {
        let silent = faults_of(|provider| {
            let parameters = provider.scheme.parameters();
            parameters
                .iter()
                .all(|parameter| parameter.about.len() > 10)
        });
        assert!(silent.is_empty(), "{silent:?}");
    }

    /// Code reads no setting that the record does not tell of.
    #[test]
    fn p7_settings_that_code_reads_are_told_of() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/special");
        for provider in catalogue().names().filter_map(|name| catalogue().get(name)) {
            let scheme = &provider.scheme;
            if scheme.kind != crate::scheme::Kind::Special {
                continue;
            }
            let file = folder.join(format!("{}.rs", scheme.special));
            let code = std::fs::read_to_string(&file).expect("it is there");
            let code = code.split("#[cfg(test)]").next().unwrap_or_default();
            let parameters = scheme.parameters();
            for call in ["setting(\"", "setting(plan, \"", "settings.get(\""] {
                for name in code
                    .split(call)
                    .skip(1)
                    .filter_map(|rest| rest.split('"').next())
                {
                    let is_told = parameters.iter().any(|parameter| parameter.name == name);
                    assert!(is_told, "{}: {name}", provider.name);
                }
            }
        }
    }

    #[test]
    fn p8_limits_say_on_what_page_they_rest() {
        let silent = faults_of(|provider| {
            let limits = &provider.scheme.limits;
            let says = limits.body_max.is_some() || limits.answer_within_ms.is_some();
            says != limits.page.is_empty()
        });
        assert!(silent.is_empty(), "{silent:?}");
    }

    #[test]
    fn names_fit_event_types() {
        for name in catalogue().names() {
            let plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            assert!(name.bytes().all(plain), "{name}");
        }
    }
}
