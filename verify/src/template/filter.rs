//! Filters: what is done with a value before it is put into a template, and what form it must have.

use std::borrow::Cow;

use crate::{Refusal, timestamp};

/// What is done with a value before it is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter {
    None,
    Lower,
    Upper,
    Trim,
    Token,
    Word,
    Id,
    Hex,
    Digits,
}

impl Filter {
    /// Reads a filter's name.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "lower" => Self::Lower,
            "upper" => Self::Upper,
            "trim" => Self::Trim,
            "token" => Self::Token,
            "word" => Self::Word,
            "id" => Self::Id,
            "hex" => Self::Hex,
            "digits" => Self::Digits,
            _ => return None,
        })
    }

    /// Lets a value through, changed or not.
    ///
    /// # Errors
    /// `MalformedValue` when it does not have the form.
    pub(super) fn apply(self, value: Cow<'_, [u8]>) -> Result<Cow<'_, [u8]>, Refusal> {
        match self {
            Self::None => Ok(value),
            Self::Lower => Ok(Cow::Owned(value.to_ascii_lowercase())),
            Self::Upper => Ok(Cow::Owned(value.to_ascii_uppercase())),
            Self::Trim => Ok(Cow::Owned(value.trim_ascii().to_vec())),
            Self::Token if is_token(&value) => Ok(value),
            Self::Word if is_word(&value) => Ok(value),
            Self::Id if is_id(&value) => Ok(value),
            Self::Hex if is_hex(&value) => Ok(value),
            Self::Digits if is_digits(&value) => Ok(value),
            Self::Token | Self::Word | Self::Id | Self::Hex | Self::Digits => {
                Err(Refusal::MalformedValue)
            }
        }
    }
}

fn is_token(value: &[u8]) -> bool {
    (1..=256).contains(&value.len())
        && value
            .iter()
            .all(|&byte| byte.is_ascii_graphic() && byte != b'.')
}

/// What a provider's challenge is made of, and no JSON object or array is: a digest of it is a signature of nothing else.
fn is_word(value: &[u8]) -> bool {
    let plain = |&byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~+/=".contains(&byte);
    (1..=256).contains(&value.len()) && value.iter().all(plain)
}

/// What can stand in a path without changing it.
fn is_id(value: &[u8]) -> bool {
    let plain = |&byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=128).contains(&value.len()) && value.iter().all(plain)
}

fn is_hex(value: &[u8]) -> bool {
    let plain = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (1..=64).contains(&value.len()) && value.iter().all(plain)
}

fn is_digits(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_ok_and(|text| timestamp::digits(text).is_some())
}
