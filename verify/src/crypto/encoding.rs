//! Bytes written as text: strictly read.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose},
};

use crate::scheme::Encoding;

/// Base64url whose padding may be there or not.
const URL_ANY_PADDING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Base64 whose padding may be there or not.
const STANDARD_ANY_PADDING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads text of an encoding. No blanks, no line breaks, no bits that say nothing.
pub(crate) fn decode(encoding: Encoding, text: &str) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Hex => hex::decode(text).ok(),
        Encoding::Base64 => base64(text),
        Encoding::Base64url => base64url(text),
        Encoding::Base64hex => base64(text).and_then(|hex| hex::decode(hex).ok()),
    }
}

/// Writes bytes in an encoding: hex in lower case, base64url without padding.
pub(crate) fn encode(encoding: Encoding, bytes: &[u8]) -> String {
    match encoding {
        Encoding::Hex => hex::encode(bytes),
        Encoding::Base64 => general_purpose::STANDARD.encode(bytes),
        Encoding::Base64url => general_purpose::URL_SAFE_NO_PAD.encode(bytes),
        Encoding::Base64hex => general_purpose::STANDARD.encode(hex::encode(bytes)),
    }
}

/// Padded base64.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    general_purpose::STANDARD.decode(text).ok()
}

/// Base64url, padded or not.
pub(crate) fn base64url(text: &str) -> Option<Vec<u8>> {
    URL_ANY_PADDING.decode(text).ok()
}

/// Base64 of either alphabet, padded or not: for configured keys only, never for what a request holds.
pub(crate) fn lenient_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD_ANY_PADDING
        .decode(text)
        .or_else(|_| URL_ANY_PADDING.decode(text))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_the_right_encoding_is_read_and_no_other() {
        let good = [
            (Encoding::Hex, "00ff"),
            (Encoding::Hex, "00FF"),
            (Encoding::Base64, "AP8="),
            (Encoding::Base64url, "AP8"),
            (Encoding::Base64url, "AP8="),
            (Encoding::Base64hex, "MDBmZg=="),
        ];
        for (encoding, text) in good {
            assert_eq!(
                decode(encoding, text),
                Some(vec![0, 255]),
                "{encoding:?} {text}"
            );
        }
        let bad = [
            (Encoding::Hex, "00f"),
            (Encoding::Hex, "0x00"),
            (Encoding::Hex, " 00"),
            (Encoding::Base64, "AP8"),
            (Encoding::Base64, "AP8=\n"),
            (Encoding::Base64, "A P8="),
            (Encoding::Base64, "AP9="),
            (Encoding::Base64, "_-8="),
            (Encoding::Base64url, "+/8"),
            (Encoding::Base64hex, "AP8="),
        ];
        for (encoding, text) in bad {
            assert_eq!(decode(encoding, text), None, "{encoding:?} {text:?}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for encoding in [
            Encoding::Hex,
            Encoding::Base64,
            Encoding::Base64url,
            Encoding::Base64hex,
        ] {
            let bytes: Vec<u8> = (0..=255).collect();
            assert_eq!(decode(encoding, &encode(encoding, &bytes)), Some(bytes));
        }
    }
}
