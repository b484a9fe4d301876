//! The addresses that a scheme has fetched or called, known before any request: for whoever judges where they may lead.

use super::{Scheme, SchemeError, Settings};
use crate::{
    remote::{check_hosts, pinned},
    template::Template,
};

/// An address, or an example of those that a record allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The field of the record that says it.
    pub field: &'static str,
    /// The URL, as the record has it. What is only known with a request is `x`.
    pub url: String,
}

impl Scheme {
    /// The addresses, with the settings of a source.
    ///
    /// # Errors
    /// A list of hosts takes in more than one party's, or the address of the key is at none of its hosts.
    pub fn addresses(&self, settings: &Settings) -> Result<Vec<Address>, SchemeError> {
        let mut addresses = Vec::new();
        if let Some(remote) = &self.key.remote {
            const URL: &str = "key.remote.url";
            addresses.extend(of_hosts("key.remote.hosts", &remote.hosts)?);
            let template = Template::parse(&remote.url);
            let template = template.map_err(|what| SchemeError::new(URL, what))?;
            if !template.is_one_value() {
                let url = template.example(settings);
                if pinned(&url, &remote.hosts).is_none() {
                    let rule = "must be an https URL at one of `hosts` and at the usual port";
                    return Err(SchemeError::new(URL, rule));
                }
                addresses.push(Address { field: URL, url });
            }
        }
        for handshake in &self.handshake {
            let hosts = of_hosts("handshake.call_back_hosts", &handshake.call_back_hosts)?;
            addresses.extend(hosts);
        }
        Ok(addresses)
    }
}

fn of_hosts(field: &'static str, hosts: &[String]) -> Result<Vec<Address>, SchemeError> {
    check_hosts(hosts).map_err(|what| SchemeError::new(field, what))?;
    let examples = hosts.iter().map(|host| Address {
        field,
        url: format!("https://{}/", host.replace('*', "x")),
    });
    Ok(examples.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue;

    fn of(record: &str) -> Result<Vec<String>, String> {
        let scheme = Scheme::from_json(record).expect(record);
        let settings = [("tenant".to_owned(), "acme".to_owned())].into();
        let addresses = scheme.addresses(&settings).map_err(|error| error.field)?;
        Ok(addresses.into_iter().map(|address| address.url).collect())
    }

    fn with_key(url: &str, hosts: &str) -> String {
        format!(
            r#"{{"kind":"asym","key":{{"remote":{{"url":"{url}","hosts":{hosts},"form":"pem"}}}}}}"#
        )
    }

    #[test]
    fn an_address_is_what_the_record_and_the_settings_say() {
        let key = with_key(
            "https://{param:tenant}.keys.example.com/{header:x-key|id}.pem",
            r#"["*.keys.example.com"]"#,
        );
        let expected = [
            "https://x.keys.example.com/",
            "https://acme.keys.example.com/x.pem",
        ];
        assert_eq!(of(&key).unwrap(), expected);
        let any = with_key("{header:x-url}", r#"["keys.example.com"]"#);
        assert_eq!(of(&any).unwrap(), ["https://keys.example.com/"]);
    }

    #[test]
    fn an_address_at_none_of_its_hosts_is_refused() {
        for url in [
            "http://keys.example.com/",
            "https://keys.example.com:8443/",
            "https://user@keys.example.com/",
            "https://evil.example.net/keys.example.com",
            "https://{param:tenant}.example.com/",
            "keys.example.com",
        ] {
            let record = with_key(url, r#"["keys.example.com"]"#);
            assert_eq!(of(&record).unwrap_err(), "key.remote.url", "{url}");
        }
    }

    #[test]
    fn every_record_of_the_catalogue_has_addresses_that_it_may_have() {
        for name in catalogue().names() {
            let provider = catalogue().get(name).unwrap();
            let addresses = provider.scheme.addresses(&Settings::new());
            assert!(addresses.is_ok(), "{name}: {addresses:?}");
        }
    }
}
