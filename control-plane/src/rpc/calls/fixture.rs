//! Callers and claims for tests.

use std::sync::Arc;

use rand::{SeedableRng as _, rngs::StdRng};

use super::{Claim, claim::Room};
use crate::{
    config::Limits,
    incoming::stranger,
    metrics::GrpcMetrics,
    model::{
        api_key::{ApiKey, KeyHash, Role, Roles},
        id::{KeyId, TenantId},
    },
    rpc::{Caller, access::Kind},
};

const NOW: i64 = 1_764_000_000_000;

/// Room for calls within these limits.
pub(crate) fn room(limits: &Limits) -> Arc<Room> {
    Arc::new(Room::new(limits, GrpcMetrics::default()))
}

/// The caller with key number `key`, of tenant number `tenant`.
pub(crate) fn caller(key: u64, tenant: u64) -> Caller {
    let id = KeyId::new(NOW, &mut StdRng::seed_from_u64(key));
    Caller::from(&ApiKey {
        id,
        tenant_id: Some(TenantId::new(NOW, &mut StdRng::seed_from_u64(tenant))),
        name: "test".to_owned(),
        roles: Roles::of(&[Role::Admin]),
        created_at: NOW,
        expires_at: None,
        revoked_at: None,
        hash: KeyHash::of("test"),
    })
}

/// A call of this caller over a connection of its own.
pub(crate) fn claim(
    room: &Arc<Room>,
    limits: &Limits,
    caller: Option<&Caller>,
    kind: &'static Kind,
) -> Claim {
    Claim::new(room, stranger(limits), caller, kind)
}
