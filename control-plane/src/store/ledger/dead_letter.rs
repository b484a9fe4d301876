//! Deliveries that are changed many at a time: redriven, discarded, expired, cancelled with their endpoint.
//!
//! Each works in two statements of one transaction: the first records an action for what matches, the second changes
//! exactly what was recorded. So the log and the deliveries cannot disagree.

use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use crate::model::{
    delivery::{Action, DeliveryActionKind},
    id::{DeliveryId, EndpointId, KeyId, Shard, TenantId},
};
use crate::store::{
    LedgerTx, OneOf, Result,
    ledger::delivery::{DEAD, PENDING},
};

/// Which open deliveries of a shard to change, those that died first before others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenFilter {
    /// The shard.
    pub shard: Shard,
    /// Only this tenant's.
    pub tenant_id: Option<TenantId>,
    /// Only those to this endpoint.
    pub endpoint_id: Option<EndpointId>,
    /// The dead that died from the first instant on and before the second. None: those that wait.
    pub died: Option<(i64, i64)>,
    /// How many.
    pub limit: i64,
}

impl OpenFilter {
    fn state(&self) -> i16 {
        self.died.map_or(PENDING, |_| DEAD)
    }
}

/// The statement that records what matches, with what locks the rows. What is dead is found by an index in its own order.
pub(in crate::store) fn record_sql(filter: &OpenFilter, lock: &str) -> String {
    let died = "state = $6 and state = 2 and dead_at >= $9 and dead_at < $10";
    let tenant = "($7 is null or tenant_id = $7)";
    let condition = match (filter.died, filter.endpoint_id, filter.tenant_id) {
        (Some(_), Some(_), _) => format!("{died} and endpoint_id = $8 and {tenant}"),
        (Some(_), None, Some(_)) => format!("{died} and tenant_id = $7 and $8 is null"),
        (Some(_), None, None) => format!("{died} and $7 is null and $8 is null"),
        (None, ..) => format!(
            "state = $6 and state = 1 and endpoint_id = $8 and {tenant} and $9 is null and $10 is null"
        ),
    };
    format!(
        "insert into delivery_action
             (shard, delivery_id, acted_at, kind, endpoint_id, tenant_id, reason, key_id, attempt_count)
         select shard, delivery_id, $1, $2, endpoint_id, tenant_id, $3, $4, attempt_count
         from delivery
         where shard = $5 and {condition}
         order by dead_at, delivery_id
         limit $11
         {lock} on conflict do nothing"
    )
}

/// Binds the parameters of that statement.
macro_rules! bind_record {
    ($query:expr, $filter:ident, $action:ident) => {
        $query
            .bind($action.acted_at)
            .bind($action.kind.column())
            .bind(&$action.reason)
            .bind($action.key_id.map(KeyId::uuid))
            .bind($filter.shard.column())
            .bind($filter.state())
            .bind($filter.tenant_id.map(TenantId::uuid))
            .bind($filter.endpoint_id.map(EndpointId::uuid))
            .bind($filter.died.map(|(from, _)| from))
            .bind($filter.died.map(|(_, before)| before))
            .bind($filter.limit)
    };
}

impl LedgerTx {
    /// Makes dead letters due at once. Returns them with their endpoints.
    pub(crate) async fn dead_letter_redrive(
        &mut self,
        filter: &OpenFilter,
        action: &Action,
    ) -> Result<Vec<(DeliveryId, EndpointId)>> {
        self.record_matching(filter, action).await?;
        let rows = on!(&mut self.on, tx => {
            sqlx::query(
                "update delivery
                 set attempt_base = attempt_count, state = 1, dead_at = null, dead_reason = null, next_attempt_at = $1,
                     retry_open = true
                 where shard = $2 and state = 2 and ($3 is null or tenant_id = $3) and exists (
                     select 1 from delivery_action x
                     where x.shard = delivery.shard and x.delivery_id = delivery.delivery_id and x.acted_at = $1
                       and x.kind = $4
                 )
                 returning delivery_id, endpoint_id",
            )
            .bind(action.acted_at)
            .bind(filter.shard.column())
            .bind(filter.tenant_id.map(TenantId::uuid))
            .bind(action.kind.column())
            .fetch_all(&mut **tx)
            .await?
            .iter()
            .map(|row| Ok((row.try_get::<Uuid, _>(0)?, row.try_get::<Uuid, _>(1)?)))
            .collect::<std::result::Result<Vec<_>, sqlx::Error>>()
        })?;
        let typed = |(delivery, endpoint)| {
            (
                DeliveryId::from_uuid(delivery),
                EndpointId::from_uuid(endpoint),
            )
        };
        Ok(rows.into_iter().map(typed).collect())
    }

    /// Removes open deliveries. Returns how many.
    pub(crate) async fn delivery_end_matching(
        &mut self,
        filter: &OpenFilter,
        action: &Action,
    ) -> Result<u64> {
        const SQL: &str = "
            delete from delivery
            where shard = $1 and state = $2 and ($3 is null or tenant_id = $3)
              and ($4 is null or endpoint_id = $4) and exists (
                  select 1 from delivery_action x
                  where x.shard = delivery.shard and x.delivery_id = delivery.delivery_id and x.acted_at = $5
                    and x.kind = $6
              )";
        self.record_matching(filter, action).await?;
        let ended = execute!(
            self,
            SQL,
            filter.shard.column(),
            filter.state(),
            filter.tenant_id.map(TenantId::uuid),
            filter.endpoint_id.map(EndpointId::uuid),
            action.acted_at,
            action.kind.column()
        )?;
        Ok(ended)
    }

    /// Removes every open delivery of an endpoint. Returns how many.
    pub(crate) async fn delivery_cancel_all(
        &mut self,
        shard: Shard,
        endpoint_id: EndpointId,
        key_id: Option<KeyId>,
        reason: &str,
        now_ms: i64,
    ) -> Result<u64> {
        let waiting = OpenFilter {
            shard,
            tenant_id: None,
            endpoint_id: Some(endpoint_id),
            died: None,
            limit: i64::MAX,
        };
        let dead = OpenFilter {
            died: Some((i64::MIN, i64::MAX)),
            ..waiting
        };
        let action = Action {
            kind: DeliveryActionKind::Cancel,
            reason: reason.to_owned(),
            key_id,
            acted_at: now_ms,
        };
        let waiting = self.delivery_end_matching(&waiting, &action).await?;
        Ok(waiting + self.delivery_end_matching(&dead, &action).await?)
    }

    async fn record_matching(&mut self, filter: &OpenFilter, action: &Action) -> Result<()> {
        // Locked, so that nothing moves between the two statements. SQLite's transaction holds the only write lock.
        match &mut self.on {
            OneOf::Postgres(tx) => {
                let query = sqlx::query(AssertSqlSafe(record_sql(filter, "for update")));
                bind_record!(query, filter, action)
                    .execute(&mut **tx)
                    .await?;
            }
            OneOf::Sqlite(tx) => {
                let query = sqlx::query(AssertSqlSafe(record_sql(filter, "")));
                bind_record!(query, filter, action)
                    .execute(&mut **tx)
                    .await?;
            }
        }
        Ok(())
    }
}
