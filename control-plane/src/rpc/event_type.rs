//! `EventTypeService`.

use posthorn::v1::{self, event_type_service_server::EventTypeService};

use super::{
    Call, Caller, Made, Mutations, Page, QueryFingerprint,
    convert::{check_etag, check_mask, etag, fields, long_text, timestamp},
};
use crate::{
    audit::Record,
    core::Core,
    error::{Error, Reason},
    model::{
        event_type::{EventType, EventTypeName},
        id::TenantId,
    },
    registry::{Capped, Changed},
    store::{Change, RegistryTx},
};

const DESCRIPTION_CHARS_MAX: usize = 1_000;

fields! {
    /// What an update can change.
    Field {
        Description: "description",
    }
}

/// Serves `EventTypeService`.
#[derive(Debug, Clone)]
pub(crate) struct EventTypes {
    core: Core,
    mutations: Mutations,
}

impl EventTypes {
    /// A service over the store; the registry hears of every change.
    pub(crate) fn new(core: Core) -> Self {
        Self {
            mutations: Mutations::new(&core),
            core,
        }
    }

    fn tenant(&self, caller: &Caller, text: &str) -> Result<TenantId, Error> {
        Ok(caller
            .tenant(&self.core.registry.snapshot(), text)?
            .tenant
            .id)
    }

    async fn create(
        &self,
        caller: &Caller,
        request: v1::CreateEventTypeRequest,
    ) -> Result<v1::CreateEventTypeResponse, Error> {
        let now = self.core.clock.now_ms();
        let tenant = self.tenant(caller, &request.tenant_id)?;
        let event_type = EventType {
            name: name(&request.name)?,
            description: description(&request.description)?,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        let call = Call::new(caller, &request, now)?;
        let change = async |tx: &mut RegistryTx| {
            let place = self.core.registry.place(Some(tenant), Capped::EventTypes)?;
            match tx.event_type_insert(tenant, &event_type).await? {
                Change::Done => (),
                Change::NameTaken => {
                    return Err(Error::AlreadyExists(
                        Reason::NameTaken,
                        "the tenant has this event type already".to_owned(),
                    ));
                }
                Change::Missing => return Err(Error::NotFound("tenant")),
            }
            let after = proto(tenant, &event_type);
            let record = Record::of(tenant, &event_type.name).changing(None, Some(&after));
            let response = v1::CreateEventTypeResponse {
                event_type: Some(after),
            };
            let changed = Changed::EventType(tenant, event_type.name);
            let made = Made::new(response, record);
            Ok(made.of([changed]).holding([place]))
        };
        self.mutations.make(call, change).await
    }

    async fn get(
        &self,
        caller: &Caller,
        request: v1::GetEventTypeRequest,
    ) -> Result<v1::GetEventTypeResponse, Error> {
        let tenant = self.tenant(caller, &request.tenant_id)?;
        let event_type = self
            .core
            .store
            .event_type_get(tenant, &name(&request.name)?)
            .await?;
        let event_type = event_type.ok_or(Error::NotFound("event type"))?;
        Ok(v1::GetEventTypeResponse {
            event_type: Some(proto(tenant, &event_type)),
        })
    }

    async fn list(
        &self,
        caller: &Caller,
        request: v1::ListEventTypesRequest,
    ) -> Result<v1::ListEventTypesResponse, Error> {
        let tenant = self.tenant(caller, &request.tenant_id)?;
        let query = QueryFingerprint::new("ListEventTypes", &[tenant.uuid().as_bytes()]);
        let page = Page::parse(request.page_size, &request.page_token, query)?;
        let rows = self
            .core
            .store
            .event_type_list(tenant, page.after_text()?, page.rows_to_read())
            .await?;
        let (rows, next_page_token) = page.cut(rows, |row| row.name.as_str().to_owned());
        Ok(v1::ListEventTypesResponse {
            event_types: rows.iter().map(|row| proto(tenant, row)).collect(),
            next_page_token,
        })
    }

    async fn update(
        &self,
        caller: &Caller,
        request: v1::UpdateEventTypeRequest,
    ) -> Result<v1::UpdateEventTypeResponse, Error> {
        let now = self.core.clock.now_ms();
        let tenant = self.tenant(caller, &request.tenant_id)?;
        let (name, description) = (name(&request.name)?, description(&request.description)?);
        check_mask::<Field>(request.update_mask.as_ref())?;
        let call = Call::new(caller, &request, now)?;
        let change = async |tx: &mut RegistryTx| {
            let current = tx.event_type_get(tenant, &name).await?;
            let mut event_type = current.ok_or(Error::NotFound("event type"))?;
            check_etag(&request.etag, event_type.version)?;
            let before = proto(tenant, &event_type);
            event_type.description = description;
            event_type.version += 1;
            event_type.updated_at = now;
            if tx.event_type_update(tenant, &event_type).await? != Change::Done {
                return Err(Error::StaleEtag);
            }
            let after = proto(tenant, &event_type);
            let record = Record::of(tenant, &name).changing(Some(&before), Some(&after));
            let response = v1::UpdateEventTypeResponse {
                event_type: Some(after),
            };
            Ok(Made::new(response, record))
        };
        self.mutations.make(call, change).await
    }

    async fn delete(
        &self,
        caller: &Caller,
        request: v1::DeleteEventTypeRequest,
    ) -> Result<v1::DeleteEventTypeResponse, Error> {
        let tenant = self.tenant(caller, &request.tenant_id)?;
        let name = name(&request.name)?;
        let call = Call::new(caller, &request, self.core.clock.now_ms())?;
        let change = async |tx: &mut RegistryTx| {
            let current = tx.event_type_get(tenant, &name).await?;
            let before = current.ok_or(Error::NotFound("event type"))?;
            if tx.event_type_delete(tenant, &name).await? != Change::Done {
                return Err(Error::NotFound("event type"));
            }
            let before = proto(tenant, &before);
            let record = Record::of(tenant, &name).changing(Some(&before), None);
            let response = v1::DeleteEventTypeResponse {};
            let changed = Changed::EventType(tenant, name);
            Ok(Made::new(response, record).of([changed]))
        };
        self.mutations.make(call, change).await
    }
}

serves! {
    EventTypeService for EventTypes {
        create_event_type => create(CreateEventTypeRequest) -> CreateEventTypeResponse;
        get_event_type => get(GetEventTypeRequest) -> GetEventTypeResponse;
        list_event_types => list(ListEventTypesRequest) -> ListEventTypesResponse;
        update_event_type => update(UpdateEventTypeRequest) -> UpdateEventTypeResponse;
        delete_event_type => delete(DeleteEventTypeRequest) -> DeleteEventTypeResponse;
    }
}

fn name(text: &str) -> Result<EventTypeName, Error> {
    EventTypeName::parse(text).map_err(|error| Error::invalid("name", error.to_string()))
}

fn description(text: &str) -> Result<String, Error> {
    long_text("description", text, DESCRIPTION_CHARS_MAX)
}

fn proto(tenant: TenantId, event_type: &EventType) -> v1::EventType {
    v1::EventType {
        tenant_id: tenant.to_string(),
        name: event_type.name.to_string(),
        description: event_type.description.clone(),
        etag: etag(event_type.version),
        created_at: Some(timestamp(event_type.created_at)),
        updated_at: Some(timestamp(event_type.updated_at)),
    }
}
