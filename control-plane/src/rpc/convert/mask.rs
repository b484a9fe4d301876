//! Field masks: which settings an update changes.

use prost_types::FieldMask;

use crate::error::Error;

/// The fields of a message that an update can name.
pub(crate) trait Field: Copy + PartialEq + 'static {
    /// All of them, in the order in which they are read.
    const ALL: &'static [Self];

    /// Its name in the contract.
    fn name(self) -> &'static str;
}

/// Declares the fields of a message. Whoever reads them by a `match` is told of a new one by the compiler.
macro_rules! fields {
    ($(#[$doc:meta])* $type:ident { $($variant:ident: $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum $type {
            $(
                #[doc = concat!("`", $name, "`.")]
                $variant,
            )*
        }

        impl $crate::rpc::convert::Field for $type {
            const ALL: &'static [Self] = &[$(Self::$variant,)*];

            fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}
pub(in crate::rpc) use fields;

/// Reads an `update_mask`: at least one of the fields, each once.
pub(crate) fn check_mask<F: Field>(mask: Option<&FieldMask>) -> Result<Vec<F>, Error> {
    let paths = mask.map_or(&[][..], |mask| mask.paths.as_slice());
    let refused = || {
        let names = F::ALL.iter().map(|field| field.name()).collect::<Vec<_>>();
        let names = names.join(", ");
        Error::invalid(
            "update_mask",
            format!("must name what is to change, each once: {names}"),
        )
    };
    if paths.is_empty() || paths.len() > F::ALL.len() {
        return Err(refused());
    }
    let mut fields = Vec::with_capacity(paths.len());
    for path in paths {
        let mut known = F::ALL.iter().copied();
        let field = known
            .find(|field| field.name() == path)
            .ok_or_else(refused)?;
        if fields.contains(&field) {
            return Err(refused());
        }
        fields.push(field);
    }
    Ok(fields)
}

/// The fields of a message of the contract, but those that no update names, in the order of their names.
#[cfg(test)]
pub(crate) fn described(message: &str, but: &[&str]) -> Vec<String> {
    let pool = prost_reflect::DescriptorPool::decode(posthorn::v1::FILE_DESCRIPTOR_SET).unwrap();
    let message = pool
        .get_message_by_name(&format!("posthorn.v1.{message}"))
        .unwrap();
    let mut names = message
        .fields()
        .map(|field| field.name().to_owned())
        .filter(|name| !but.contains(&name.as_str()))
        .collect::<Vec<_>>();
    names.sort();
    names
}

/// The names of the fields that an update can name, in the order of the alphabet.
#[cfg(test)]
pub(crate) fn names<F: Field>() -> Vec<String> {
    let mut names = F::ALL
        .iter()
        .map(|field| field.name().to_owned())
        .collect::<Vec<_>>();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fields! {
        /// Two fields.
        Letter {
            A: "a",
            B: "b",
        }
    }

    #[test]
    fn a_mask_names_known_fields_once() {
        let many = vec!["a"; 10_000];
        for (paths, is_good) in [
            (&["a"][..], true),
            (&["b", "a"], true),
            (&[], false),
            (&["a", "a"], false),
            (&["c"], false),
            (&["a.b"], false),
            (&["*"], false),
            (&[""], false),
            (&many, false),
        ] {
            let mask = FieldMask {
                paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            };
            assert_eq!(
                check_mask::<Letter>(Some(&mask)).is_ok(),
                is_good,
                "{paths:?}"
            );
        }
        assert!(check_mask::<Letter>(None).is_err());
    }
}
