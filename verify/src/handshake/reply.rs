//! The answer to a handshake: echoes and digests, filled in.

use serde_json::{Map, Value};

use crate::{
    Answer, Refusal, SchemeError, Secret,
    answer::{check_header, check_status, is_header_value},
    crypto::digest,
    crypto::encoding::encode,
    crypto::key,
    reference::Reference,
    scheme::{DigestRule, HandshakeAnswer, KeyRule},
    template::{Piece, Template},
    values::Values,
};

/// The longest text that is echoed, in bytes.
const ECHO_BYTES_MAX: usize = 1024;

#[derive(Debug, Clone)]
/// A compiled [`DigestRule`].
pub(super) struct DigestPlan {
    rule: DigestRule,
    /// What is digested.
    pub(super) content: Template,
}

#[derive(Debug, Clone)]
/// A compiled [`HandshakeAnswer`].
pub(super) struct AnswerPlan {
    status: u16,
    text: Option<Template>,
    json: Vec<(String, Template)>,
    json_numbers: Vec<(String, i64)>,
    headers: Vec<(String, Template)>,
}

impl DigestPlan {
    /// Checks a rule.
    pub(super) fn compile(rule: &DigestRule) -> Result<Self, SchemeError> {
        let content = Template::parse(&rule.content)
            .map_err(|what| SchemeError::new("handshake.digest.content", what))?;
        if digest::length(rule.alg).is_none() {
            return Err(SchemeError::new("handshake.digest.alg", "must be a digest"));
        }
        if !rule.keyed
            && content
                .references()
                .all(|reference| *reference != Reference::Secret)
        {
            return Err(SchemeError::new(
                "handshake.digest.content",
                "must hold {secret}",
            ));
        }
        Ok(Self {
            rule: rule.clone(),
            content,
        })
    }

    /// The digest with the first secret.
    pub(super) fn text(&self, values: &Values<'_>, secrets: &[Secret]) -> Result<String, Refusal> {
        let secret = secrets.first().ok_or(Refusal::NoSecret)?;
        let rule = KeyRule {
            decode: self.rule.key,
            ..KeyRule::default()
        };
        let key = key::bytes(&rule, secret).map_err(|_| Refusal::NoSecret)?;
        let pieces = self.content.pieces(values)?;
        let mut bytes = pieces
            .iter()
            .map(|piece: &Piece<'_>| piece.bytes(secret.expose()));
        let made = if self.rule.keyed {
            digest::keyed(self.rule.alg, &key, &mut bytes)
        } else {
            digest::plain(self.rule.alg, &mut bytes)
        };
        Ok(encode(self.rule.enc, &made.ok_or(Refusal::NoSecret)?))
    }
}

impl AnswerPlan {
    /// Checks a rule.
    pub(super) fn compile(answer: &HandshakeAnswer) -> Result<Self, SchemeError> {
        let parse = |text: &String| {
            Template::parse(text).map_err(|what| SchemeError::new("handshake.answer", what))
        };
        let pair = |(name, text): (&String, &String)| Ok((name.clone(), parse(text)?));
        let json: Vec<_> = answer.json.iter().map(pair).collect::<Result<_, _>>()?;
        if answer.text.is_some() && !(json.is_empty() && answer.json_numbers.is_empty()) {
            return Err(SchemeError::new(
                "handshake.answer",
                "is either text or JSON",
            ));
        }
        let status = answer.status.unwrap_or(200);
        check_status("handshake.answer.status", status)?;
        for (name, text) in &answer.headers {
            check_header("handshake.answer.headers", name)?;
            if !is_header_value(text) {
                return Err(SchemeError::new(
                    "handshake.answer.headers",
                    "values must be printable and at most 1,024 bytes",
                ));
            }
        }
        Ok(Self {
            status,
            text: answer.text.as_ref().map(parse).transpose()?,
            json,
            json_numbers: answer.json_numbers.clone().into_iter().collect(),
            headers: answer.headers.iter().map(pair).collect::<Result<_, _>>()?,
        })
    }

    /// Fills the answer in.
    pub(super) fn fill(&self, values: &Values<'_>) -> Result<Answer, Refusal> {
        let mut headers = Vec::new();
        for (name, template) in &self.headers {
            headers.push((name.to_ascii_lowercase(), echo(template, values)?));
        }
        let (content_type, body) = self.body(values)?;
        if let Some(content_type) = content_type {
            headers.push(("content-type".to_owned(), content_type.to_owned()));
            headers.retain(|(name, _)| name != "x-content-type-options");
            headers.push(("x-content-type-options".to_owned(), "nosniff".to_owned()));
        }
        Ok(Answer {
            status: self.status,
            headers,
            body,
        })
    }

    fn body(&self, values: &Values<'_>) -> Result<(Option<&'static str>, Vec<u8>), Refusal> {
        if let Some(template) = &self.text {
            let text = echo(template, values)?;
            return Ok((Some("text/plain"), text.into_bytes()));
        }
        if self.json.is_empty() && self.json_numbers.is_empty() {
            return Ok((None, Vec::new()));
        }
        let mut object = Map::new();
        for (name, template) in &self.json {
            object.insert(name.clone(), Value::String(echo(template, values)?));
        }
        for (name, number) in &self.json_numbers {
            object.insert(name.clone(), Value::from(*number));
        }
        let body = Value::Object(object).to_string().into_bytes();
        Ok((Some("application/json"), body))
    }
}

/// Text that may be sent back: bounded and printable ASCII.
fn echo(template: &Template, values: &Values<'_>) -> Result<String, Refusal> {
    let text = template.text(values)?;
    let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if !printable || text.len() > ECHO_BYTES_MAX {
        return Err(Refusal::MalformedValue);
    }
    Ok(text)
}
