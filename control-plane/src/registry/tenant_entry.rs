//! A tenant as the hot path sees it: which event types it accepts and which endpoints want them.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use crate::model::{
    endpoint::{Endpoint, EndpointState},
    event_type::EventTypeName,
    id::{EndpointId, Shard, SourceId},
    subscription::{Subscription, SubscriptionIndex},
    tenant::Tenant,
};

/// A tenant with its event types and subscriptions.
#[derive(Debug, Clone)]
pub(crate) struct TenantEntry {
    /// The tenant.
    pub tenant: Tenant,
    /// The shard that holds its data.
    pub shard: Shard,
    event_types: HashSet<EventTypeName>,
    endpoints: BTreeMap<EndpointId, Member>,
    index: SubscriptionIndex<EndpointId>,
}

/// What the index needs of an endpoint.
#[derive(Debug, Clone, PartialEq)]
struct Member {
    is_subscribed: bool,
    subscriptions: Arc<[Subscription]>,
    /// Only events that one of these brought. Empty: any.
    sources: Arc<[SourceId]>,
}

impl TenantEntry {
    pub(super) fn new<'a>(
        tenant: Tenant,
        event_types: HashSet<EventTypeName>,
        endpoints: impl IntoIterator<Item = &'a Endpoint>,
    ) -> Self {
        let endpoints = endpoints
            .into_iter()
            .map(|endpoint| (endpoint.id, Member::of(endpoint)));
        let mut entry = Self {
            shard: tenant.id.shard(),
            tenant,
            event_types,
            endpoints: endpoints.collect(),
            index: SubscriptionIndex::default(),
        };
        entry.rebuild_index();
        entry
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
        matching.retain(|id| {
            let member = self.endpoints.get(id);
            member.is_some_and(|member| member.takes_from(source))
        });
        matching
    }

    /// The ids of the tenant's endpoints, whatever their state.
    pub(crate) fn endpoint_ids(&self) -> impl Iterator<Item = EndpointId> {
        self.endpoints.keys().copied()
    }

    pub(super) fn set_event_types(&mut self, event_types: HashSet<EventTypeName>) {
        self.event_types = event_types;
    }

    pub(super) fn put_endpoint(&mut self, endpoint: &Endpoint) {
        let member = Member::of(endpoint);
        if self.endpoints.get(&endpoint.id) == Some(&member) {
            return;
        }
        let former = self.endpoints.insert(endpoint.id, member);
        if former.is_none() {
            self.index_endpoint(endpoint.id);
        } else {
            self.rebuild_index();
        }
    }

    pub(super) fn remove_endpoint(&mut self, id: EndpointId) {
        if self.endpoints.remove(&id).is_some() {
            self.rebuild_index();
        }
    }

    fn rebuild_index(&mut self) {
        self.index = SubscriptionIndex::default();
        for id in self.endpoints.keys().copied().collect::<Vec<_>>() {
            self.index_endpoint(id);
        }
    }

    fn index_endpoint(&mut self, id: EndpointId) {
        let Some(member) = self
            .endpoints
            .get(&id)
            .filter(|member| member.is_subscribed)
        else {
            return;
        };
        for subscription in member.subscriptions.iter() {
            self.index.insert(subscription, id);
        }
    }
}

impl Member {
    fn of(endpoint: &Endpoint) -> Self {
        Self {
            is_subscribed: endpoint.state != EndpointState::Disabled,
            subscriptions: endpoint.settings.subscriptions.as_slice().into(),
            sources: endpoint.settings.sources.as_slice().into(),
        }
    }

    fn takes_from(&self, source: Option<SourceId>) -> bool {
        self.sources.is_empty() || source.is_some_and(|source| self.sources.contains(&source))
    }
}
