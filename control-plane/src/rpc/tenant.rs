//! `TenantService`.

mod settings;

use posthorn::v1::{self, tenant_service_server::TenantService};

use super::{
    Call, Caller, Made, Mutations, Page, QueryFingerprint,
    convert::{check_etag, check_mask, etag, id, timestamp},
};
use crate::{
    audit::Record,
    core::Core,
    error::{Error, Reason},
    model::{id::TenantId, tenant::Tenant},
    registry::Changed,
    store::{Change, RegistryTx, TenantDeletion},
};

/// Serves `TenantService`.
#[derive(Debug, Clone)]
pub(crate) struct Tenants {
    core: Core,
    mutations: Mutations,
}

impl Tenants {
    /// A service over the store; the registry hears of every change.
    pub(crate) fn new(core: Core) -> Self {
        Self {
            mutations: Mutations::new(&core),
            core,
        }
    }

    async fn create(
        &self,
        caller: &Caller,
        request: v1::CreateTenantRequest,
    ) -> Result<v1::CreateTenantResponse, Error> {
        caller.require_installation()?;
        let now = self.core.clock.now_ms();
        let settings = settings::read(&request.settings.clone().unwrap_or_default())?;
        let call = Call::new(caller, &request, now)?;
        let change = async |tx: &mut RegistryTx| {
            let tenant = Tenant::new(TenantId::new(now, &mut self.core.rng()), settings, now);
            check(tx.tenant_insert(&tenant).await?)?;
            let after = proto(&tenant);
            let record = Record::of(tenant.id, tenant.id).changing(None, Some(&after));
            let response = v1::CreateTenantResponse {
                tenant: Some(after),
            };
            Ok(Made::new(response, record).of([Changed::Tenant(tenant.id)]))
        };
        self.mutations.make(call, change).await
    }

    async fn get(
        &self,
        caller: &Caller,
        request: v1::GetTenantRequest,
    ) -> Result<v1::GetTenantResponse, Error> {
        let entry = caller.tenant(&self.core.registry.snapshot(), &request.tenant_id)?;
        let tenant = self.core.store.tenant_get(entry.tenant.id).await?;
        let tenant = tenant.ok_or(Error::NotFound("tenant"))?;
        Ok(v1::GetTenantResponse {
            tenant: Some(proto(&tenant)),
        })
    }

    async fn list(
        &self,
        caller: &Caller,
        request: v1::ListTenantsRequest,
    ) -> Result<v1::ListTenantsResponse, Error> {
        let own = caller.tenant_id();
        let scope = own.map_or([0; 16], |id| id.uuid().into_bytes());
        let query = QueryFingerprint::new("ListTenants", &[&scope]);
        let page = Page::parse(request.page_size, &request.page_token, query)?;
        let after = page.after_uuid()?.map(TenantId::from_uuid);
        let tenants = match own {
            Some(id) => self.core.store.tenant_get(id).await?.into_iter().collect(),
            None => {
                self.core
                    .store
                    .tenant_list(after, page.rows_to_read())
                    .await?
            }
        };
        let (tenants, next_page_token) = page.cut(tenants, |tenant| tenant.id.uuid().into_bytes());
        Ok(v1::ListTenantsResponse {
            tenants: tenants.iter().map(proto).collect(),
            next_page_token,
        })
    }

    async fn update(
        &self,
        caller: &Caller,
        request: v1::UpdateTenantRequest,
    ) -> Result<v1::UpdateTenantResponse, Error> {
        let now = self.core.clock.now_ms();
        let tenant_id = caller
            .tenant(&self.core.registry.snapshot(), &request.tenant_id)?
            .tenant
            .id;
        let fields = check_mask(request.update_mask.as_ref())?;
        let call = Call::new(caller, &request, now)?;
        let change = async |tx: &mut RegistryTx| {
            let current = tx.tenant_get(tenant_id).await?;
            let mut tenant = current.ok_or(Error::NotFound("tenant"))?;
            check_etag(&request.etag, tenant.version)?;
            let before = proto(&tenant);
            let new = request.settings.clone().unwrap_or_default();
            let former_name = tenant.settings.name.clone();
            settings::change(&mut tenant.settings, &new, &fields)?;
            if tenant.settings.name != former_name {
                // Names are unique in the installation: whoever may try them learns which other tenants there are.
                caller.require_installation()?;
            }
            tenant.version += 1;
            tenant.updated_at = now;
            match tx.tenant_update(&tenant).await? {
                Change::Missing => return Err(Error::StaleEtag),
                change => check(change)?,
            }
            let after = proto(&tenant);
            let record = Record::of(tenant_id, tenant_id).changing(Some(&before), Some(&after));
            let response = v1::UpdateTenantResponse {
                tenant: Some(after),
            };
            Ok(Made::new(response, record).of([Changed::Tenant(tenant_id)]))
        };
        self.mutations.make(call, change).await
    }

    async fn delete(
        &self,
        caller: &Caller,
        request: v1::DeleteTenantRequest,
    ) -> Result<v1::DeleteTenantResponse, Error> {
        caller.require_installation()?;
        let tenant_id = id("tenant_id", &request.tenant_id)?;
        let call = Call::new(caller, &request, self.core.clock.now_ms())?;
        let change = async |tx: &mut RegistryTx| {
            let current = tx.tenant_get(tenant_id).await?;
            let before = proto(&current.ok_or(Error::NotFound("tenant"))?);
            match tx.tenant_delete(tenant_id).await? {
                TenantDeletion::Done => (),
                TenantDeletion::Missing => return Err(Error::NotFound("tenant")),
                TenantDeletion::InUse => {
                    let text = "the tenant still has endpoints or sources: delete them first";
                    return Err(Error::precondition(Reason::TenantInUse, text));
                }
            }
            let response = v1::DeleteTenantResponse {};
            let registry = self.core.registry.clone();
            let record = Record::of(tenant_id, tenant_id).changing(Some(&before), None);
            let made = Made::new(response, record).of([Changed::Tenant(tenant_id)]);
            // Its keys do not wait for their turn.
            Ok(made.then(move |_| registry.end_keys_of(tenant_id)))
        };
        self.mutations.make(call, change).await
    }
}

serves! {
    TenantService for Tenants {
        create_tenant => create(CreateTenantRequest) -> CreateTenantResponse;
        get_tenant => get(GetTenantRequest) -> GetTenantResponse;
        list_tenants => list(ListTenantsRequest) -> ListTenantsResponse;
        update_tenant => update(UpdateTenantRequest) -> UpdateTenantResponse;
        delete_tenant => delete(DeleteTenantRequest) -> DeleteTenantResponse;
    }
}

fn check(change: Change) -> Result<(), Error> {
    match change {
        Change::Done => Ok(()),
        Change::NameTaken => Err(Error::AlreadyExists(
            Reason::NameTaken,
            "a tenant has this name already".to_owned(),
        )),
        Change::Missing => Err(Error::NotFound("tenant")),
    }
}

fn proto(tenant: &Tenant) -> v1::Tenant {
    v1::Tenant {
        tenant_id: tenant.id.to_string(),
        settings: Some(settings::proto(&tenant.settings)),
        etag: etag(tenant.version),
        created_at: Some(timestamp(tenant.created_at)),
        updated_at: Some(timestamp(tenant.updated_at)),
    }
}
