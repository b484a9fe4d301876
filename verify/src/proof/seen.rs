//! What a proof reads of a request, for tests that change requests.

use super::Proof;
use crate::{
    Refusal,
    crypto::encoding::{base64, decode, encode},
    crypto::jwt,
    values::Values,
};

/// The signatures and what they are of, as the scheme reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The decoded signatures, with the number of their place.
    pub signatures: Vec<(usize, Vec<u8>)>,
    /// What is signed.
    pub contents: Vec<Vec<u8>>,
}

impl Seen {
    /// Whether this is no other signed content, with a signature that was there before.
    pub(crate) fn is_as_good_as(&self, before: &Self) -> bool {
        self.contents == before.contents
            && self
                .signatures
                .iter()
                .any(|signature| before.signatures.contains(signature))
    }
}

impl Proof {
    /// Reads what would be verified.
    pub(crate) fn seen(&self, values: &mut Values<'_>) -> Result<Seen, Refusal> {
        match self {
            Self::Signed(plan) => {
                let written = plan.sig.read(values)?;
                let signatures = plan.sig.decode(&written)?;
                values.sig = written.others;
                let contents = plan.contents.iter().map(|content| {
                    let pieces = content.pieces(values)?;
                    Ok(pieces
                        .iter()
                        .flat_map(|piece| piece.bytes(b""))
                        .copied()
                        .collect())
                });
                let contents = contents.collect::<Result<_, Refusal>>()?;
                Ok(Seen {
                    signatures,
                    contents,
                })
            }
            Self::Jwt(plan) => {
                let written = plan.sig.read(values)?;
                let token = &written.entries.first().ok_or(Refusal::MissingSignature)?.1;
                values.claims = jwt::payload(token);
                let body = if plan.covers_body() {
                    values.request().body
                } else {
                    b""
                };
                Ok(Seen {
                    signatures: vec![(0, token.clone().into_bytes())],
                    contents: vec![body.to_vec()],
                })
            }
            Self::Token(plan) => {
                let entries = plan.sig.read(values)?.entries;
                let signatures = entries
                    .into_iter()
                    .map(|(place, text)| (place, text.into_bytes()));
                Ok(Seen {
                    signatures: signatures.collect(),
                    contents: Vec::new(),
                })
            }
            Self::Basic(plan) => {
                let entries = plan.sig.read(values)?.entries;
                let signatures = entries
                    .into_iter()
                    .filter_map(|(place, text)| Some((place, base64(&text)?)));
                Ok(Seen {
                    signatures: signatures.collect(),
                    contents: Vec::new(),
                })
            }
            Self::None => Ok(Seen {
                signatures: vec![(0, Vec::new())],
                contents: Vec::new(),
            }),
            Self::Special(..) => Err(Refusal::MalformedValue),
        }
    }

    /// Each signature as it is written, and as it would be written when its bytes were cut to every shorter length or
    /// one longer.
    pub(crate) fn rewritten(&self, values: &Values<'_>) -> Vec<(String, String)> {
        let Self::Signed(plan) = self else {
            return Vec::new();
        };
        let enc = plan.sig.encoding();
        let written = plan.sig.read(values).expect("signatures");
        let mut pairs = Vec::new();
        for (_, text) in written.entries {
            let Some(bytes) = decode(enc, &text) else {
                continue;
            };
            let longer = [bytes.as_slice(), &[0]].concat();
            let cut = (0..bytes.len()).map(|length| &bytes[..length]);
            for other in cut.chain([longer.as_slice()]) {
                pairs.push((text.clone(), encode(enc, other)));
            }
        }
        pairs
    }
}
