//! Microsoft Graph: every notification of a batch repeats the client state that we chose for the subscription.
//!
//! Nothing is signed: the client state is a password in the body. Notifications with resource data also come with JWTs of
//! Microsoft's identity platform, which are verified too; the resource data itself stays encrypted and is not opened here.

use url::Url;

use super::{
    Special, SpecialPlan,
    detached::fetched_keys,
    input::{Object, any_secret, setting},
};
use crate::{
    Context, KeyForm, KeyRequest, Refusal, Request, Tolerance,
    crypto::digest::same,
    crypto::jwt::{self, Keys},
    json::{Found, Kind, document, whole},
};

/// The most notifications of a batch.
const ITEMS_MAX: usize = 1_000;
/// The most tokens of a batch.
const TOKENS_MAX: usize = 10;
/// By how much clocks may differ.
const LEEWAY_MS: i64 = 300_000;
/// Microsoft's application that sends change notifications.
const SENDER: &str = "0bf30f3b-4a52-48df-9a82-234910c4a086";
/// Where Microsoft publishes its keys.
const KEYS: &str = "https://login.microsoftonline.com/common/discovery/v2.0/keys";

/// Microsoft Graph. Secrets are client states; notifications with resource data need the settings `app_id` and
/// `tenant_id`.
pub(super) static SPECIAL: Special = Special {
    key_request: Some(key_request),
    // The client state.
    needs_secret: Some(|_| true),
    ..Special::new("microsoft_graph", verify)
};

fn key_request(request: &Request<'_>, plan: &SpecialPlan) -> Result<Option<KeyRequest>, Refusal> {
    let body = Object::of_body(request.body)?;
    if plan.setting("app_id").is_none() || tokens(&body)?.is_empty() {
        return Ok(None);
    }
    let url = key_url()?;
    let form = KeyForm::Jwks;
    Ok(Some(KeyRequest { url, form }))
}

fn verify(context: &Context<'_>, plan: &SpecialPlan) -> Result<(), Refusal> {
    let body = Object::of_body(context.request.body)?;
    let mut with_data = false;
    for item in items(&body)? {
        with_data |= verify_item(context, &item?)?;
    }
    let tokens = tokens(&body)?;
    if with_data && tokens.is_empty() {
        return Err(Refusal::MissingSignature);
    }
    if !with_data && plan.setting("app_id").is_none() {
        return Ok(());
    }
    tokens
        .iter()
        .try_for_each(|token| verify_token(context, plan, token))
}

/// Checks one notification, and tells whether it has resource data.
fn verify_item(context: &Context<'_>, item: &Object<'_>) -> Result<bool, Refusal> {
    let state = item.string("clientState").filter(|text| !text.is_empty());
    let state = state.ok_or(Refusal::MissingSignature)?;
    any_secret(context.secrets, |secret| same(state.as_bytes(), secret))?;
    Ok(item.get("encryptedContent").is_some())
}

fn items<'a>(
    body: &Object<'a>,
) -> Result<impl Iterator<Item = Result<Object<'a>, Refusal>> + use<'a>, Refusal> {
    let items = body.get("value").ok_or(Refusal::MalformedBody)?;
    if !(1..=ITEMS_MAX).contains(&items.elements().take(ITEMS_MAX + 1).count()) {
        return Err(Refusal::MalformedBody);
    }
    Ok(items.elements().map(|item| Object::read(&item)))
}

fn tokens(body: &Object<'_>) -> Result<Vec<String>, Refusal> {
    let Some(tokens) = body.get("validationTokens") else {
        return Ok(Vec::new());
    };
    let texts = tokens.elements().take(TOKENS_MAX + 1).map(|token| {
        let text = (token.kind == Kind::String).then(|| token.text())?;
        text.map(std::borrow::Cow::into_owned)
    });
    let tokens: Option<Vec<_>> = texts.collect();
    tokens
        .filter(|tokens| tokens.len() <= TOKENS_MAX)
        .ok_or(Refusal::MalformedToken)
}

fn verify_token(context: &Context<'_>, plan: &SpecialPlan, token: &str) -> Result<(), Refusal> {
    let (app, tenant) = (setting(plan, "app_id")?, setting(plan, "tenant_id")?);
    let token = jwt::parse(token, &["RS256"])?;
    token.verify(&Keys {
        public: fetched_keys(context, &key_url()?)?,
        ..Keys::default()
    })?;
    let claims = document(token.payload.as_bytes()).ok().and_then(whole);
    let claims = claims.ok_or(Refusal::MalformedToken)?;
    expect(&claims, "aud", &[app])?;
    expect(&claims, "tid", &[tenant])?;
    let issuers = [
        format!("https://sts.windows.net/{tenant}/"),
        format!("https://login.microsoftonline.com/{tenant}/v2.0"),
    ];
    expect(&claims, "iss", &issuers)?;
    expect(&claims, "appid", &[SENDER]).or_else(|_| expect(&claims, "azp", &[SENDER]))?;
    if !jwt::has(&claims, "exp") {
        return Err(Refusal::Claim("exp"));
    }
    match plan.tolerance {
        Tolerance::Off => Ok(()),
        _ => jwt::check_times(&claims, LEEWAY_MS, None, context.now_ms),
    }
}

fn expect(
    claims: &Found<'_>,
    name: &'static str,
    allowed: &[impl AsRef<str>],
) -> Result<(), Refusal> {
    match jwt::claim(claims, name)? {
        Some(value) if allowed.iter().any(|allowed| value == allowed.as_ref()) => Ok(()),
        _ => Err(Refusal::Claim(name)),
    }
}

fn key_url() -> Result<Url, Refusal> {
    Url::parse(KEYS).map_err(|_| Refusal::ForbiddenKeyAddress)
}
