//! Bridge (bridge.xyz): `t=<milliseconds>,v0=<base64>`, RSA with SHA-256 over the SHA-256 of time and body.
//!
//! The content is hashed once by Bridge and once more by the signature; that is how Bridge signs.

use super::{
    Special, SpecialPlan,
    input::{any_public_key, base64, check_time, public_keys, signature},
};
use crate::{
    Context, Refusal,
    crypto::digest::plain,
    scheme::{Algorithm, TimeUnit},
};

const SIGNATURE: &str = "x-webhook-signature";

/// Bridge gives a request ten minutes.
const TOLERANCE_S: u32 = 600;

/// Bridge. The secret is the webhook's public key in PEM.
pub(super) static SPECIAL: Special = Special {
    headers: &[SIGNATURE],
    ..Special::new("bridge_xyz", verify)
};

fn verify(context: &Context<'_>, plan: &SpecialPlan) -> Result<(), Refusal> {
    let (time, signature) = read(signature(context.request, SIGNATURE)?)?;
    let pieces = [time.as_bytes(), b".", context.request.body];
    let digest = plain(Algorithm::Sha256, pieces.into_iter()).unwrap_or_default();
    let keys = public_keys(context.secrets);
    any_public_key(&keys, Algorithm::RsaSha256, &digest, &signature)?;
    check_time(context, plan, (TimeUnit::Ms, time), TOLERANCE_S)
}

fn read(header: &str) -> Result<(&str, Vec<u8>), Refusal> {
    let mut time = None;
    let mut signature = None;
    for item in header.split(',') {
        let (place, value) = match item.trim().split_once('=') {
            Some(("t", value)) => (&mut time, value),
            Some(("v0", value)) => (&mut signature, value),
            _ => continue,
        };
        if place.replace(value).is_some() {
            return Err(Refusal::MalformedSignature);
        }
    }
    let signature = signature.filter(|text| !text.is_empty());
    let signature = base64(signature.ok_or(Refusal::MissingSignature)?)?;
    Ok((time.ok_or(Refusal::MissingTimestamp)?, signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_read_strictly() {
        for (header, expected) in [
            ("t=1,v0=AP8=", Ok(("1", vec![0, 255]))),
            ("v0=AP8=, t=1", Ok(("1", vec![0, 255]))),
            ("t=1,v0=AP8", Err(Refusal::MalformedSignature)),
            ("t=1,t=2,v0=AP8=", Err(Refusal::MalformedSignature)),
            ("t=1,v0=", Err(Refusal::MissingSignature)),
            ("t=1", Err(Refusal::MissingSignature)),
            ("v0=AP8=", Err(Refusal::MissingTimestamp)),
        ] {
            assert_eq!(read(header), expected, "{header}");
        }
    }
}
