//! Whatever is changed in whatever order, the registry is as if it were read anew.

use proptest::prelude::*;

use super::*;

/// One change of the database.
#[derive(Debug, Clone)]
enum Step {
    TenantPolicy(u8, bool),
    PutEndpoint(u8, u8),
    DropEndpoint(u8),
    FlipEventType(u8, u8),
    PutSource(u8),
    DropSource(u8),
    PutKey(u8),
    RevokeKey(u8),
    DropTenant(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3_u8, any::<bool>()).prop_map(|(tenant, has)| Step::TenantPolicy(tenant, has)),
        (0..6_u8, any::<u8>()).prop_map(|(n, look)| Step::PutEndpoint(n, look)),
        (0..6_u8, any::<u8>()).prop_map(|(n, look)| Step::PutEndpoint(n, look)),
        (0..6_u8).prop_map(Step::DropEndpoint),
        (0..3_u8, 0..4_u8).prop_map(|(tenant, n)| Step::FlipEventType(tenant, n)),
        (0..4_u8).prop_map(Step::PutSource),
        (0..4_u8).prop_map(Step::DropSource),
        (0..5_u8).prop_map(Step::PutKey),
        (0..5_u8).prop_map(Step::RevokeKey),
        (0..3_u8).prop_map(Step::DropTenant),
    ]
}

/// The tenant that the thing of this number belongs to.
fn owner(n: u8) -> Tenant {
    fixture::tenant(u128::from(n % 3) + 1)
}

/// Makes the change. Returns what was changed, or nothing when it was not possible.
#[expect(clippy::too_many_lines, reason = "an arm for each step")]
async fn make(store: &Store, step: &Step) -> Vec<Changed> {
    let mut tx = store.begin().await.unwrap();
    let (change, changed) = match step {
        Step::TenantPolicy(n, has_policy) => {
            // An id is never used again, so a tenant that is gone does not come back.
            let Some(mut tenant) = tx.tenant_get(owner(*n).id).await.unwrap() else {
                return Vec::new();
            };
            tenant.settings.retry_policy = has_policy.then_some(RetryPolicy::Long);
            tenant.version += 1;
            (
                tx.tenant_update(&tenant).await.unwrap(),
                Changed::Tenant(tenant.id),
            )
        }
        Step::PutEndpoint(n, look) => {
            let all = [&["*"][..], &["a.*", "a.b"], &["a.b", "a.b", "c"], &["c"]];
            let patterns = all[usize::from(look % 4)];
            let mut endpoint = fixture::endpoint(u128::from(*n) + 100, &owner(*n), patterns);
            if look & 4 != 0 {
                endpoint.settings.sources = vec![fixture::source(201, &owner(*n), "a").id];
            }
            if look & 8 != 0 {
                endpoint.state = ObjectState::Disabled;
            }
            if let Some(former) = tx.object_get(endpoint.id).await.unwrap() {
                endpoint.version = former.version + 1;
                (
                    tx.object_update(&endpoint).await.unwrap(),
                    Changed::Endpoint(endpoint.id),
                )
            } else if tx.tenant_get(endpoint.tenant_id).await.unwrap().is_none() {
                return Vec::new();
            } else {
                // Some have a secret that does not open.
                let vault = fixture::vault(if look & 16 == 0 { 1 } else { 2 });
                fixture::insert_endpoint_in(&mut tx, &vault, &endpoint).await;
                (Change::Done, Changed::Endpoint(endpoint.id))
            }
        }
        Step::DropEndpoint(n) => {
            let id = fixture::endpoint(u128::from(*n) + 100, &owner(*n), &[]).id;
            (tx.object_delete(id).await.unwrap(), Changed::Endpoint(id))
        }
        Step::FlipEventType(n, which) => {
            let name = name(["a", "a.b", "c", "d"][usize::from(*which)]);
            let tenant = owner(*n).id;
            let changed = Changed::EventType(tenant, name.clone());
            if tx.event_type_get(tenant, &name).await.unwrap().is_some() {
                (tx.event_type_delete(tenant, &name).await.unwrap(), changed)
            } else {
                let event_type = EventType {
                    name,
                    description: String::new(),
                    version: 1,
                    created_at: 1,
                    updated_at: 1,
                };
                (
                    tx.event_type_insert(tenant, &event_type).await.unwrap(),
                    changed,
                )
            }
        }
        Step::PutSource(n) => {
            let mut source = fixture::source(u128::from(*n) + 200, &owner(*n), "cloudevents");
            let former = tx.object_get(source.id).await.unwrap();
            let change = match former {
                Some(former) => {
                    source.version = former.version + 1;
                    source.settings.rate_per_second = Some(7);
                    tx.object_update(&source).await.unwrap()
                }
                None => tx.object_insert(&source).await.unwrap(),
            };
            (change, Changed::Source(source.id))
        }
        Step::DropSource(n) => {
            let id = fixture::source(u128::from(*n) + 200, &owner(*n), "a").id;
            (tx.object_delete(id).await.unwrap(), Changed::Source(id))
        }
        Step::PutKey(n) => {
            let tenant = (*n < 3).then(|| owner(*n).id);
            let key = key(u128::from(*n) + 300, tenant);
            if store.api_key_get(key.id).await.unwrap().is_some() {
                return Vec::new();
            }
            (tx.api_key_insert(&key).await.unwrap(), Changed::Key(key.id))
        }
        Step::RevokeKey(n) => {
            drop(tx);
            let id = key(u128::from(*n) + 300, None).id;
            let mut tx = store.begin().await.unwrap();
            tx.api_key_revoke(id, 5).await.unwrap();
            tx.commit().await.unwrap();
            return vec![Changed::Key(id)];
        }
        Step::DropTenant(n) => {
            use crate::store::TenantDeletion;
            let id = owner(*n).id;
            match tx.tenant_delete(id).await.unwrap() {
                TenantDeletion::Done => (Change::Done, Changed::Tenant(id)),
                TenantDeletion::InUse | TenantDeletion::Missing => return Vec::new(),
            }
        }
    };
    if change == Change::Done {
        tx.commit().await.unwrap();
    }
    vec![changed]
}

/// Everything that a snapshot answers, in words.
fn told(registry: &Registry) -> BTreeMap<String, String> {
    let mut told = BTreeMap::new();
    for (id, entry) in &registry.tenants {
        for text in ["a", "a.b", "a.b.c", "c", "d"] {
            for source in [None, Some(fixture::source(201, &entry.tenant, "a").id)] {
                let name = name(text);
                let answer = (entry.accepts(&name), entry.subscribers(&name, source));
                told.insert(format!("{id} {text} {source:?}"), format!("{answer:?}"));
            }
        }
        let kinds = [
            Capped::EventTypes,
            Capped::Endpoints,
            Capped::Sources,
            Capped::ApiKeys,
        ];
        let counts = kinds.map(|kind| entry.count(kind));
        told.insert(id.to_string(), format!("{:?} {counts:?}", entry.tenant));
    }
    for live in registry.endpoints() {
        let policy = registry.retry_policy(live);
        told.insert(live.endpoint.id.to_string(), format!("{live:?} {policy:?}"));
    }
    for live in registry.sources() {
        told.insert(live.source.id.to_string(), format!("{:?}", live.source));
    }
    for id in registry.sealed() {
        told.insert(id.to_string(), "sealed".to_owned());
    }
    for id in registry.sealed_sources() {
        told.insert(id.to_string(), "sealed".to_owned());
    }
    for (id, entry) in &registry.keys {
        let key = &entry.key;
        let is_live = entry.is_live(10);
        told.insert(id.to_string(), format!("{key:?} {is_live}"));
    }
    told.insert(
        "of the installation".to_owned(),
        registry.keys_of(None).count().to_string(),
    );
    told
}

async fn check(steps: &[Step]) {
    let (store, _directory) = fixture::store().await;
    for n in 0..3 {
        fixture::insert_tenant(&store, &owner(n)).await;
    }
    let shared = fixture::shared(&store, fixture::vault(1)).await;
    for steps in steps.chunks(7) {
        let mut changed = Vec::new();
        for step in steps {
            changed.extend(make(&store, step).await);
        }
        shared.promise(changed).kept().await.unwrap();
        let anew = fixture::shared(&store, fixture::vault(1)).await;
        assert_eq!(
            told(&shared.snapshot()),
            told(&anew.snapshot()),
            "{steps:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn changes_row_by_row_come_to_the_same_as_reading_everything(
        steps in prop::collection::vec(step(), 30..60)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(&steps));
    }
}
