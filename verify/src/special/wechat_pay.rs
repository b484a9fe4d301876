//! WeChat Pay (API v3): time, nonce and body, each on a line, signed with RSA; the key is named by its serial number.
//!
//! Secrets are WeChat Pay's platform certificates (PEM; their serial number is compared), or its public key (PEM, whose
//! id is the setting `public_key_id`), and the API v3 key of 32 characters, which opens the encrypted resource of a
//! verified notification: see [`open_resource`].

use aes_gcm::{
    Aes256Gcm, Key, KeyInit as _, Nonce,
    aead::{Aead as _, Payload},
};

use super::{
    Special, SpecialPlan,
    certificate::{Certificate, read_pem},
    input::{
        LIST_MAX, Object, any_public_key, base64, check_time, header, public_keys, signature, time,
    },
};
use crate::{
    Context, Refusal, Secret,
    crypto::encoding,
    scheme::{Algorithm, TimeUnit},
};

const SIGNATURE: &str = "wechatpay-signature";
const TIME: &str = "wechatpay-timestamp";
const NONCE: &str = "wechatpay-nonce";
const SERIAL: &str = "wechatpay-serial";
const SIGNATURE_TYPE: &str = "wechatpay-signature-type";

/// WeChat Pay gives a request five minutes.
const TOLERANCE_S: u32 = 300;

/// WeChat Pay.
pub(super) static SPECIAL: Special = Special {
    headers: &[SIGNATURE, TIME, NONCE, SERIAL],
    ..Special::new("wechat_pay", verify)
};

fn verify(context: &Context<'_>, plan: &SpecialPlan) -> Result<(), Refusal> {
    let request = context.request;
    let signature = base64(signature(request, SIGNATURE)?)?;
    // Its pages do not list the header: what it says is held to, whether it is there is not.
    let stated = request.headers.one(SIGNATURE_TYPE)?;
    if stated.is_some_and(|stated| stated != "WECHATPAY2-SHA256-RSA2048") {
        return Err(Refusal::ForbiddenAlgorithm);
    }
    let time = time(request, TIME)?;
    let nonce = header(request, NONCE)?;
    if time.contains('\n') || nonce.contains('\n') {
        return Err(Refusal::MalformedValue);
    }
    let mut signed = format!("{time}\n{nonce}\n").into_bytes();
    signed.extend_from_slice(request.body);
    signed.push(b'\n');
    let serial = header(request, SERIAL)?;
    if plan.setting("public_key_id").is_some_and(|id| id == serial) {
        let keys = public_keys(context.secrets);
        any_public_key(&keys, Algorithm::RsaSha256, &signed, &signature)?;
    } else {
        verify_by_certificate(context, serial, &signed, &signature)?;
    }
    check_time(context, plan, (TimeUnit::S, time), TOLERANCE_S)
}

fn verify_by_certificate(
    context: &Context<'_>,
    serial: &str,
    signed: &[u8],
    signature: &[u8],
) -> Result<(), Refusal> {
    let secrets = context.secrets.iter().take(LIST_MAX).map(Secret::expose);
    let ders: Vec<Vec<u8>> = secrets
        .filter_map(|pem| read_pem(pem).ok())
        .flatten()
        .collect();
    if ders.is_empty() {
        return Err(Refusal::NoSecret);
    }
    for der in &ders {
        let certificate = Certificate::read(der)?;
        if certificate.has_serial(serial) {
            certificate.check_validity(context.now_ms)?;
            return certificate.verify_rsa(Algorithm::RsaSha256, signed, signature);
        }
    }
    Err(Refusal::UnknownKey)
}

/// Opens the encrypted `resource` of a WeChat Pay notification that was verified before, with the API v3 key among the
/// secrets.
///
/// # Errors
/// `MalformedBody` when there is no such resource, `NoSecret` without a key of 32 bytes, `WrongSignature` when no key
/// opens it.
pub fn open_resource(body: &[u8], secrets: &[Secret]) -> Result<Vec<u8>, Refusal> {
    let malformed = Refusal::MalformedBody;
    let resource = Object::of_body(body)?.object("resource")?;
    if resource.string("algorithm").as_deref() != Some("AEAD_AES_256_GCM") {
        return Err(Refusal::ForbiddenAlgorithm);
    }
    let sealed = resource.string("ciphertext").ok_or(malformed)?;
    let sealed = encoding::base64(&sealed).ok_or(malformed)?;
    let nonce = resource.string("nonce").ok_or(malformed)?;
    let nonce: [u8; 12] = nonce.as_bytes().try_into().map_err(|_| malformed)?;
    let associated = resource.string("associated_data").unwrap_or_default();
    let keys = secrets.iter().map(Secret::expose);
    let keys: Vec<[u8; 32]> = keys.filter_map(|key| key.try_into().ok()).collect();
    if keys.is_empty() {
        return Err(Refusal::NoSecret);
    }
    let opened = keys.iter().take(LIST_MAX).find_map(|key| {
        let payload = Payload {
            msg: &sealed,
            aad: associated.as_bytes(),
        };
        let cipher = Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key));
        cipher.decrypt(&Nonce::from(nonce), payload).ok()
    });
    opened.ok_or(Refusal::WrongSignature)
}
