//! Field masks: which settings an update changes.

use prost_types::FieldMask;

use crate::error::Error;

/// Reads an `update_mask`: at least one of the `known` fields, each once.
pub(crate) fn check_mask(
    mask: Option<&FieldMask>,
    known: &[&'static str],
) -> Result<Vec<&'static str>, Error> {
    let paths = mask.map_or(&[][..], |mask| mask.paths.as_slice());
    let refused = || {
        let names = known.join(", ");
        Error::invalid(
            "update_mask",
            format!("must name fields of `settings`, each once: {names}"),
        )
    };
    if paths.is_empty() || paths.len() > known.len() {
        return Err(refused());
    }
    let mut fields = Vec::with_capacity(paths.len());
    for path in paths {
        let field = known
            .iter()
            .find(|field| *field == path)
            .ok_or_else(refused)?;
        if fields.contains(field) {
            return Err(refused());
        }
        fields.push(*field);
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

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
                check_mask(Some(&mask), &["a", "b"]).is_ok(),
                is_good,
                "{paths:?}"
            );
        }
        assert!(check_mask(None, &["a", "b"]).is_err());
    }
}
