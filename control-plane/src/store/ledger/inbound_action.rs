//! What operators do to inbound requests: the log of it, holds, and requests that are accepted after all.
//!
//! Every change runs in a transaction that has locked the request, so that retention and two operators never disagree
//! about a body.

use sqlx::FromRow;
use uuid::Uuid;

use crate::model::{
    id::{EventId, InboundActionId, InboundId, KeyId, TenantId},
    inbound::{InboundAction, InboundActionKind, InboundRequest},
};
use crate::store::{Error, LedgerTx, Result, Store};

/// How many actions of one request are shown.
const ACTIONS_SHOWN_MAX: i64 = 500;

#[derive(FromRow)]
struct ActionRow {
    action_id: Uuid,
    request_id: Uuid,
    tenant_id: Uuid,
    kind: i16,
    reason: String,
    key_id: Uuid,
    acted_at: i64,
    event_id: Option<Uuid>,
}

/// The last actions on one of them.
pub(in crate::store) const LIST: &str =
    "select action_id, request_id, tenant_id, kind, reason, key_id, acted_at, event_id
     from inbound_action
     where shard = $1 and request_id = $2
     order by acted_at desc, action_id desc
     limit $3";

impl Store {
    /// The last actions on an inbound request, oldest first.
    pub(crate) async fn inbound_action_list(&self, id: InboundId) -> Result<Vec<InboundAction>> {
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
    /// Records an action.
    pub(crate) async fn inbound_action_record(&mut self, action: &InboundAction) -> Result<()> {
        const SQL: &str = "
            insert into inbound_action
                (shard, request_id, acted_at, action_id, kind, tenant_id, key_id, reason, event_id)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        execute!(
            self,
            SQL,
            action.request_id.shard().column(),
            action.request_id.uuid(),
            action.acted_at,
            action.id.uuid(),
            action.kind.column(),
            action.tenant_id.uuid(),
            action.key_id.uuid(),
            &action.reason,
            action.event_id.map(EventId::uuid)
        )?;
        Ok(())
    }

    /// Places or lifts the hold of a request that this transaction has locked.
    pub(crate) async fn inbound_set_held(&mut self, id: InboundId, held: bool) -> Result<()> {
        execute!(
            self,
            "update inbound_request set held = $3 where shard = $1 and request_id = $2",
            id.shard().column(),
            id.uuid(),
            held
        )?;
        Ok(())
    }

    /// Keeps a copy of a body with the request itself. A body that is kept there already stays.
    pub(crate) async fn inbound_body_keep(&mut self, id: InboundId, body: &[u8]) -> Result<()> {
        execute!(
            self,
            "insert into inbound_body (shard, request_id, body) values ($1, $2, $3) on conflict do nothing",
            id.shard().column(),
            id.uuid(),
            body
        )?;
        Ok(())
    }

    /// Removes the body that is kept with the request itself.
    pub(crate) async fn inbound_body_drop(&mut self, id: InboundId) -> Result<()> {
        execute!(
            self,
            "delete from inbound_body where shard = $1 and request_id = $2",
            id.shard().column(),
            id.uuid()
        )?;
        Ok(())
    }

    /// Makes a request that this transaction has locked an accepted one, beside the one that it repeats. What it claims is
    /// its own.
    pub(crate) async fn inbound_accept(&mut self, request: &InboundRequest) -> Result<()> {
        execute!(
            self,
            "update inbound_request set verdict = 1, claim = $3 where shard = $1 and request_id = $2",
            request.id.shard().column(),
            request.id.uuid(),
            request.claim.column()
        )?;
        Ok(())
    }

    /// Removes the record of a request that this transaction has locked, with its body: to be written anew.
    pub(crate) async fn inbound_remove(&mut self, id: InboundId) -> Result<()> {
        self.inbound_body_drop(id).await?;
        execute!(
            self,
            "delete from inbound_request where shard = $1 and request_id = $2",
            id.shard().column(),
            id.uuid()
        )?;
        Ok(())
    }
}

impl ActionRow {
    fn into_action(self) -> Result<InboundAction> {
        let kind = InboundActionKind::from_column(self.kind);
        Ok(InboundAction {
            id: InboundActionId::from_uuid(self.action_id),
            request_id: InboundId::from_uuid(self.request_id),
            tenant_id: TenantId::from_uuid(self.tenant_id),
            kind: kind.ok_or_else(|| Error::bug(format!("action kind {}", self.kind)))?,
            reason: self.reason,
            key_id: KeyId::from_uuid(self.key_id),
            acted_at: self.acted_at,
            event_id: self.event_id.map(EventId::from_uuid),
        })
    }
}
