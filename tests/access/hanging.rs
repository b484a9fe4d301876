//! Reads that hang in the database, and what does not wait for them.

use posthorn::v1::{
    CreateApiKeyRequest, GetTenantRequest, ListEventsRequest, RevokeApiKeyRequest, Role,
};
use posthorn_harness::{Deployment, Sql, StoreKind, eventually, get};
use tokio::task::JoinSet;
use tonic::Code;

use crate::support::{DEADLINE, refusal::assert_refused};

/// As many as there are connections for what callers read.
const READS: usize = 3;

#[tokio::test]
async fn postgres_reads_that_hang_are_ended_and_hold_up_neither_readiness_nor_a_revocation() {
    let deployment = Deployment::start(StoreKind::Postgres).await;
    let admin = &deployment.admin;
    let request = CreateApiKeyRequest {
        tenant_id: admin.tenant_id.clone(),
        name: "leaked".to_owned(),
        roles: vec![Role::Viewer.into()],
        ..CreateApiKeyRequest::default()
    };
    let created = admin.api_keys().create_api_key(request).await;
    let created = created.expect("it is made").into_inner();
    let leaked = admin.with_key(&created.api_key);
    let mut sql = Sql::open(&deployment.control.database()).await;
    sql.run("begin").await;
    sql.run("lock table event in access exclusive mode").await;

    let mut reads = JoinSet::new();
    for _ in 0..READS {
        let client = admin.clone();
        reads.spawn(async move {
            let request = ListEventsRequest {
                tenant_id: client.tenant_id.clone(),
                ..ListEventsRequest::default()
            };
            client.events().list_events(request).await
        });
    }
    let mut watch = Sql::open(&deployment.control.database()).await;
    let waiting = "select count(*)::text from pg_stat_activity
                   where wait_event_type = 'Lock' and query like '%from event%'";
    eventually("the reads hang", DEADLINE, async || {
        watch.texts(waiting).await == [READS.to_string()]
    })
    .await;
    let revoke = RevokeApiKeyRequest {
        key_id: created.key.expect("the answer holds it").key_id,
    };
    let revoked = admin.api_keys().revoke_api_key(revoke).await;
    revoked.expect("it waits for nobody");
    let request = GetTenantRequest {
        tenant_id: admin.tenant_id.clone(),
    };
    let result = leaked.tenants().get_tenant(request).await;
    assert_refused("a revoked key", result, Code::Unauthenticated);
    let page = get(deployment.control.metrics, "/readyz").await;
    assert_eq!(page.expect("it answers").status, 200);
    for result in reads.join_all().await {
        let refusal = assert_refused("the table is locked", result, Code::ResourceExhausted);
        assert!(refusal.says_when_to_retry, "{refusal:?}");
    }
    sql.run("rollback").await;
}
