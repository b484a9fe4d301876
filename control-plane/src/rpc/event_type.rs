//! `EventTypeService`.

use posthorn::v1::{self, event_type_service_server::EventTypeService};
use tonic::{Request, Response, Status};

use super::{
    Begun, Caller, Mutation, Page, QueryFingerprint,
    convert::{check_etag, etag, long_text, timestamp},
};
use crate::{
    clock,
    error::Error,
    model::{
        event_type::{EventType, EventTypeName},
        id::TenantId,
    },
    registry::{Capped, Changed, SharedRegistry},
    store::{Change, Store},
};

const DESCRIPTION_CHARS_MAX: usize = 1_000;

/// Serves `EventTypeService`.
#[derive(Debug, Clone)]
pub(crate) struct EventTypes {
    store: Store,
    registry: SharedRegistry,
}

impl EventTypes {
    /// A service over the store; the registry hears of every change.
    pub(crate) fn new(store: Store, registry: SharedRegistry) -> Self {
        Self { store, registry }
    }

    fn tenant(&self, caller: Caller, text: &str) -> Result<TenantId, Error> {
        Ok(caller.tenant(&self.registry.snapshot(), text)?.tenant.id)
    }

    async fn create(
        &self,
        caller: Caller,
        request: v1::CreateEventTypeRequest,
    ) -> Result<v1::CreateEventTypeResponse, Error> {
        let now = clock::now_ms();
        let tenant = self.tenant(caller, &request.tenant_id)?;
        let event_type = EventType {
            name: name(&request.name)?,
            description: description(&request.description)?,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        let begun = Mutation::begin(
            &self.store,
            &caller,
            "CreateEventType",
            &request,
            &request.request_id,
            now,
        )
        .await?;
        let mut mutation = match begun {
            Begun::Repeat(response) => return Ok(response),
            Begun::Fresh(mutation) => mutation,
        };
        let place = self.registry.place(Some(tenant), Capped::EventTypes)?;
        match mutation.tx().event_type_insert(tenant, &event_type).await? {
            Change::Done => (),
            Change::NameTaken => {
                return Err(Error::AlreadyExists(
                    "the tenant has this event type already".to_owned(),
                ));
            }
            Change::Missing => return Err(Error::NotFound("tenant")),
        }
        let response = v1::CreateEventTypeResponse {
            event_type: Some(proto(tenant, &event_type)),
        };
        let changed = Changed::EventType(tenant, event_type.name);
        mutation
            .publish(&response, &self.registry, [changed], [place])
            .await?;
        Ok(response)
    }

    async fn get(
        &self,
        caller: Caller,
        request: v1::GetEventTypeRequest,
    ) -> Result<v1::GetEventTypeResponse, Error> {
        let tenant = self.tenant(caller, &request.tenant_id)?;
        let event_type = self
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
        caller: Caller,
        request: v1::ListEventTypesRequest,
    ) -> Result<v1::ListEventTypesResponse, Error> {
        let tenant = self.tenant(caller, &request.tenant_id)?;
        let query = QueryFingerprint::new("ListEventTypes", &[tenant.uuid().as_bytes()]);
        let page = Page::parse(request.page_size, &request.page_token, query)?;
        let rows = self
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
        caller: Caller,
        request: v1::UpdateEventTypeRequest,
    ) -> Result<v1::UpdateEventTypeResponse, Error> {
        let now = clock::now_ms();
        let tenant = self.tenant(caller, &request.tenant_id)?;
        let (name, description) = (name(&request.name)?, description(&request.description)?);
        let begun = Mutation::begin(
            &self.store,
            &caller,
            "UpdateEventType",
            &request,
            &request.request_id,
            now,
        )
        .await?;
        let mut mutation = match begun {
            Begun::Repeat(response) => return Ok(response),
            Begun::Fresh(mutation) => mutation,
        };
        let current = mutation.tx().event_type_get(tenant, &name).await?;
        let mut event_type = current.ok_or(Error::NotFound("event type"))?;
        check_etag(&request.etag, event_type.version)?;
        event_type.description = description;
        event_type.version += 1;
        event_type.updated_at = now;
        if mutation.tx().event_type_update(tenant, &event_type).await? != Change::Done {
            return Err(Error::StaleEtag);
        }
        let response = v1::UpdateEventTypeResponse {
            event_type: Some(proto(tenant, &event_type)),
        };
        mutation.commit(&response).await?;
        Ok(response)
    }

    async fn delete(
        &self,
        caller: Caller,
        request: v1::DeleteEventTypeRequest,
    ) -> Result<v1::DeleteEventTypeResponse, Error> {
        let tenant = self.tenant(caller, &request.tenant_id)?;
        let name = name(&request.name)?;
        let begun = Mutation::begin(
            &self.store,
            &caller,
            "DeleteEventType",
            &request,
            &request.request_id,
            clock::now_ms(),
        );
        let mut mutation = match begun.await? {
            Begun::Repeat(response) => return Ok(response),
            Begun::Fresh(mutation) => mutation,
        };
        if mutation.tx().event_type_delete(tenant, &name).await? != Change::Done {
            return Err(Error::NotFound("event type"));
        }
        let response = v1::DeleteEventTypeResponse {};
        let changed = Changed::EventType(tenant, name);
        mutation
            .publish(&response, &self.registry, [changed], [])
            .await?;
        Ok(response)
    }
}

#[tonic::async_trait]
impl EventTypeService for EventTypes {
    async fn create_event_type(
        &self,
        request: Request<v1::CreateEventTypeRequest>,
    ) -> Result<Response<v1::CreateEventTypeResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            self.create(caller, request.into_inner()).await?,
        ))
    }

    async fn get_event_type(
        &self,
        request: Request<v1::GetEventTypeRequest>,
    ) -> Result<Response<v1::GetEventTypeResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.get(caller, request.into_inner()).await?))
    }

    async fn list_event_types(
        &self,
        request: Request<v1::ListEventTypesRequest>,
    ) -> Result<Response<v1::ListEventTypesResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            self.list(caller, request.into_inner()).await?,
        ))
    }

    async fn update_event_type(
        &self,
        request: Request<v1::UpdateEventTypeRequest>,
    ) -> Result<Response<v1::UpdateEventTypeResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            self.update(caller, request.into_inner()).await?,
        ))
    }

    async fn delete_event_type(
        &self,
        request: Request<v1::DeleteEventTypeRequest>,
    ) -> Result<Response<v1::DeleteEventTypeResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            self.delete(caller, request.into_inner()).await?,
        ))
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
