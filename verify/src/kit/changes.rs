//! Changes of a request, one at a time.

use super::Trial;
use crate::Secret;

/// How many bytes of a body are flipped bit by bit.
const FLIPPED_BYTES_MAX: usize = 256;

impl Trial {
    /// Every single-bit flip of every header that is signed or a signature.
    pub(super) fn header_flips(&self) -> Vec<(String, Self)> {
        let mut flips = Vec::new();
        for header in self.signed_headers() {
            for bit in 0..self.headers[header].1.len() * 8 {
                let mut trial = self.clone();
                trial.headers[header].1[bit / 8] ^= 1 << (bit % 8);
                flips.push((format!("bit {bit} of {}", self.headers[header].0), trial));
            }
        }
        flips
    }

    /// Every single-bit flip of the body's first 256 bytes.
    pub(super) fn body_flips(&self) -> Vec<(String, Self)> {
        (0..self.body.len().min(FLIPPED_BYTES_MAX) * 8)
            .map(|bit| {
                let mut trial = self.clone();
                trial.body[bit / 8] ^= 1 << (bit % 8);
                (format!("bit {bit} of the body"), trial)
            })
            .collect()
    }

    /// Every single-bit flip of path and query that leaves ASCII, where they are read.
    pub(super) fn path_flips(&self) -> Vec<(String, Self)> {
        if !self.reads_path() {
            return Vec::new();
        }
        let flipped = |bit: usize| {
            let mut path_query = self.path_query.clone().into_bytes();
            path_query[bit / 8] ^= 1 << (bit % 8);
            String::from_utf8(path_query).ok()
        };
        (0..self.path_query.len() * 8)
            .filter_map(|bit| {
                let trial = Self {
                    path_query: flipped(bit)?,
                    ..self.clone()
                };
                Some((format!("bit {bit} of the path"), trial))
            })
            .collect()
    }

    /// Every header that is signed or a signature, cut to every shorter length, left out, and made longer by a character.
    pub(super) fn cut_headers(&self) -> Vec<(String, Self)> {
        let mut cuts = Vec::new();
        for header in self.signed_headers() {
            let (name, value) = &self.headers[header];
            for length in 0..value.len() {
                let mut trial = self.clone();
                trial.headers[header].1.truncate(length);
                cuts.push((format!("{name} cut to {length}"), trial));
            }
            let mut trial = self.clone();
            trial.headers[header].1.push(b'0');
            cuts.push((format!("{name} with a character more"), trial));
            let mut trial = self.clone();
            trial.headers.remove(header);
            cuts.push((format!("no {name}"), trial));
        }
        cuts
    }

    /// Every signature with its bytes cut to every shorter length, none included, and with a byte more.
    pub(super) fn cut_signatures(&self) -> Vec<(String, Self)> {
        let replaced = |whole: &[u8], from: &str, to: &str| {
            String::from_utf8(whole.to_vec())
                .map_or(whole.to_vec(), |text| text.replace(from, to).into_bytes())
        };
        self.with_request(|request| self.verifier.rewritten(request))
            .into_iter()
            .map(|(from, to)| {
                let mut trial = self.clone();
                for (_, value) in &mut trial.headers {
                    *value = replaced(value, &from, &to);
                }
                trial.body = replaced(&trial.body, &from, &to);
                trial.path_query = trial.path_query.replace(&from, &to);
                (format!("signature {to}"), trial)
            })
            .collect()
    }

    /// The body without its last byte, with one more, empty, and twice.
    pub(super) fn other_bodies(&self) -> Vec<(String, Self)> {
        let body = &self.body;
        let shorter = &body[..body.len().saturating_sub(1)];
        [
            ("shorter body", shorter.to_vec()),
            ("longer body", [body.as_slice(), b" "].concat()),
            ("no body", Vec::new()),
            ("body twice", [body.as_slice(), body].concat()),
        ]
        .into_iter()
        .filter(|(_, other)| other != body)
        .map(|(name, body)| {
            (
                name.to_owned(),
                Self {
                    body,
                    ..self.clone()
                },
            )
        })
        .collect()
    }

    /// Each signed header a second time with another value.
    pub(super) fn repeated_headers(&self) -> Vec<(String, Self)> {
        self.signed_headers()
            .into_iter()
            .map(|header| {
                let (name, value) = self.headers[header].clone();
                let mut trial = self.clone();
                trial
                    .headers
                    .push((name.clone(), [value, b"0".to_vec()].concat()));
                (format!("{name} twice"), trial)
            })
            .collect()
    }

    /// Other secrets and other fetched keys: the same length, the same alphabet.
    pub(super) fn other_secrets(&self) -> Self {
        let secrets = self.secrets.iter().map(|secret| {
            let other = turned(secret.expose());
            Secret::new(other).expect("a secret")
        });
        let mut trial = self.clone();
        trial.secrets = secrets.collect();
        for page in &mut trial.fetched {
            page.body = turned(&page.body);
        }
        trial
    }
}

/// Each letter and digit in the middle half moved on by one.
fn turned(bytes: &[u8]) -> Vec<u8> {
    let (from, to) = (bytes.len() / 4, bytes.len() - bytes.len() / 4);
    let mut turned = bytes.to_vec();
    for byte in &mut turned[from..to] {
        *byte = match *byte {
            b'9' => b'0',
            b'f' => b'a',
            b'F' => b'A',
            b'z' => b'y',
            b'Z' => b'Y',
            letter if letter.is_ascii_alphanumeric() => letter + 1,
            other => other,
        };
    }
    turned
}
