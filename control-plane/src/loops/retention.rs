//! Retention: forgets what is old enough, and makes room for what comes.

use std::time::Duration;

use super::every;
use crate::{
    audit::{self, Record},
    core::Core,
    model::{
        delivery::{Action, DeliveryActionKind},
        inbound::QUARANTINE_MS,
        shard::ShardSet,
    },
    rpc::REMEMBERED_MS,
    store::{OpenFilter, Result},
};

/// How often.
const INTERVAL: Duration = Duration::from_hours(1);
/// How many dead letters of a shard expire in one transaction.
const EXPIRE_BATCH: i64 = 1_000;

/// For how long things are kept, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    /// Of which shards.
    pub shards: ShardSet,
    /// Events, attempts and idempotency keys, from the emit.
    pub events_ms: i64,
    /// Dead letters, from their death.
    pub dead_letters_ms: i64,
    /// Records of who did what, from when it was done.
    pub audit_ms: i64,
}

/// Keeps to the retention for ever. Each step runs whatever became of the others; one that fails is made up for by the
/// next round.
pub(crate) async fn keep_retention(core: Core, retention: Retention) {
    let round = async || round(&core, retention).await;
    every(&core.clock, INTERVAL, round).await;
}

async fn round(core: &Core, retention: Retention) {
    let (store, now_ms) = (&core.store, core.clock.now_ms());
    done("making partitions", store.partition_ensure(now_ms).await);
    let expired = expire(core, &retention.shards, now_ms, retention.dead_letters_ms).await;
    let expired = done("expiring dead letters", expired);
    let events_before = now_ms.saturating_sub(retention.events_ms);
    let retired = store.partition_retire(events_before).await;
    let retired = done("retiring events", retired);
    let keys = store.event_key_retire(events_before).await;
    let keys = done("retiring idempotency keys", keys);
    let quarantine_before = now_ms.saturating_sub(QUARANTINE_MS);
    let inbound = store
        .inbound_retire(&retention.shards, quarantine_before, events_before)
        .await;
    let inbound = done("retiring inbound requests", inbound);
    let audit_before = now_ms.saturating_sub(retention.audit_ms);
    let audit = done("retiring records", store.audit_retire(audit_before).await);
    let requests_before = now_ms.saturating_sub(REMEMBERED_MS);
    let requests = store.request_prune(requests_before).await;
    let requests = done("forgetting request ids", requests);
    tracing::info!(
        expired,
        retired,
        keys,
        inbound,
        audit,
        requests,
        "a round of retention: {expired} dead letters expired"
    );
    let removed = [
        ("events", retired),
        ("idempotency_keys", keys),
        ("inbound_requests", inbound),
        ("audit_records", audit),
    ];
    done(
        "putting the round on record",
        record(core, &removed, now_ms).await,
    );
}

/// Puts on record what was removed for good, if there was anything.
async fn record(core: &Core, removed: &[(&str, u64)], now_ms: i64) -> Result<()> {
    if removed.iter().all(|(_, count)| *count == 0) {
        return Ok(());
    }
    let record = Record::of(None, "").because("its retention is over");
    let record = removed.iter().fold(record, |record, (what, count)| {
        record.setting(what, None, *count)
    });
    let record = record.by_posthorn("RetireData", now_ms, &mut core.rng());
    audit::write_alone(&core.store, &[record]).await
}

/// What a step did, as a count; nothing when it failed, which is logged.
fn done<T: Default>(step: &'static str, ended: Result<T>) -> T {
    ended.unwrap_or_else(|error| {
        tracing::warn!(error = ?error, "a step of retention failed, {step}; the next round repeats it");
        T::default()
    })
}

/// Ends dead letters that nobody retried in time; each is recorded as expired.
async fn expire(core: &Core, shards: &ShardSet, now_ms: i64, keep_ms: i64) -> Result<u64> {
    let action = Action {
        kind: DeliveryActionKind::Expire,
        reason: "the retention of dead letters is over".to_owned(),
        key_id: None,
        acted_at: now_ms,
    };
    let mut expired = 0;
    for shard in shards.iter() {
        let filter = OpenFilter {
            shard,
            tenant_id: None,
            endpoint_id: None,
            died: Some((i64::MIN, now_ms.saturating_sub(keep_ms))),
            limit: EXPIRE_BATCH,
        };
        loop {
            let mut tx = core.store.begin_in(shard).await?;
            let ended = tx.delivery_end_matching(&filter, &action).await?;
            if ended == 0 {
                break;
            }
            let record = Record::of(None, "").because(&action.reason);
            let record = record.setting("dead_letters", None, ended);
            let record = record.by_posthorn("ExpireDeadLetters", now_ms, &mut core.rng());
            tx.audit_insert(&record).await?;
            tx.commit().await?;
            audit::log(&record);
            expired += ended;
        }
    }
    Ok(expired)
}
