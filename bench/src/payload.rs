//! Event payloads of one size that carry a number.

use bytes::Bytes;

const START: &str = r#"{"n":""#;
const MIDDLE: &str = r#"","text":""#;
const END: &str = r#""}"#;
const DIGITS: usize = 12;

/// Makes JSON payloads of one size.
#[derive(Clone, Debug)]
pub(crate) struct Payloads {
    padding: String,
}

impl Payloads {
    /// Of `bytes` bytes, but never below what the number needs.
    pub(crate) fn of_size(bytes: u32) -> Self {
        let fixed = START.len() + DIGITS + MIDDLE.len() + END.len();
        let padding = (bytes as usize).saturating_sub(fixed);
        Self {
            padding: "posthorn".chars().cycle().take(padding).collect(),
        }
    }

    /// The payload that carries `number`.
    pub(crate) fn numbered(&self, number: u64) -> Bytes {
        Bytes::from(format!(
            "{START}{number:0DIGITS$}{MIDDLE}{}{END}",
            self.padding
        ))
    }
}

/// The number that a payload carries, or none when it is not one of ours.
pub(crate) fn number(payload: &[u8]) -> Option<u64> {
    let digits = payload.get(START.len()..START.len() + DIGITS)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_json_of_the_size_asked_for_and_gives_its_number_back() {
        for (bytes, n) in [(64, 0), (512, 123_456_789), (4096, 999_999_999_999)] {
            let payload = Payloads::of_size(bytes).numbered(n);
            assert_eq!(payload.len(), bytes as usize);
            assert_eq!(number(&payload), Some(n));
            let json: serde_json::Value = serde_json::from_slice(&payload).expect("it is JSON");
            assert!(json["text"].is_string());
        }
        assert_eq!(number(b"short"), None);
    }
}
