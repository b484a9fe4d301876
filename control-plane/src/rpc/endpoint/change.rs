//! Creating, changing and deleting endpoints.

use posthorn::v1;

use super::{
    Endpoints,
    seal::{ChosenKey, blind_settings},
    settings::{self, Draft, Field},
    view,
};
use crate::{
    audit::Record,
    error::{Error, Reason},
    model::{
        endpoint::Endpoint,
        id::{EndpointId, SourceId, TenantId},
        object::Object,
        secret::{Binding, Purpose},
        tenant::Tenant,
    },
    registry::{Capped, Changed, Registry},
    rpc::{
        Call, Caller, Made, blind,
        convert::{Violations, check_etag, check_mask},
        object, reach,
    },
    store::RegistryTx,
};

impl Endpoints {
    pub(super) async fn create(
        &self,
        caller: &Caller,
        request: v1::CreateEndpointRequest,
    ) -> Result<v1::CreateEndpointResponse, Error> {
        let now = self.core.clock.now_ms();
        let owner = self.tenant(caller, &request.tenant_id)?;
        let tenant = owner.tenant.id;
        let mut content = request.clone();
        blind(&self.core.vault, &mut content.secret);
        blind_settings(&self.core.vault, content.settings.as_mut());
        let call = Call::new(caller, &content, now)?;
        if let Some(response) = call.earlier(&self.core.store).await? {
            return Ok(response);
        }
        let draft = settings::read(
            &request.settings.unwrap_or_default(),
            self.core.resolver.policy(),
        )?;
        let key = ChosenKey::read(&request.secret, &mut self.core.rng())?;
        check_sources(
            &self.core.registry.snapshot(),
            tenant,
            &draft.settings.sources,
        )?;
        let target = draft.target.as_ref();
        reach::check(caller, &self.core.resolver, target, "settings.url").await?;
        let change = async |tx: &mut RegistryTx| {
            let place = self.core.registry.place(Some(tenant), Capped::Endpoints)?;
            let endpoint = self.insert(tx, &owner.tenant, &draft, &key, now).await?;
            let after = described(tx, &endpoint, now).await?;
            let record = Record::of(tenant, endpoint.id).changing(None, Some(&after));
            let response = v1::CreateEndpointResponse {
                endpoint: Some(after),
                secret: String::new(),
            };
            let changed = Changed::Endpoint(endpoint.id);
            let made = Made::new(response, record).of([changed]).holding([place]);
            let shown = key.expose_shown();
            Ok(made.then(move |response| response.secret = shown))
        };
        self.mutations.make(call, change).await
    }

    pub(super) async fn update(
        &self,
        caller: &Caller,
        request: v1::UpdateEndpointRequest,
    ) -> Result<v1::UpdateEndpointResponse, Error> {
        let now = self.core.clock.now_ms();
        let named = self.named(caller, &request.tenant_id, &request.endpoint_id)?;
        let mut content = request.clone();
        blind_settings(&self.core.vault, content.settings.as_mut());
        let call = Call::new(caller, &content, now)?;
        if let Some(response) = call.earlier(&self.core.store).await? {
            return Ok(response);
        }
        let fields = check_mask(request.update_mask.as_ref())?;
        let mut endpoint = named.get(&self.core.store).await?;
        check_etag(&request.etag, endpoint.version)?;
        let former = endpoint.clone();
        refuse_handler(&endpoint, "is changed by the hello of its consumers")?;
        let new = request.settings.unwrap_or_default();
        let draft = settings::change(
            endpoint.settings,
            &new,
            &fields,
            self.core.resolver.policy(),
        )?;
        if fields.contains(&Field::Sources) {
            let registry = self.core.registry.snapshot();
            check_sources(&registry, endpoint.tenant_id, &draft.settings.sources)?;
        }
        let target = draft.target.as_ref();
        reach::check(caller, &self.core.resolver, target, "settings.url").await?;
        endpoint.settings = draft.settings;
        endpoint.version += 1;
        endpoint.updated_at = now;
        let change = async |tx: &mut RegistryTx| {
            let before = described(tx, &former, now).await?;
            object::update(tx, &endpoint).await?;
            if fields.contains(&Field::Headers) {
                let secrets = &draft.new_secrets;
                self.write_header_secrets(tx, &endpoint, secrets, now)
                    .await?;
            }
            let after = described(tx, &endpoint, now).await?;
            let record = Record::of(endpoint.tenant_id, endpoint.id);
            let record = record.changing(Some(&before), Some(&after));
            let response = v1::UpdateEndpointResponse {
                endpoint: Some(after),
            };
            Ok(Made::new(response, record).of([Changed::Endpoint(endpoint.id)]))
        };
        self.mutations.make(call, change).await
    }

    pub(super) async fn delete(
        &self,
        caller: &Caller,
        request: v1::DeleteEndpointRequest,
    ) -> Result<v1::DeleteEndpointResponse, Error> {
        let now = self.core.clock.now_ms();
        let named = self.named(caller, &request.tenant_id, &request.endpoint_id)?;
        let call = Call::new(caller, &request, now)?;
        if let Some(response) = call.earlier(&self.core.store).await? {
            return Ok(response);
        }
        let shard = named.tenant.shard;
        let cancelled = self.core.store.delivery_open_count(shard, named.id).await?;
        let change = async |tx: &mut RegistryTx| {
            let endpoint = named.hold(tx, now).await?;
            if cancelled > 0 && !request.force {
                let text = "the endpoint has open deliveries: set `force` to cancel them";
                return Err(Error::precondition(Reason::OpenDeliveries, text));
            }
            let before = described(tx, &endpoint, now).await?;
            named.delete(tx).await?;
            let record = Record::of(endpoint.tenant_id, named.id)
                .setting("cancelled_deliveries", None, cancelled)
                .changing(Some(&before), None);
            let response = v1::DeleteEndpointResponse { cancelled };
            Ok(Made::new(response, record).of([Changed::Endpoint(named.id)]))
        };
        let response = self.mutations.make(call, change).await?;
        let by = Some(caller.key_id());
        self.dispatch.cancel_orphans(shard, named.id, by).await;
        Ok(response)
    }

    /// Writes a new endpoint and its secrets.
    async fn insert(
        &self,
        tx: &mut RegistryTx,
        tenant: &Tenant,
        draft: &Draft,
        key: &ChosenKey,
        now: i64,
    ) -> Result<Endpoint, Error> {
        let id = EndpointId::new(now, &mut self.core.rng());
        let endpoint = Object::new(id, tenant, draft.settings.clone(), now);
        object::insert(tx, &endpoint).await?;
        let signing = Purpose::Signing;
        let binding = Binding::new(tenant.id, endpoint.id, signing, now, &mut self.core.rng());
        self.write_secret(tx, binding, key.key.expose_bytes(), now)
            .await?;
        self.write_header_secrets(tx, &endpoint, &draft.new_secrets, now)
            .await?;
        Ok(endpoint)
    }
}

/// An endpoint as the transaction has it, for the answer.
pub(super) async fn described(
    tx: &mut RegistryTx,
    endpoint: &Endpoint,
    now: i64,
) -> Result<v1::Endpoint, Error> {
    let secrets = tx.secret_list(endpoint.id.into()).await?;
    Ok(view::proto(endpoint, &secrets, now))
}

/// Refuses what cannot be done to the handler of a consumer group.
pub(super) fn refuse_handler(endpoint: &Endpoint, why: &str) -> Result<(), Error> {
    match endpoint.handler() {
        None => Ok(()),
        Some(_) => Err(Error::precondition(
            Reason::IsHandler,
            format!("the endpoint is a handler of a consumer group: it {why}"),
        )),
    }
}

/// Refuses sources that are not the tenant's.
fn check_sources(registry: &Registry, tenant: TenantId, ids: &[SourceId]) -> Result<(), Error> {
    check_own_sources("settings.sources", registry, tenant, ids)
}

/// Refuses sources that are not the tenant's. `field` is the list that names them.
pub(in crate::rpc) fn check_own_sources(
    field: &str,
    registry: &Registry,
    tenant: TenantId,
    ids: &[SourceId],
) -> Result<(), Error> {
    let mut violations = Violations::default();
    for (index, id) in ids.iter().enumerate() {
        if registry.source_tenant(*id) != Some(tenant) {
            violations.add(format!("{field}[{index}]"), "is no source of the tenant");
        }
    }
    violations.finish()
}
