//! Who is let through.

use http::HeaderValue;
use rand::{SeedableRng as _, rngs::StdRng};
use secrecy::ExposeSecret as _;
use tonic::Code;

use super::*;
use crate::{
    model::{
        api_key::Roles,
        id::{KeyId, TenantId},
    },
    registry::fixture,
};

const NOW: i64 = 1_764_000_000_000;
const GET_TENANT: &str = "/posthorn.v1.TenantService/GetTenant";
const CREATE_TENANT: &str = "/posthorn.v1.TenantService/CreateTenant";

/// A registry of one tenant and one key, and the key's text.
struct Fixture {
    registry: Registry,
    text: String,
}

fn fixture(edit: impl FnOnce(&mut api_key::ApiKey)) -> Fixture {
    let mut rng = StdRng::seed_from_u64(5);
    let id = KeyId::new(NOW, &mut rng);
    let text = api_key::generate(id, &mut rng).expose_secret().to_owned();
    let mut key = api_key::ApiKey {
        id,
        tenant_id: None,
        name: "test".to_owned(),
        roles: Roles::of(&[Role::Viewer]),
        created_at: NOW,
        expires_at: None,
        revoked_at: None,
        hash: KeyHash::of(&text),
    };
    edit(&mut key);
    Fixture {
        registry: fixture::registry([fixture::tenant(1)], [key]),
        text,
    }
}

fn headers(values: &[&str]) -> HeaderMap {
    let values = values
        .iter()
        .map(|value| HeaderValue::from_str(value).unwrap());
    values.map(|value| (AUTHORIZATION, value)).collect()
}

fn code(fixture: &Fixture, path: &str, values: &[&str]) -> Code {
    match admit(path, &headers(values), &fixture.registry, NOW) {
        Ok(_) => Code::Ok,
        Err(refusal) => refusal.error.code(),
    }
}

fn code_of_key(edit: impl FnOnce(&mut api_key::ApiKey)) -> Code {
    let fixture = fixture(edit);
    let bearer = format!("Bearer {}", fixture.text);
    code(&fixture, GET_TENANT, &[&bearer])
}

#[test]
fn a_key_is_let_through_where_its_role_is() {
    let fixture = fixture(|_| ());
    let bearer = format!("Bearer {}", fixture.text);
    for (path, expected) in [
        (GET_TENANT, Code::Ok),
        (CREATE_TENANT, Code::PermissionDenied),
        (
            "/posthorn.node.v1.NodeService/Session",
            Code::PermissionDenied,
        ),
        (
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            Code::Ok,
        ),
        (
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            Code::Ok,
        ),
        ("/posthorn.v1.TenantService/Nothing", Code::Unimplemented),
        ("/", Code::Unimplemented),
    ] {
        assert_eq!(code(&fixture, path, &[&bearer]), expected, "{path}");
    }
}

#[test]
fn a_refusal_names_the_roles_that_may() {
    let fixture = fixture(|_| ());
    let bearer = format!("Bearer {}", fixture.text);
    let path = "/posthorn.v1.EndpointService/CreateEndpoint";
    let refusal = admit(path, &headers(&[&bearer]), &fixture.registry, NOW).unwrap_err();
    let text = refusal.error.to_string();
    assert!(text.ends_with("admin, operator"), "{text}");
}

#[test]
fn health_needs_no_key_and_nothing_else_does_without() {
    let fixture = fixture(|_| ());
    assert_eq!(
        code(&fixture, "/grpc.health.v1.Health/Check", &[]),
        Code::Ok
    );
    for path in [
        GET_TENANT,
        "/posthorn.v1.TenantService/Nothing",
        REFLECTIONS[0],
    ] {
        assert_eq!(code(&fixture, path, &[]), Code::Unauthenticated, "{path}");
    }
}

#[test]
fn a_node_sees_no_reflection() {
    let fixture = fixture(|key| key.roles = Roles::of(&[Role::Node]));
    let bearer = format!("Bearer {}", fixture.text);
    assert_eq!(
        code(&fixture, REFLECTIONS[0], &[&bearer]),
        Code::PermissionDenied
    );
    assert_eq!(
        code(
            &fixture,
            "/posthorn.node.v1.NodeService/Session",
            &[&bearer]
        ),
        Code::Ok
    );
}

#[test]
fn a_credential_that_is_not_exactly_one_valid_key_is_refused() {
    let fixture = fixture(|_| ());
    let text = fixture.text.as_str();
    let bearer = format!("Bearer {text}");
    let long = format!("Bearer {}", "x".repeat(16_384));
    let mut rng = StdRng::seed_from_u64(6);
    let other_secret = api_key::generate(api_key::parse(text).unwrap(), &mut rng);
    let other_secret = format!("Bearer {}", other_secret.expose_secret());
    let unknown = api_key::generate(KeyId::new(NOW, &mut rng), &mut rng);
    let unknown = format!("Bearer {}", unknown.expose_secret());
    for values in [
        &["" as &str][..],
        &["Bearer"],
        &["Bearer "],
        &[text],
        &["Basic abc"],
        &[&format!("Bearer  {text}")],
        &[&format!("Bearer {text} ")],
        &[&bearer.to_uppercase()],
        &[&bearer, &bearer],
        &[&long],
        &[&other_secret],
        &[&unknown],
    ] {
        assert_eq!(
            code(&fixture, GET_TENANT, values),
            Code::Unauthenticated,
            "{values:?}"
        );
    }
    assert_eq!(
        code(&fixture, GET_TENANT, &[&format!("bearer {text}")]),
        Code::Ok
    );
}

#[test]
fn s14_a_refusal_has_a_word_for_the_metrics() {
    let fixture = fixture(|_| ());
    let mut rng = StdRng::seed_from_u64(6);
    let id = api_key::parse(&fixture.text).unwrap();
    let [other_secret, unknown] = [id, KeyId::new(NOW, &mut rng)].map(|id| {
        let text = api_key::generate(id, &mut rng);
        format!("Bearer {}", text.expose_secret())
    });
    let own = format!("Bearer {}", fixture.text);
    for (path, values, expected) in [
        (GET_TENANT, &[][..], "no_key"),
        (GET_TENANT, &[&*unknown], "unknown_key"),
        (GET_TENANT, &[&*other_secret], "wrong_secret"),
        (CREATE_TENANT, &[&*own], "no_role"),
        ("/", &[&*own], "no_such_call"),
    ] {
        let refusal = admit(path, &headers(values), &fixture.registry, NOW).unwrap_err();
        assert_eq!(refusal.reason, expected);
    }
}

#[test]
fn a_key_that_is_over_is_refused() {
    let (known, gone) = (fixture::tenant(1).id, fixture::tenant(9).id);
    assert_eq!(code_of_key(|key| key.expires_at = Some(NOW + 1)), Code::Ok);
    assert_eq!(
        code_of_key(|key| key.expires_at = Some(NOW)),
        Code::Unauthenticated
    );
    assert_eq!(
        code_of_key(|key| key.revoked_at = Some(NOW - 1)),
        Code::Unauthenticated
    );
    assert_eq!(code_of_key(|key| key.tenant_id = Some(known)), Code::Ok);
    assert_eq!(
        code_of_key(|key| key.tenant_id = Some(gone)),
        Code::Unauthenticated
    );
}

fn tenant_of(own: Option<TenantId>, text: &str) -> Result<TenantId, Code> {
    let fixture = fixture(|key| key.tenant_id = own);
    let key = fixture
        .registry
        .key(api_key::parse(&fixture.text).unwrap())
        .unwrap();
    let entry = Caller::from(&key.key).tenant(&fixture.registry, text);
    entry
        .map(|entry: Arc<_>| entry.tenant.id)
        .map_err(|error| error.code())
}

#[test]
fn a_key_names_only_tenants_that_are_its_own() {
    let (known, other) = (fixture::tenant(1).id, fixture::tenant(9).id);
    for (own, text, expected) in [
        (Some(known), String::new(), Ok(known)),
        (Some(known), known.to_string(), Ok(known)),
        (Some(known), other.to_string(), Err(Code::PermissionDenied)),
        (Some(known), "tnt_".to_owned(), Err(Code::InvalidArgument)),
        (None, String::new(), Err(Code::InvalidArgument)),
        (None, known.to_string(), Ok(known)),
        (None, other.to_string(), Err(Code::NotFound)),
        (None, "nonsense".to_owned(), Err(Code::InvalidArgument)),
    ] {
        assert_eq!(tenant_of(own, &text), expected, "{own:?} {text}");
    }
}
