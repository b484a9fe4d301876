//! What tests want to know of a verifier.

use super::Verifier;
use crate::{
    Refusal, Request, crypto::compare::Comparison, proof::Seen, reference::Reference, timestamp,
};

impl Verifier {
    /// What the scheme reads of a request.
    pub(crate) fn seen(&self, request: &Request<'_>) -> Result<Seen, Refusal> {
        let mut values = self.values(request);
        let mut seen = self.proof.seen(&mut values)?;
        if let Some(time) = &self.time {
            seen.contents
                .push(time.read(&values)?.unwrap_or_default().into_bytes());
        }
        Ok(seen)
    }

    /// Each signature as it is written, and with its bytes cut to every shorter length or one longer.
    pub(crate) fn rewritten(&self, request: &Request<'_>) -> Vec<(String, String)> {
        self.proof.rewritten(&self.values(request))
    }

    /// The references whose values must not be changed.
    pub(crate) fn signed_references(&self) -> Vec<&Reference> {
        self.proof
            .references()
            .chain(self.time.iter().flat_map(|time| &time.at))
            .chain(self.require.iter().flat_map(Comparison::references))
            .collect()
    }

    /// The names of the headers that must not be changed.
    pub(crate) fn signed_header_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.proof.special_headers().map(str::to_owned).collect();
        for reference in self.signed_references() {
            if let Reference::Header(name) = reference {
                names.push(name.clone());
                names.extend(
                    self.names
                        .header_alias
                        .get(name)
                        .into_iter()
                        .flatten()
                        .cloned(),
                );
            }
        }
        names
    }

    /// The first and the last millisecond at which a request is accepted, where the scheme's record has a time.
    pub(crate) fn accepted_between(&self, request: &Request<'_>) -> Option<(i64, i64)> {
        let time = self.time.as_ref()?;
        let mut values = self.values(request);
        self.proof.read_others(&mut values);
        let text = time.read(&values).ok().flatten()?;
        let at = timestamp::parse(time.unit, &text).ok()?;
        let window = time.window?;
        Some((at - window.future_ms, at + window.past_ms))
    }
}
