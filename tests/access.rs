//! Who may call what: every RPC of the contract with every kind of caller, the roles read from the comments there.

mod hanging;
mod keys;
mod tenants;

use std::fmt;

use posthorn::v1::{CreateApiKeyRequest, GetTenantRequest, RevokeApiKeyRequest, Role};
use posthorn_harness::{Deployment, StoreKind, eventually};
use tonic::Code;

use crate::support::{
    DEADLINE,
    descriptor::{Rpc, rpcs},
    raw::{call, field, frame, send},
    time::from_now,
};

on_both! {
    every_rpc_is_open_to_its_roles_alone,
}

const ROLES: [Role; 6] = [
    Role::Admin,
    Role::Operator,
    Role::Emitter,
    Role::Viewer,
    Role::Node,
    Role::Consumer,
];

/// What a call must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The caller is unknown.
    Unauthenticated,
    /// The caller is known and may not.
    Denied,
    /// The caller may; what becomes of the empty request is another matter.
    Allowed,
}

/// A caller: who it is and the key that it shows.
struct Caller {
    what: String,
    key: String,
}

impl Caller {
    fn new(what: impl fmt::Display, key: impl Into<String>) -> Self {
        Self {
            what: what.to_string(),
            key: key.into(),
        }
    }
}

async fn every_rpc_is_open_to_its_roles_alone(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    // A tenant that has an endpoint is not deleted by an empty request.
    deployment
        .admin
        .create_endpoint(&deployment.receiver.url("/"), &["*"])
        .await;
    let other = stranger(&deployment).await;
    let nobody = nobody(&deployment).await;
    let known = known(&deployment).await;
    let rpcs = rpcs();
    assert!(rpcs.len() > 30, "the contract is read");
    for rpc in &rpcs {
        for caller in &nobody {
            check(&deployment, rpc, caller, Verdict::Unauthenticated).await;
        }
        for (role, of_installation, caller) in &known {
            let in_reach = *of_installation || !rpc.installation_only;
            let allowed = in_reach && rpc.roles.contains(&i32::from(*role));
            check(&deployment, rpc, caller, verdict(allowed)).await;
        }
        // A tenant that is named must be the caller's.
        if rpc.field("tenant_id").is_some() {
            check(&deployment, rpc, &other, Verdict::Denied).await;
        }
    }
}

fn verdict(allowed: bool) -> Verdict {
    if allowed {
        Verdict::Allowed
    } else {
        Verdict::Denied
    }
}

/// A caller of every role, of the tenant and of the installation; there are no tenants' nodes.
async fn known(deployment: &Deployment) -> Vec<(Role, bool, Caller)> {
    let mut known = Vec::new();
    for role in ROLES {
        let key = deployment.admin.for_tenant("").create_key(&[role]).await;
        let caller = Caller::new(format!("{role:?} of the installation"), key);
        known.push((role, true, caller));
        if role != Role::Node {
            let key = deployment.admin.create_key(&[role]).await;
            let caller = Caller::new(format!("{role:?} of the tenant"), key);
            known.push((role, false, caller));
        }
    }
    known
}

/// Callers that nobody knows: without a key, with a wrong one, an expired one and a revoked one.
async fn nobody(deployment: &Deployment) -> Vec<Caller> {
    let admin = &deployment.admin;
    let good = admin.create_key(&[Role::Admin]).await;
    vec![
        Caller::new("nobody", ""),
        Caller::new("a wrong secret", altered(&good)),
        Caller::new("an expired key", expired(deployment).await),
        Caller::new("a revoked key", revoked(deployment).await),
    ]
}

/// The key with one character of its secret changed.
fn altered(key: &str) -> String {
    let (start, last) = key.split_at(key.len() - 1);
    let other = if last == "0" { "1" } else { "0" };
    format!("{start}{other}")
}

async fn expired(deployment: &Deployment) -> String {
    let request = CreateApiKeyRequest {
        tenant_id: deployment.tenant_id.clone(),
        name: "short-lived".to_owned(),
        roles: vec![Role::Admin.into()],
        expires_at: Some(from_now(1)),
        ..CreateApiKeyRequest::default()
    };
    let answer = deployment.admin.api_keys().create_api_key(request).await;
    let key = answer.expect("the key is created").into_inner().api_key;
    let client = deployment.admin.with_key(&key);
    eventually("the key expires", DEADLINE, async || {
        let mut tenants = client.tenants();
        let answer = tenants.get_tenant(GetTenantRequest::default()).await;
        answer.is_err_and(|status| status.code() == Code::Unauthenticated)
    })
    .await;
    key
}

async fn revoked(deployment: &Deployment) -> String {
    let request = CreateApiKeyRequest {
        tenant_id: deployment.tenant_id.clone(),
        name: "to be revoked".to_owned(),
        roles: vec![Role::Admin.into()],
        ..CreateApiKeyRequest::default()
    };
    let answer = deployment.admin.api_keys().create_api_key(request).await;
    let answer = answer.expect("the key is created").into_inner();
    let request = RevokeApiKeyRequest {
        key_id: answer.key.expect("the answer holds the key").key_id,
    };
    let revoked = deployment.admin.api_keys().revoke_api_key(request).await;
    let key = revoked.expect("the key is revoked").into_inner().key;
    assert!(key.expect("the answer holds the key").revoked_at.is_some());
    answer.api_key
}

/// An admin of another tenant.
async fn stranger(deployment: &Deployment) -> Caller {
    let tenant = deployment.admin.create_tenant("stranger").await;
    let stranger = deployment.admin.for_tenant(&tenant);
    let key = stranger.create_key(&ROLES[..4]).await;
    Caller::new("another tenant's", key)
}

/// Calls with a request that names the tenant and nothing else.
async fn check(deployment: &Deployment, rpc: &Rpc, caller: &Caller, expected: Verdict) {
    let request = rpc
        .field("tenant_id")
        .map(|number| field(number, deployment.tenant_id.as_bytes()));
    let body = frame(false, &request.unwrap_or_default());
    let addr = deployment.control.grpc;
    let answer = send(addr, call(addr, &rpc.path, &caller.key), body).await;
    let verdict = match answer.code {
        Some(Code::Unauthenticated) => Verdict::Unauthenticated,
        Some(Code::PermissionDenied) => Verdict::Denied,
        _ => Verdict::Allowed,
    };
    assert_eq!(
        verdict, expected,
        "{}: {}: {answer:?}",
        rpc.path, caller.what
    );
    let codes = [None, Some(Code::Internal), Some(Code::Unimplemented)];
    assert!(
        !codes.contains(&answer.code),
        "{}: {}: {answer:?}",
        rpc.path,
        caller.what
    );
}
