//! Making one snapshot of another: what changes with each row.

use std::sync::Arc;

use super::{KeyEntry, Registry, TenantEntry, load::Loaded};
use crate::model::{
    api_key::ApiKey,
    endpoint::EndpointSettings,
    id::{EndpointId, KeyId, SourceId, TenantId},
    source::SourceSettings,
    tenant::Tenant,
};

impl Registry {
    pub(super) fn edit_tenant(&mut self, id: TenantId, edit: impl FnOnce(&mut TenantEntry)) {
        if let Some(entry) = self.tenants.get_mut(&id) {
            edit(Arc::make_mut(entry));
        }
    }

    pub(super) fn put_tenant(&mut self, tenant: &Tenant) {
        if let Some(entry) = self.tenants.get_mut(&tenant.id) {
            Arc::make_mut(entry).tenant = tenant.clone();
        } else {
            let entry = TenantEntry::new(tenant.clone());
            self.tenants.insert_mut(tenant.id, Arc::new(entry));
        }
    }

    /// Takes a tenant out, with everything that it has: its keys end.
    pub(super) fn remove_tenant(&mut self, id: TenantId) {
        let Some(entry) = self.tenants.get(&id).cloned() else {
            return;
        };
        for endpoint in entry.endpoint_ids() {
            self.remove_endpoint(endpoint);
        }
        for source in entry.source_ids() {
            self.remove_source(source);
        }
        for key in entry.keys() {
            self.remove_key(*key);
        }
        self.tenants.remove_mut(&id);
    }

    pub(super) fn put_endpoint(&mut self, loaded: &Loaded<EndpointSettings>) {
        let Loaded {
            row: endpoint,
            live,
        } = loaded;
        self.edit_tenant(endpoint.tenant_id, |entry| entry.put_endpoint(endpoint));
        if let Some(live) = live {
            self.sealed.remove_mut(&endpoint.id);
            self.endpoints.insert_mut(endpoint.id, Arc::clone(live));
        } else {
            self.endpoints.remove_mut(&endpoint.id);
            self.sealed.insert_mut(endpoint.id, endpoint.tenant_id);
        }
    }

    pub(super) fn remove_endpoint(&mut self, id: EndpointId) {
        let live = self.endpoints.get(&id);
        let tenant = live.map(|live| live.endpoint.tenant_id);
        if let Some(tenant) = tenant.or_else(|| self.sealed.get(&id).copied()) {
            self.edit_tenant(tenant, |entry| entry.remove_endpoint(id));
        }
        self.endpoints.remove_mut(&id);
        self.sealed.remove_mut(&id);
    }

    pub(super) fn put_source(&mut self, loaded: &Loaded<SourceSettings>) {
        let Loaded { row: source, live } = loaded;
        self.edit_tenant(source.tenant_id, |entry| entry.put_source(source.id));
        if let Some(live) = live {
            self.sealed_sources.remove_mut(&source.id);
            self.sources.insert_mut(source.id, Arc::clone(live));
        } else {
            self.sources.remove_mut(&source.id);
            self.sealed_sources.insert_mut(source.id, source.tenant_id);
        }
    }

    pub(super) fn remove_source(&mut self, id: SourceId) {
        if let Some(tenant) = self.source_tenant(id) {
            self.edit_tenant(tenant, |entry| entry.remove_source(id));
        }
        self.sources.remove_mut(&id);
        self.sealed_sources.remove_mut(&id);
    }

    pub(super) fn put_key(&mut self, key: ApiKey) {
        let (id, tenant) = (key.id, key.tenant_id);
        let former = self.keys.get(&id).map(Arc::as_ref);
        let entry = Arc::new(KeyEntry::new(key, former));
        self.keys.insert_mut(id, entry);
        match tenant {
            Some(tenant) => self.edit_tenant(tenant, |entry| entry.put_key(id)),
            None => self.installation_keys.insert_mut(id),
        }
    }

    /// Takes a key out. Whatever uses it hears of its end.
    pub(super) fn remove_key(&mut self, id: KeyId) {
        let Some(entry) = self.keys.get(&id).cloned() else {
            return;
        };
        entry.end();
        match entry.key.tenant_id {
            Some(tenant) => self.edit_tenant(tenant, |entry| entry.remove_key(id)),
            None => {
                self.installation_keys.remove_mut(&id);
            }
        }
        self.keys.remove_mut(&id);
    }
}
