//! Values that must be equal.

use crate::{
    Refusal, SchemeError, Secret, crypto::digest::same, reference::Reference, template::Template,
    values::Values,
};

/// The most pairs of one list.
const PAIRS_MAX: usize = 16;

/// Two values that must be equal. `secret` on the right means any of the source's secrets, `secret:ROLE` any that is
/// configured as `ROLE:...`.
#[derive(Debug, Clone)]
pub(crate) struct Comparison {
    left: Reference,
    right: Template,
}

impl Comparison {
    /// Reads a list of pairs.
    pub(crate) fn compile_all(
        field: &str,
        pairs: &[(String, String)],
    ) -> Result<Vec<Self>, SchemeError> {
        if pairs.len() > PAIRS_MAX {
            return Err(SchemeError::new(field, "must not have more than 16 pairs"));
        }
        pairs
            .iter()
            .map(|(left, right)| {
                let left = Reference::parse(left)
                    .ok_or_else(|| SchemeError::new(field, format!("`{left}` is no reference")))?;
                let right =
                    Template::parse_lenient(right).map_err(|what| SchemeError::new(field, what))?;
                Ok(Self { left, right })
            })
            .collect()
    }

    /// All references.
    pub(crate) fn references(&self) -> impl Iterator<Item = &Reference> {
        self.right.references().chain(std::iter::once(&self.left))
    }

    /// What is compared with a secret.
    pub(crate) fn shown_secret(&self) -> Option<&Reference> {
        let mut right = self.right.references();
        right
            .any(|reference| matches!(reference, Reference::Secret | Reference::Role(_)))
            .then_some(&self.left)
    }

    /// The role of the secrets that the right side means, if of one.
    pub(crate) fn role(&self) -> Option<&str> {
        self.right
            .references()
            .find_map(|reference| match reference {
                Reference::Role(role) => Some(role.as_str()),
                _ => None,
            })
    }

    /// Whether both are there and equal, in a time that does not tell where they differ.
    pub(crate) fn holds(&self, values: &Values<'_>, secrets: &[Secret]) -> Result<bool, Refusal> {
        let Some(left) = values.get(&self.left)? else {
            return Ok(false);
        };
        if self
            .right
            .references()
            .any(|reference| *reference == Reference::Secret)
        {
            return Ok(secrets
                .iter()
                .fold(false, |equal, secret| equal | same(&left, secret.expose())));
        }
        if let Some(Reference::Role(role)) = self.right.references().next() {
            return Ok(secrets
                .iter()
                .filter_map(|secret| of_role(secret, role))
                .fold(false, |equal, secret| equal | same(&left, secret)));
        }
        match self.right.text(values) {
            Ok(right) => Ok(same(&left, right.as_bytes())),
            Err(Refusal::MissingValue) => Ok(false),
            Err(refusal) => Err(refusal),
        }
    }
}

/// What follows a role and a colon; never nothing.
pub(crate) fn of_role<'s>(secret: &'s Secret, role: &str) -> Option<&'s [u8]> {
    let rest = secret.expose().strip_prefix(role.as_bytes())?;
    rest.strip_prefix(b":").filter(|rest| !rest.is_empty())
}
