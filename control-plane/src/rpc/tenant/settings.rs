//! What an admin decides about a tenant, read and written.

use posthorn::v1;

use crate::{
    error::Error,
    model::tenant::{Environment, TenantSettings},
    rpc::convert::{
        Field as _, Violations, fields, printable, retry_policy, retry_policy_proto, visible_name,
    },
};

fields! {
    /// The fields that an update can name.
    Field {
        Name: "name",
        OrganizationId: "organization_id",
        Environment: "environment",
        RetryPolicy: "retry_policy",
    }
}

const NAME_CHARS_MAX: usize = 100;
const ORGANIZATION_ID_CHARS_MAX: usize = 100;

/// Reads the settings of a new tenant.
pub(super) fn read(new: &v1::TenantSettings) -> Result<TenantSettings, Error> {
    let mut settings = TenantSettings {
        name: String::new(),
        organization_id: String::new(),
        environment: Environment::Development,
        retry_policy: None,
    };
    change(&mut settings, new, Field::ALL)?;
    Ok(settings)
}

/// Reads the named fields over the settings that are there.
pub(super) fn change(
    settings: &mut TenantSettings,
    new: &v1::TenantSettings,
    fields: &[Field],
) -> Result<(), Error> {
    let mut violations = Violations::default();
    for field in fields {
        let read = change_field(settings, new, *field);
        violations.take(read)?;
    }
    violations.finish()
}

/// The contract's form.
pub(super) fn proto(settings: &TenantSettings) -> v1::TenantSettings {
    let environment = match settings.environment {
        Environment::Development => v1::Environment::Development,
        Environment::Staging => v1::Environment::Staging,
        Environment::Production => v1::Environment::Production,
    };
    v1::TenantSettings {
        name: settings.name.clone(),
        organization_id: settings.organization_id.clone(),
        environment: environment.into(),
        retry_policy: settings.retry_policy.as_ref().map(retry_policy_proto),
    }
}

fn change_field(
    settings: &mut TenantSettings,
    new: &v1::TenantSettings,
    field: Field,
) -> Result<(), Error> {
    match field {
        Field::Name => settings.name = visible_name("settings.name", &new.name, NAME_CHARS_MAX)?,
        Field::OrganizationId => {
            let field = "settings.organization_id";
            settings.organization_id =
                printable(field, &new.organization_id, ORGANIZATION_ID_CHARS_MAX)?;
        }
        Field::Environment => settings.environment = environment(new.environment)?,
        Field::RetryPolicy => {
            let policy = new.retry_policy.as_ref();
            let policy = policy.map(|policy| retry_policy("settings.retry_policy", policy));
            settings.retry_policy = policy.transpose()?;
        }
    }
    Ok(())
}

fn environment(number: i32) -> Result<Environment, Error> {
    match v1::Environment::try_from(number) {
        Ok(v1::Environment::Unspecified | v1::Environment::Development) => {
            Ok(Environment::Development)
        }
        Ok(v1::Environment::Staging) => Ok(Environment::Staging),
        Ok(v1::Environment::Production) => Ok(Environment::Production),
        Err(_) => Err(Error::invalid(
            "settings.environment",
            "must be a known environment",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::convert::{described, names};

    fn new() -> v1::TenantSettings {
        v1::TenantSettings {
            name: "acme".to_owned(),
            organization_id: "org-7".to_owned(),
            environment: v1::Environment::Staging.into(),
            retry_policy: Some(retry_policy_proto(&crate::retry::RetryPolicy::Long)),
        }
    }

    #[test]
    fn settings_survive_the_way_there_and_back() {
        assert_eq!(proto(&read(&new()).unwrap()), new());
    }

    #[test]
    fn only_named_fields_change() {
        let mut settings = read(&new()).unwrap();
        let other = v1::TenantSettings {
            name: "other".to_owned(),
            ..v1::TenantSettings::default()
        };
        change(&mut settings, &other, &[Field::Name]).unwrap();
        assert_eq!(
            proto(&settings),
            v1::TenantSettings {
                name: "other".to_owned(),
                ..new()
            }
        );
        change(&mut settings, &other, &[Field::RetryPolicy]).unwrap();
        assert_eq!(settings.retry_policy, None);
    }

    #[test]
    fn every_field_at_fault_is_named() {
        let bad = v1::TenantSettings {
            name: " ".to_owned(),
            organization_id: "\0".to_owned(),
            environment: 9,
            retry_policy: Some(v1::RetryPolicy::default()),
        };
        let Err(Error::Invalid(violations)) = read(&bad) else {
            panic!("accepted")
        };
        let fields = violations.iter().map(|violation| violation.field.as_str());
        let expected = Field::ALL
            .iter()
            .map(|field| format!("settings.{}", field.name()));
        assert!(fields.eq(expected));
    }

    #[test]
    fn every_setting_of_the_contract_can_be_updated() {
        assert_eq!(names::<Field>(), described("TenantSettings", &[]));
    }
}
