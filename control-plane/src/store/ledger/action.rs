//! Actions: the log of what operators did to deliveries.

use sqlx::FromRow;
use uuid::Uuid;

use crate::model::{
    delivery::{Action, DeliveryActionKind},
    id::{DeliveryId, EndpointId, KeyId, TenantId},
};
use crate::store::{Error, LedgerTx, Result, Store};

/// How many actions of one delivery are shown.
const ACTIONS_SHOWN_MAX: i64 = 100;

#[derive(FromRow)]
struct ActionRow {
    kind: i16,
    reason: String,
    key_id: Option<Uuid>,
    acted_at: i64,
}

/// The last actions on one of them.
pub(in crate::store) const LIST: &str = "select kind, reason, key_id, acted_at
     from delivery_action
     where shard = $1 and delivery_id = $2
     order by acted_at desc, kind desc
     limit $3";

impl Store {
    /// The last actions on a delivery, oldest first.
    pub(crate) async fn action_list(&self, id: DeliveryId) -> Result<Vec<Action>> {
        let rows = read!(self, conn => {
            sqlx::query_as::<_, ActionRow>(
                LIST,
            )
            .bind(id.shard().column())
            .bind(id.uuid())
            .bind(ACTIONS_SHOWN_MAX)
            .fetch_all(conn)
            .await
        })?;
        rows.into_iter().rev().map(ActionRow::into_action).collect()
    }
}

impl LedgerTx {
    /// Records an action on one delivery.
    pub(crate) async fn action_record(
        &mut self,
        id: DeliveryId,
        endpoint_id: EndpointId,
        tenant_id: TenantId,
        attempt_count: u32,
        action: &Action,
    ) -> Result<()> {
        const SQL: &str = "
            insert into delivery_action
                (shard, delivery_id, acted_at, kind, endpoint_id, tenant_id, reason, key_id, attempt_count)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
            on conflict do nothing";
        execute!(
            self,
            SQL,
            id.shard().column(),
            id.uuid(),
            action.acted_at,
            action.kind.column(),
            endpoint_id.uuid(),
            tenant_id.uuid(),
            &action.reason,
            action.key_id.map(KeyId::uuid),
            i32::try_from(attempt_count).unwrap_or(i32::MAX)
        )?;
        Ok(())
    }
}

impl ActionRow {
    fn into_action(self) -> Result<Action> {
        let kind = DeliveryActionKind::from_column(self.kind);
        Ok(Action {
            kind: kind.ok_or_else(|| Error::bug(format!("action kind {}", self.kind)))?,
            reason: self.reason,
            key_id: self.key_id.map(KeyId::from_uuid),
            acted_at: self.acted_at,
        })
    }
}
