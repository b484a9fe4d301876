//! AWS SNS: the body's own fields, signed with a key whose certificate SNS publishes.
//!
//! The certificate must come from an SNS host, be for SNS and be valid now. The topic is a setting: any AWS account can
//! have SNS sign a message of its own topic. Raw delivery has no signature and is refused.

use url::Url;

use super::{
    Special, SpecialPlan,
    certificate::{Certificate, read_pem},
    input::{Object, base64, check_time, setting},
};
use crate::{
    Context, KeyForm, KeyRequest, Refusal, Request, SchemeError, Settings, Tolerance,
    crypto::digest::same,
    remote::{fetched, pinned},
    scheme::{Algorithm, TimeUnit},
};

/// Where SNS publishes its certificates.
const HOSTS: &[&str] = &["sns.*.amazonaws.com", "sns.*.amazonaws.com.cn"];

/// AWS SNS. The setting `topic_arn` says which topic is ours.
pub(super) static SPECIAL: Special = Special {
    key_request: Some(key_request),
    check: Some(check),
    ..Special::new("aws_sns", verify)
};

fn check(settings: &Settings) -> Result<(), SchemeError> {
    match settings.get("topic_arn") {
        Some(topic) if topic.starts_with("arn:") => Ok(()),
        _ => Err(SchemeError::new(
            "settings.topic_arn",
            "must be the topic's ARN",
        )),
    }
}

fn key_request(request: &Request<'_>, _plan: &SpecialPlan) -> Result<Option<KeyRequest>, Refusal> {
    let url = certificate_url(&Object::of_body(request.body)?)?;
    let form = KeyForm::Certificate;
    Ok(Some(KeyRequest { url, form }))
}

fn verify(context: &Context<'_>, plan: &SpecialPlan) -> Result<(), Refusal> {
    let body = Object::of_body(context.request.body)?;
    let signature = body.string("Signature").filter(|text| !text.is_empty());
    let signature = base64(&signature.ok_or(Refusal::MissingSignature)?)?;
    let alg = match body.text("SignatureVersion").as_deref() {
        Some("1") => Algorithm::RsaSha1,
        Some("2") => Algorithm::RsaSha256,
        _ => return Err(Refusal::MalformedSignature),
    };
    let signed = content(&body)?;
    let url = certificate_url(&body)?;
    let pem = fetched(context.fetched, &url).ok_or(Refusal::KeyNotFetched)?;
    let ders = read_pem(pem)?;
    let certificate = Certificate::read(ders.first().ok_or(Refusal::BadCertificate)?)?;
    certificate.check_validity(context.now_ms)?;
    certificate.check_name(is_sns_name)?;
    certificate.verify_rsa(alg, signed.as_bytes(), &signature)?;
    let topic = body.string("TopicArn").ok_or(Refusal::MissingValue)?;
    if !same(topic.as_bytes(), setting(plan, "topic_arn")?.as_bytes()) {
        return Err(Refusal::Requirement);
    }
    check_age(context, plan, &body)
}

/// SNS sends a message again for hours with its first time, so that its age is looked at only when the source says so.
fn check_age(context: &Context<'_>, plan: &SpecialPlan, body: &Object<'_>) -> Result<(), Refusal> {
    if plan.tolerance == Tolerance::Scheme {
        return Ok(());
    }
    let time = body.string("Timestamp").ok_or(Refusal::MissingTimestamp)?;
    check_time(context, plan, (TimeUnit::Rfc3339, &time), 0)
}

/// The signed fields of a message, by its type, in the order of their names. Only the message itself may have line feeds
/// in it: otherwise other fields would come to the same text.
fn content(body: &Object<'_>) -> Result<String, Refusal> {
    let fields: &[&str] = match body.string("Type").as_deref() {
        Some("Notification") => &[
            "Message",
            "MessageId",
            "Subject",
            "Timestamp",
            "TopicArn",
            "Type",
        ],
        Some("SubscriptionConfirmation" | "UnsubscribeConfirmation") => &[
            "Message",
            "MessageId",
            "SubscribeURL",
            "Timestamp",
            "Token",
            "TopicArn",
            "Type",
        ],
        _ => return Err(Refusal::MissingValue),
    };
    let mut signed = String::new();
    for name in fields {
        let value = match (body.string(name), *name) {
            (Some(value), _) => value,
            (None, "Subject") if body.text("Subject").is_none() => continue,
            (None, _) => return Err(Refusal::MissingValue),
        };
        if value.contains('\n') && *name != "Message" {
            return Err(Refusal::MalformedValue);
        }
        signed.extend([name, "\n", &value, "\n"]);
    }
    Ok(signed)
}

fn certificate_url(body: &Object<'_>) -> Result<Url, Refusal> {
    let url = body.string("SigningCertURL").ok_or(Refusal::MissingValue)?;
    let url = pinned(&url, HOSTS).ok_or(Refusal::ForbiddenKeyAddress)?;
    let name = url
        .path()
        .strip_prefix("/SimpleNotificationService-")
        .and_then(|rest| rest.strip_suffix(".pem"));
    let plain = name.is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    if plain && url.query().is_none() {
        Ok(url)
    } else {
        Err(Refusal::ForbiddenKeyAddress)
    }
}

/// `sns.amazonaws.com`, `sns-cn-north-1.amazonaws.com.cn`, `sns-signing.af-south-1.amazonaws.com` and their like.
fn is_sns_name(name: &str) -> bool {
    let base = name.strip_suffix(".cn").unwrap_or(name);
    let Some(first) = base.strip_suffix(".amazonaws.com") else {
        return false;
    };
    let label = first.split('.').next().unwrap_or_default();
    label == "sns" || label.starts_with("sns-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::special::tests::each_flip;

    #[test]
    fn no_flipped_bit_changes_what_was_signed() {
        for name in ["aws_sns", "aws_sns.confirmation"] {
            each_flip(name, |body| {
                let body = Object::of_body(body).ok()?;
                content(&body).ok()
            });
        }
    }

    fn url(text: &str) -> Result<String, Refusal> {
        let body = format!("{{\"SigningCertURL\":\"{text}\"}}");
        certificate_url(&Object::of_body(body.as_bytes())?).map(|url| url.to_string())
    }

    #[test]
    fn certificates_come_from_the_place_of_certificates_on_an_sns_host() {
        for good in [
            "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b.pem",
            "https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-0a1b.pem",
        ] {
            assert_eq!(url(good).as_deref(), Ok(good));
        }
        for bad in [
            "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b.pem",
            "https://sns.eu-west-1.amazonaws.com.evil.test/SimpleNotificationService-0a1b.pem",
            "https://evil.test/sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b.pem",
            "https://bucket.s3.amazonaws.com/SimpleNotificationService-0a1b.pem",
            "https://sns.eu-west-1.amazonaws.com/?Action=Publish&x=.pem",
            "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b.pem?x=.pem",
            "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-/../x.pem",
            "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-.pem",
            "https://sns.eu-west-1.amazonaws.com/other.pem",
            "https://sns.eu-west-1.amazonaws.com:444/SimpleNotificationService-0a1b.pem",
            "",
        ] {
            assert_eq!(url(bad), Err(Refusal::ForbiddenKeyAddress), "{bad}");
        }
    }

    #[test]
    fn only_names_of_sns_are_taken() {
        for good in [
            "sns.amazonaws.com",
            "sns-cn-north-1.amazonaws.com.cn",
            "sns-signing.af-south-1.amazonaws.com",
            "sns.eu-west-1.amazonaws.com",
        ] {
            assert!(is_sns_name(good), "{good}");
        }
        for bad in [
            "amazonaws.com",
            "s3.amazonaws.com",
            "snsx.amazonaws.com",
            "sns.example.com",
            "sns.amazonaws.com.evil.test",
            "",
        ] {
            assert!(!is_sns_name(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_signed_depends_on_the_type() {
        let of = |body: &str| content(&Object::of_body(body.as_bytes())?);
        let notification = r#"{"Type":"Notification","MessageId":"1","Message":"m","Timestamp":"t","TopicArn":"a"}"#;
        assert_eq!(
            of(notification).as_deref(),
            Ok("Message\nm\nMessageId\n1\nTimestamp\nt\nTopicArn\na\nType\nNotification\n")
        );
        let without_token = r#"{"Type":"SubscriptionConfirmation","MessageId":"1","Message":"m","Timestamp":"t","TopicArn":"a","SubscribeURL":"u"}"#;
        assert_eq!(of(without_token), Err(Refusal::MissingValue));
        assert_eq!(of(r#"{"Type":"Other"}"#), Err(Refusal::MissingValue));
        let no_text =
            r#"{"Type":"Notification","MessageId":1,"Message":"m","Timestamp":"t","TopicArn":"a"}"#;
        assert_eq!(of(no_text), Err(Refusal::MissingValue));
    }
}
