//! A tenant as the hot path sees it: which event types it accepts and which endpoints want them.

use std::sync::Arc;

use rpds::{HashTrieMapSync, HashTrieSetSync};

use super::place::Capped;
use crate::model::{
    endpoint::Endpoint,
    event_type::EventTypeName,
    id::{EndpointId, KeyId, Shard, SourceId},
    object::ObjectState,
    subscription::{Subscription, SubscriptionIndex},
    tenant::Tenant,
};

/// A tenant with its event types and subscriptions. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct TenantEntry {
    /// The tenant.
    pub tenant: Tenant,
    /// The shard that holds its data.
    pub shard: Shard,
    event_types: HashTrieSetSync<EventTypeName>,
    endpoints: HashTrieMapSync<EndpointId, Member>,
    index: SubscriptionIndex<EndpointId>,
    /// Of the endpoints that want events of some sources only, which.
    picky: HashTrieMapSync<EndpointId, Arc<[SourceId]>>,
    sources: HashTrieSetSync<SourceId>,
    keys: HashTrieSetSync<KeyId>,
}

/// What the index has of an endpoint: nothing, when it is disabled.
#[derive(Debug, Clone, PartialEq)]
struct Member {
    subscriptions: Arc<[Subscription]>,
    /// Only events that one of these brought. Empty: any.
    sources: Arc<[SourceId]>,
}

impl TenantEntry {
    pub(super) fn new(tenant: Tenant) -> Self {
        Self {
            shard: tenant.shard,
            tenant,
            event_types: HashTrieSetSync::default(),
            endpoints: HashTrieMapSync::default(),
            index: SubscriptionIndex::default(),
            picky: HashTrieMapSync::default(),
            sources: HashTrieSetSync::default(),
            keys: HashTrieSetSync::default(),
        }
    }

    /// Whether events of the type may be emitted: those declared, or any when none is.
    pub(crate) fn accepts(&self, name: &EventTypeName) -> bool {
        self.event_types.is_empty() || self.event_types.contains(name)
    }

    /// The endpoints that get events of the type from the source, or emitted ones, each once, by id. Disabled ones are
    /// not among them.
    pub(crate) fn subscribers(
        &self,
        name: &EventTypeName,
        source: Option<SourceId>,
    ) -> Vec<EndpointId> {
        let mut matching = self.index.matching(name);
        if !self.picky.is_empty() {
            matching.retain(|id| {
                let wanted = self.picky.get(id);
                wanted.is_none_or(|wanted| source.is_some_and(|source| wanted.contains(&source)))
            });
        }
        matching
    }

    /// How many of a kind the tenant has.
    pub(super) fn count(&self, kind: Capped) -> usize {
        match kind {
            Capped::EventTypes => self.event_types.size(),
            Capped::Endpoints => self.endpoints.size(),
            Capped::Sources => self.sources.size(),
            Capped::ApiKeys => self.keys.size(),
        }
    }

    /// The ids of the tenant's endpoints, whatever their state.
    pub(crate) fn endpoint_ids(&self) -> impl Iterator<Item = EndpointId> {
        self.endpoints.keys().copied()
    }

    /// Whether an endpoint is the tenant's.
    pub(crate) fn has_endpoint(&self, id: EndpointId) -> bool {
        self.endpoints.contains_key(&id)
    }

    pub(super) fn source_ids(&self) -> impl Iterator<Item = SourceId> {
        self.sources.iter().copied()
    }

    pub(super) fn keys(&self) -> &HashTrieSetSync<KeyId> {
        &self.keys
    }

    pub(super) fn put_event_type(&mut self, name: EventTypeName) {
        self.event_types.insert_mut(name);
    }

    pub(super) fn remove_event_type(&mut self, name: &EventTypeName) {
        self.event_types.remove_mut(name);
    }

    pub(super) fn put_endpoint(&mut self, endpoint: &Endpoint) {
        let (id, member) = (endpoint.id, Member::of(endpoint));
        if self.endpoints.get(&id) == Some(&member) {
            return;
        }
        self.remove_endpoint(id);
        for subscription in member.subscriptions.iter() {
            self.index.insert(subscription, id);
        }
        if !member.sources.is_empty() {
            self.picky.insert_mut(id, Arc::clone(&member.sources));
        }
        self.endpoints.insert_mut(id, member);
    }

    pub(super) fn remove_endpoint(&mut self, id: EndpointId) {
        let Some(member) = self.endpoints.get(&id).cloned() else {
            return;
        };
        for subscription in member.subscriptions.iter() {
            self.index.remove(subscription, id);
        }
        self.picky.remove_mut(&id);
        self.endpoints.remove_mut(&id);
    }

    pub(super) fn put_source(&mut self, id: SourceId) {
        self.sources.insert_mut(id);
    }

    pub(super) fn remove_source(&mut self, id: SourceId) {
        self.sources.remove_mut(&id);
    }

    pub(super) fn put_key(&mut self, id: KeyId) {
        self.keys.insert_mut(id);
    }

    pub(super) fn remove_key(&mut self, id: KeyId) {
        self.keys.remove_mut(&id);
    }
}

impl Member {
    fn of(endpoint: &Endpoint) -> Self {
        let is_subscribed = endpoint.state != ObjectState::Disabled;
        let subscriptions = endpoint.settings.subscriptions.as_slice();
        Self {
            subscriptions: if is_subscribed { subscriptions } else { &[] }.into(),
            sources: endpoint.settings.sources.as_slice().into(),
        }
    }
}
