//! Exact Online: the body holds `Content` and `HashCode`, the HMAC-SHA256 of the very text of `Content`.
//!
//! What else the body holds is not signed. There is no signing time.

use super::{
    Special, SpecialPlan,
    input::{Object, any_secret, is_hmac},
};
use crate::{Context, Refusal, scheme::Algorithm};

/// Exact Online. The secret is the webhook secret of the app.
pub(super) static SPECIAL: Special = Special::new("exact_online", verify);

fn verify(context: &Context<'_>, _plan: &SpecialPlan) -> Result<(), Refusal> {
    let body = Object::of_body(context.request.body)?;
    let signature = body.string("HashCode").filter(|text| !text.is_empty());
    let signature = hex::decode(&*signature.ok_or(Refusal::MissingSignature)?);
    let signature = signature.map_err(|_| Refusal::MalformedSignature)?;
    let signed = body.get("Content").ok_or(Refusal::MissingValue)?;
    // Readers of what was signed must not find a name twice in it either.
    Object::read(&signed)?;
    any_secret(context.secrets, |secret| {
        is_hmac(
            Algorithm::Sha256,
            secret,
            &[signed.raw.as_bytes()],
            &signature,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::special::tests::each_flip;

    #[test]
    fn no_flipped_bit_changes_what_was_signed() {
        each_flip("exact_online", |body| {
            let body = Object::of_body(body).ok()?;
            Some(body.get("Content")?.raw.to_owned())
        });
    }
}
