//! `DeliveryService`.

mod backlog;
mod bulk;
mod failures;
pub(super) mod view;

use std::collections::BTreeSet;

use posthorn::v1::{self, delivery_service_server::DeliveryService};

use self::view::{action_proto, attempt_key, attempt_key_bytes, attempt_proto, delivery_proto};
use super::{
    Call, Caller, Made, Mutations, Page, QueryFingerprint,
    convert::{any_or, visible_name},
    new_event::event_type,
    page::bad_token,
    time_range::TimeRange,
};
use crate::{
    audit::Record,
    core::Core,
    dispatch::Dispatch,
    error::Error,
    model::{
        delivery::{Action, DeliveryActionKind, DeliveryState, DeliveryView, ErrorKind},
        id::{DeliveryId, EventId, TenantId, uuid_floor},
    },
    registry::TenantEntry,
    store::{DeliveryFilter, EventBrief, LedgerTx, last_below},
};

/// How many characters a reason may have.
const REASON_CHARS_MAX: usize = 500;

/// Serves `DeliveryService`.
#[derive(Debug, Clone)]
pub(crate) struct Deliveries {
    core: Core,
    mutations: Mutations,
    dispatch: Dispatch,
}

impl Deliveries {
    /// A service over the store that changes deliveries through the engine.
    pub(crate) fn new(core: Core, dispatch: Dispatch) -> Self {
        Self {
            mutations: Mutations::new(&core),
            core,
            dispatch,
        }
    }

    fn tenant(&self, caller: &Caller, text: &str) -> Result<std::sync::Arc<TenantEntry>, Error> {
        caller.tenant(&self.core.registry.snapshot(), text)
    }

    /// What a delivery shows of its event. None: the event is gone.
    async fn brief(&self, id: DeliveryId) -> Result<Option<EventBrief>, Error> {
        let event = id.event();
        let mut briefs = self.core.store.event_briefs(id.shard(), &[event]).await?;
        Ok(briefs.remove(&event))
    }

    /// A delivery of a tenant as callers see it.
    fn shown(
        &self,
        tenant: TenantId,
        view: &DeliveryView,
        brief: Option<&EventBrief>,
    ) -> v1::Delivery {
        let registry = self.core.registry.snapshot();
        let live = registry.endpoint(view.endpoint_id);
        let name = live.and_then(|live| live.endpoint.settings.name.clone());
        delivery_proto(tenant, view, brief, name.unwrap_or_default())
    }

    async fn get(
        &self,
        caller: &Caller,
        request: v1::GetDeliveryRequest,
    ) -> Result<v1::GetDeliveryResponse, Error> {
        let tenant = self.tenant(caller, &request.tenant_id)?.tenant.id;
        let id = delivery_id(&request.delivery_id)?;
        let view = self
            .core
            .store
            .delivery_get(tenant, id)
            .await?
            .ok_or(Error::NotFound("delivery"))?;
        let actions = self.core.store.action_list(id).await?;
        Ok(v1::GetDeliveryResponse {
            delivery: Some(self.shown(tenant, &view, self.brief(id).await?.as_ref())),
            actions: actions.iter().map(action_proto).collect(),
        })
    }

    async fn list(
        &self,
        caller: &Caller,
        request: v1::ListDeliveriesRequest,
    ) -> Result<v1::ListDeliveriesResponse, Error> {
        let tenant = self.tenant(caller, &request.tenant_id)?;
        let range = TimeRange::parse(
            ("created_from", request.created_from.as_ref()),
            ("created_before", request.created_before.as_ref()),
        )?;
        let narrowed = Narrowed::parse(&request)?;
        let query = QueryFingerprint::new(
            "ListDeliveries",
            &[
                tenant.tenant.id.uuid().as_bytes(),
                &range.fingerprint(),
                &request.state.to_be_bytes(),
                request.endpoint_id.as_bytes(),
                request.event_id.as_bytes(),
                &narrowed.fingerprint(),
                request.event_type.as_bytes(),
            ],
        );
        let page = Page::parse(request.page_size, &request.page_token, query)?;
        let (mut from, mut through) = (
            uuid_floor(range.from_ms),
            last_below(uuid_floor(range.before_ms)),
        );
        if let Some(event_id) = optional::<EventId>("event_id", &request.event_id)? {
            let (first, last) = event_id.delivery_range();
            (from, through) = (from.max(first.uuid()), through.min(last.uuid()));
        }
        if let Some(after) = page.after_uuid()? {
            through = through.min(last_below(after));
        }
        let filter = DeliveryFilter {
            shard: tenant.shard,
            tenant_id: tenant.tenant.id,
            state: narrowed.state,
            error: narrowed.error,
            status_code: narrowed.status_code,
            died: narrowed.died,
            event_type: Some(request.event_type.as_str()).filter(|name| !name.is_empty()),
            endpoint_id: optional("endpoint_id", &request.endpoint_id)?,
            from,
            through,
            limit: page.rows_to_read(),
        };
        let scanned = self.core.store.delivery_list(&filter).await?;
        let (rows, next_page_token) = page.cut_scanned(scanned, |row| row.id.uuid());
        let events = rows
            .iter()
            .map(|row| row.id.event())
            .collect::<BTreeSet<_>>();
        let events = events.into_iter().collect::<Vec<_>>();
        let briefs = self.core.store.event_briefs(tenant.shard, &events).await?;
        let deliveries = rows
            .iter()
            .map(|row| self.shown(tenant.tenant.id, row, briefs.get(&row.id.event())));
        Ok(v1::ListDeliveriesResponse {
            deliveries: deliveries.collect(),
            next_page_token,
        })
    }

    async fn attempts(
        &self,
        caller: &Caller,
        request: v1::ListAttemptsRequest,
    ) -> Result<v1::ListAttemptsResponse, Error> {
        let tenant = self.tenant(caller, &request.tenant_id)?.tenant.id;
        let id = delivery_id(&request.delivery_id)?;
        let query = QueryFingerprint::new(
            "ListAttempts",
            &[tenant.uuid().as_bytes(), id.uuid().as_bytes()],
        );
        let page = Page::parse(request.page_size, &request.page_token, query)?;
        self.core
            .store
            .delivery_get(tenant, id)
            .await?
            .ok_or(Error::NotFound("delivery"))?;
        let after = page.after().map_or(Some((0, i64::MIN)), attempt_key);
        let after = after.ok_or_else(bad_token)?;
        let rows = self
            .core
            .store
            .attempt_list(id, after, page.rows_to_read())
            .await?;
        let (rows, next_page_token) = page.cut(rows, attempt_key_bytes);
        Ok(v1::ListAttemptsResponse {
            attempts: rows.iter().map(|row| attempt_proto(row, caller)).collect(),
            next_page_token,
        })
    }

    async fn retry(
        &self,
        caller: &Caller,
        request: v1::RetryDeliveryRequest,
    ) -> Result<v1::RetryDeliveryResponse, Error> {
        let now = self.core.clock.now_ms();
        let owner = self.tenant(caller, &request.tenant_id)?;
        let tenant = owner.tenant.id;
        let id = delivery_id(&request.delivery_id)?;
        let action = action(caller, DeliveryActionKind::Retry, &request.reason, now)?;
        let brief = self.brief(id).await?;
        let call = Call::new(caller, &request, now)?;
        let change = async |tx: &mut LedgerTx| {
            let (view, moved) = self.dispatch.retry(tx, tenant, id, &action).await?;
            let after = self.shown(tenant, &view, brief.as_ref());
            let record = moved_record(tenant, id, &action, after.state());
            let response = v1::RetryDeliveryResponse {
                delivery: Some(after),
            };
            Ok(Made::new(response, record).then(move |_| moved.committed()))
        };
        self.mutations.make_in(owner.shard, call, change).await
    }

    async fn cancel(
        &self,
        caller: &Caller,
        request: v1::CancelDeliveryRequest,
    ) -> Result<v1::CancelDeliveryResponse, Error> {
        let now = self.core.clock.now_ms();
        let owner = self.tenant(caller, &request.tenant_id)?;
        let tenant = owner.tenant.id;
        let id = delivery_id(&request.delivery_id)?;
        let action = action(caller, DeliveryActionKind::Cancel, &request.reason, now)?;
        let brief = self.brief(id).await?;
        let call = Call::new(caller, &request, now)?;
        let change = async |tx: &mut LedgerTx| {
            let (view, moved) = self.dispatch.cancel(tx, tenant, id, &action).await?;
            let after = self.shown(tenant, &view, brief.as_ref());
            let record = moved_record(tenant, id, &action, after.state());
            let response = v1::CancelDeliveryResponse {
                delivery: Some(after),
            };
            Ok(Made::new(response, record).then(move |_| moved.committed()))
        };
        self.mutations.make_in(owner.shard, call, change).await
    }
}

/// What a list of deliveries is narrowed to beside ids and instants of events.
struct Narrowed {
    state: Option<DeliveryState>,
    error: Option<ErrorKind>,
    status_code: Option<u16>,
    died: Option<(i64, i64)>,
}

impl Narrowed {
    fn parse(request: &v1::ListDeliveriesRequest) -> Result<Self, Error> {
        let died = TimeRange::parse(
            ("died_from", request.died_from.as_ref()),
            ("died_before", request.died_before.as_ref()),
        )?;
        let is_bounded = request.died_from.is_some() || request.died_before.is_some();
        let status_code = match request.status_code {
            0 => None,
            100..=599 => u16::try_from(request.status_code).ok(),
            _ => return Err(Error::invalid("status_code", "must be from 100 to 599")),
        };
        if !request.event_type.is_empty() {
            event_type(&request.event_type)?;
        }
        Ok(Self {
            state: any_or::<v1::DeliveryState, _>("state", request.state)?,
            error: any_or::<v1::ErrorKind, _>("error_kind", request.error_kind)?,
            status_code,
            died: is_bounded.then_some((died.from_ms, died.before_ms)),
        })
    }

    fn fingerprint(&self) -> Vec<u8> {
        let died = self.died.unwrap_or_default();
        let numbers = [
            self.error.map_or(0, |error| error.column().into()),
            self.status_code.map_or(0, i64::from),
            self.died.is_some().into(),
            died.0,
            died.1,
        ];
        numbers.map(i64::to_be_bytes).concat()
    }
}

/// What is put on record of a delivery that is moved to a state.
fn moved_record(
    tenant: TenantId,
    id: DeliveryId,
    action: &Action,
    state: v1::DeliveryState,
) -> Record {
    let record = Record::of(tenant, id).because(&action.reason);
    record.setting("state", None, state.as_str_name())
}

fn delivery_id(text: &str) -> Result<DeliveryId, Error> {
    text.parse()
        .map_err(|error| Error::invalid("delivery_id", format!("{error}")))
}

fn optional<T: std::str::FromStr<Err = crate::model::id::ParseIdError>>(
    field: &str,
    text: &str,
) -> Result<Option<T>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|error: crate::model::id::ParseIdError| Error::invalid(field, error.to_string()))
}

fn action(
    caller: &Caller,
    kind: DeliveryActionKind,
    reason: &str,
    now: i64,
) -> Result<Action, Error> {
    Ok(Action {
        kind,
        reason: visible_name("reason", reason, REASON_CHARS_MAX)?,
        key_id: Some(caller.key_id()),
        acted_at: now,
    })
}

serves! {
    DeliveryService for Deliveries {
        get_delivery => get(GetDeliveryRequest) -> GetDeliveryResponse;
        list_backlogs => backlogs(ListBacklogsRequest) -> ListBacklogsResponse;
        list_deliveries => list(ListDeliveriesRequest) -> ListDeliveriesResponse;
        list_failed_attempts => failures(ListFailedAttemptsRequest) -> ListFailedAttemptsResponse;
        list_attempts => attempts(ListAttemptsRequest) -> ListAttemptsResponse;
        retry_delivery => retry(RetryDeliveryRequest) -> RetryDeliveryResponse;
        cancel_delivery => cancel(CancelDeliveryRequest) -> CancelDeliveryResponse;
        redrive_dead_letters => redrive(RedriveDeadLettersRequest) -> RedriveDeadLettersResponse;
        discard_dead_letters => discard(DiscardDeadLettersRequest) -> DiscardDeadLettersResponse;
    }
}
