//! Retention of inbound requests: what was not accepted goes as a whole, a conflict or a batch only loses its body.
//!
//! What is under a legal hold stays. The records of accepted requests, duplicates and conflicts stay for ever: they are
//! what tells a repeat, whenever it comes. The body of an accepted one is its event's and goes with it.

use sqlx::{AssertSqlSafe, QueryBuilder};
use uuid::Uuid;

use crate::model::{
    id::{Shard, uuid_floor},
    shard::ShardSet,
};
use crate::store::{LedgerTx, OneOf, Result, Store};

/// How many requests of a shard one transaction takes.
const BATCH: usize = 500;

/// What goes.
#[derive(Debug, Clone, Copy)]
enum Retired {
    /// Requests that were rejected or quarantined, with their bodies.
    Quarantine,
    /// The bodies that are kept with other requests.
    Bodies,
}

impl Store {
    /// Removes of some shards the requests that were rejected or quarantined before one instant, and the bodies of other requests that
    /// were received before another, unless they are held. Returns how many went.
    pub(crate) async fn inbound_retire(
        &self,
        shards: &ShardSet,
        quarantined_before: i64,
        received_before: i64,
    ) -> Result<u64> {
        let mut gone = 0;
        for shard in shards.iter() {
            gone += self
                .inbound_retire_shard(Retired::Quarantine, shard, quarantined_before)
                .await?;
            gone += self
                .inbound_retire_shard(Retired::Bodies, shard, received_before)
                .await?;
        }
        Ok(gone)
    }

    async fn inbound_retire_shard(
        &self,
        retired: Retired,
        shard: Shard,
        before: i64,
    ) -> Result<u64> {
        let mut gone = 0;
        loop {
            let mut tx = self.begin_in(shard).await?;
            let ids = tx.inbound_old(retired, shard, before).await?;
            if !ids.is_empty() {
                tx.inbound_delete("inbound_body", shard, &ids).await?;
                if matches!(retired, Retired::Quarantine) {
                    tx.inbound_delete("inbound_request", shard, &ids).await?;
                }
            }
            tx.commit().await?;
            gone += ids.len() as u64;
            if ids.len() < BATCH {
                return Ok(gone);
            }
        }
    }
}

impl LedgerTx {
    /// The ids of requests that may go, locked so that nobody places a hold on them meanwhile.
    async fn inbound_old(
        &mut self,
        retired: Retired,
        shard: Shard,
        before: i64,
    ) -> Result<Vec<Uuid>> {
        // SQLite has no statistics and would read every request of the shard; there a cross join is one that begins with
        // its first table.
        let (index, join, lock) = match &mut self.on {
            OneOf::Postgres(_) => ("", "join", "for update of r"),
            OneOf::Sqlite(_) => ("indexed by inbound_request_quarantine", "cross join", ""),
        };
        let select = match retired {
            Retired::Quarantine => format!(
                "select r.request_id
                 from inbound_request r {index}
                 where r.shard = $1 and r.request_id < $2 and r.verdict in (4, 5) and not r.held
                 order by r.request_id"
            ),
            Retired::Bodies => format!(
                "select b.request_id
                 from inbound_body b
                 {join} inbound_request r on r.shard = b.shard and r.request_id = b.request_id
                 where b.shard = $1 and b.request_id < $2 and r.verdict in (1, 2, 3) and not r.held
                 order by b.request_id"
            ),
        };
        let sql = format!("{select} limit $3 {lock}");
        let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
        let rows: Vec<(Uuid,)> = on!(&mut self.on, tx => {
            sqlx::query_as(AssertSqlSafe(sql))
                .bind(shard.column())
                .bind(uuid_floor(before))
                .bind(limit)
                .fetch_all(&mut **tx)
                .await
        })?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    async fn inbound_delete(&mut self, table: &str, shard: Shard, ids: &[Uuid]) -> Result<()> {
        on!(&mut self.on, tx => {
            let mut query = QueryBuilder::new(format!("delete from {table} where shard = "));
            query.push_bind(shard.column()).push(" and request_id in (");
            let mut list = query.separated(", ");
            for id in ids {
                list.push_bind(*id);
            }
            query.push(")");
            query.build().execute(&mut **tx).await.map(drop)
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;
    use crate::{
        model::{
            claim::ClaimKey,
            event_type::EventTypeName,
            id::{InboundId, SourceId, TenantId},
            inbound::{Channel, Head, InboundRequest, Part, Verdict},
        },
        registry::fixture,
        store::{InboundFilter, KeptRow},
    };

    const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

    /// A kept request of a verdict, received on a day.
    fn kept(rng: &mut StdRng, tenant_id: TenantId, verdict: Verdict, day: i64) -> KeptRow {
        let id = InboundId::new(day * DAY_MS, Shard::of(tenant_id), rng);
        let body_hash = [u8::try_from(day).unwrap(); 32];
        let provider_event_id = format!("evt_{day}");
        let request = InboundRequest {
            id,
            tenant_id,
            source_id: SourceId::from_uuid(tenant_id.uuid()),
            verdict,
            reason: String::new(),
            channel: Channel::Webhook,
            claim: ClaimKey::own(&provider_event_id, id),
            part: Part::Whole,
            provider_event_id,
            event_type: EventTypeName::parse("a.b").unwrap(),
            original_id: None,
            body_hash,
            body_bytes: 2,
            head: Head::default(),
            remote_address: String::new(),
            received_at: day * DAY_MS,
            answer_status: 200,
            held: false,
        };
        let body = Some(Bytes::from_static(b"{}"));
        KeptRow { request, body }
    }

    async fn all(store: &Store, row: &InboundRequest, is_by_id: bool) -> Vec<InboundRequest> {
        let by_id = row.provider_event_id.as_str();
        let filter = InboundFilter {
            shard: row.id.shard(),
            tenant_id: row.tenant_id,
            source_id: is_by_id.then_some(row.source_id),
            verdict: None,
            event_type: None,
            provider_event_id: is_by_id.then_some(by_id),
            batch_id: None,
            from: Uuid::nil(),
            below: Uuid::max(),
            limit: 100,
        };
        store.inbound_list(&filter).await.unwrap().rows
    }

    #[tokio::test]
    async fn what_is_old_goes_unless_it_is_held() {
        let (store, _directory) = fixture::store().await;
        let mut rng = StdRng::seed_from_u64(1);
        let tenant_id = TenantId::new(0, &mut rng);
        let mut rows = Vec::new();
        for verdict in [Verdict::Conflict, Verdict::Rejected, Verdict::Quarantined] {
            for day in [10, 20, 30] {
                rows.push(kept(&mut rng, tenant_id, verdict, day));
            }
        }
        store.inbound_keep(&rows).await.unwrap();
        // Of each verdict one is held: the oldest of the rejected ones, the conflict of day 20.
        let held = [rows[3].request.id, rows[1].request.id];
        let mut tx = store.begin_in(Shard::of(tenant_id)).await.unwrap();
        for id in held {
            let found = tx.inbound_lock(tenant_id, id).await.unwrap();
            assert!(!found.unwrap().held);
            tx.inbound_set_held(id, true).await.unwrap();
        }
        tx.commit().await.unwrap();
        assert_eq!(all(&store, &rows[0].request, false).await.len(), 9);
        let gone = store
            .inbound_retire(&ShardSet::ALL, 25 * DAY_MS, 15 * DAY_MS)
            .await;
        assert_eq!(gone.unwrap(), 4, "three of the quarantine, one body");

        let mut left = all(&store, &rows[0].request, false).await;
        left.reverse();
        let days = left
            .iter()
            .map(|row| (row.verdict, row.received_at / DAY_MS));
        let mut days = days.collect::<Vec<_>>();
        days.sort_by_key(|(verdict, day)| (verdict.column(), *day));
        let expected = [
            (Verdict::Conflict, 10),
            (Verdict::Conflict, 20),
            (Verdict::Conflict, 30),
            (Verdict::Rejected, 10),
            (Verdict::Rejected, 30),
            (Verdict::Quarantined, 30),
        ];
        assert_eq!(days, expected);
        for row in &left {
            let is_erased = row.verdict == Verdict::Conflict && row.received_at == 10 * DAY_MS;
            let body = store.inbound_body(row).await.unwrap();
            assert_eq!(body.is_none(), is_erased, "{row:?}");
        }
        // By the provider's id, those of one day: a conflict and a rejected one.
        let of_day = all(&store, &rows[0].request, true).await;
        let verdicts = of_day.iter().map(|row| row.verdict.column());
        assert_eq!(verdicts.sum::<i16>(), 3 + 4);
    }
}
