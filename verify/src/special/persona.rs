//! Persona: `Persona-Signature: t=<seconds>,v1=<hex>`, and during a rotation several such pairs separated by blanks.
//!
//! Every pair is signed with another secret over its own `t` and the body.

use super::{
    Special, SpecialPlan,
    input::{LIST_MAX, any_secret, check_time, is_hmac, lower_hex, signature},
};
use crate::{
    Context, Refusal,
    scheme::{Algorithm, TimeUnit},
};

const SIGNATURE: &str = "persona-signature";

/// Persona names no limit.
const TOLERANCE_S: u32 = 300;

/// Persona.
pub(super) static SPECIAL: Special = Special {
    headers: &[SIGNATURE],
    ..Special::new("persona", verify)
};

fn verify(context: &Context<'_>, plan: &SpecialPlan) -> Result<(), Refusal> {
    for pair in read(signature(context.request, SIGNATURE)?)? {
        let signed = [pair.time.as_bytes(), b".", context.request.body];
        let verdict = any_secret(context.secrets, |secret| {
            is_hmac(Algorithm::Sha256, secret, &signed, &pair.signature)
        });
        match verdict {
            Ok(()) => return check_time(context, plan, (TimeUnit::S, pair.time), TOLERANCE_S),
            Err(Refusal::WrongSignature) => {}
            Err(other) => return Err(other),
        }
    }
    Err(Refusal::WrongSignature)
}

struct Pair<'a> {
    time: &'a str,
    signature: Vec<u8>,
}

fn read(header: &str) -> Result<Vec<Pair<'_>>, Refusal> {
    let texts = header.split(' ').filter(|text| !text.is_empty());
    let pairs: Vec<_> = texts
        .take(LIST_MAX)
        .map(read_pair)
        .collect::<Result<_, _>>()?;
    if pairs.is_empty() {
        return Err(Refusal::MissingSignature);
    }
    Ok(pairs)
}

fn read_pair(text: &str) -> Result<Pair<'_>, Refusal> {
    let mut time = None;
    let mut signature = None;
    for item in text.split(',') {
        let (place, value) = match item.split_once('=') {
            Some(("t", value)) => (&mut time, value),
            Some(("v1", value)) => (&mut signature, value),
            _ => continue,
        };
        if place.replace(value).is_some() {
            return Err(Refusal::MalformedSignature);
        }
    }
    Ok(Pair {
        time: time.ok_or(Refusal::MissingTimestamp)?,
        signature: lower_hex(signature.ok_or(Refusal::MissingSignature)?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_that_cannot_be_read_are_refused() {
        for (header, refusal) in [
            (" ", Refusal::MissingSignature),
            ("t=1", Refusal::MissingSignature),
            ("v1=00", Refusal::MissingTimestamp),
            ("t=1,v1=0", Refusal::MalformedSignature),
            ("t=1,v1=00,v1=01", Refusal::MalformedSignature),
            ("t=1,v1=00 t=2,t=3,v1=01", Refusal::MalformedSignature),
            ("t=1,v1=00 nonsense", Refusal::MissingTimestamp),
        ] {
            assert_eq!(read(header).err(), Some(refusal), "{header:?}");
        }
        assert_eq!(
            read("t=1,v0=x,v1=00  t=2,v1=01").map(|pairs| pairs.len()),
            Ok(2)
        );
    }
}
