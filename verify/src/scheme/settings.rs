//! Which settings a scheme reads.

use std::collections::BTreeSet;

use super::{Kind, Scheme};
use crate::{reference::Reference, template::Template};

/// A setting that a source can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it means; empty when the record does not say.
    pub about: String,
    /// Whether nothing can be verified without it.
    pub needed: bool,
}

/// The setting of HTTP Basic.
const USERNAME: &str = "username";
const USERNAME_ABOUT: &str =
    "The user of HTTP Basic; the secret is then the password alone, and user:password otherwise.";

impl Scheme {
    /// Every setting that a source can have, by name.
    pub fn parameters(&self) -> Vec<Parameter> {
        let needed = self.needed_setting_names();
        let mut names: BTreeSet<String> = self.setting_names().into_iter().collect();
        names.extend(self.about.keys().cloned());
        names.extend((self.kind == Kind::Basic).then(|| USERNAME.to_owned()));
        let parameters = names.into_iter().map(|name| Parameter {
            about: match self.about.get(&name) {
                Some(about) => about.clone(),
                None if name == USERNAME => USERNAME_ABOUT.to_owned(),
                None => String::new(),
            },
            needed: needed.contains(&name),
            name,
        });
        parameters.collect()
    }

    /// The names of all settings that the scheme reads, those of handshakes included.
    pub fn setting_names(&self) -> Vec<String> {
        let mut names: BTreeSet<String> = self.needed_setting_names().into_iter().collect();
        for handshake in &self.handshake {
            let pairs = handshake.check.iter().chain(&handshake.when.equal);
            let answers = handshake.answer.json.values().chain(&handshake.answer.text);
            let texts = pairs
                .flat_map(|(left, right)| [left, right])
                .chain(answers)
                .chain(handshake.answer.headers.values())
                .chain(handshake.digest.iter().map(|digest| &digest.content));
            names.extend(texts.flat_map(|text| read_by(text, Template::references_of)));
        }
        names.into_iter().collect()
    }

    /// The names of the settings without which nothing can be verified.
    pub fn needed_setting_names(&self) -> Vec<String> {
        let claims = self.jwt.claims.values().flat_map(|many| &many.0);
        let pairs = self.require.iter().flat_map(|(left, right)| [left, right]);
        let texts = self
            .content
            .0
            .iter()
            .chain(claims)
            .chain(pairs)
            .chain(self.key.remote.iter().map(|remote| &remote.url))
            .chain(std::iter::once(&self.sig.pick));
        let mut names: BTreeSet<String> = self.params.iter().cloned().collect();
        names.extend(texts.flat_map(|text| read_by(text, Template::needed_of)));
        names.into_iter().collect()
    }
}

/// The settings that a text reads; texts that are no templates read none.
fn read_by(text: &str, references: fn(&Template) -> Vec<&Reference>) -> Vec<String> {
    let Ok(template) = Template::parse_lenient(text) else {
        return Vec::new();
    };
    references(&template)
        .into_iter()
        .filter_map(|reference| match reference {
            Reference::Param(name) => Some(name.clone()),
            _ => None,
        })
        .collect()
}
