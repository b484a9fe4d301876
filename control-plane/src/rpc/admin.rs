//! `AdminService`: who is connected and does the work.

use posthorn::v1::{self, admin_service_server::AdminService};

use super::{Caller, Page, QueryFingerprint, convert::timestamp};
use crate::{
    core::Core,
    dispatch::{About, Connected, Dispatch},
    error::Error,
    model::lease::HolderKind,
};

/// Serves `AdminService`.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    core: Core,
    dispatch: Dispatch,
}

impl Admin {
    /// A service over the engine.
    pub(crate) fn new(core: Core, dispatch: Dispatch) -> Self {
        Self { core, dispatch }
    }

    #[expect(clippy::unused_async, reason = "as every call is made")]
    async fn nodes(
        &self,
        caller: &Caller,
        request: v1::ListNodesRequest,
    ) -> Result<v1::ListNodesResponse, Error> {
        caller.require_installation()?;
        let query = QueryFingerprint::new("ListNodes", &[]);
        let page = Page::parse(request.page_size, &request.page_token, query)?;
        let nodes = self.dispatch.connected(HolderKind::Node);
        let (nodes, next_page_token) = shown(&page, nodes)?;
        Ok(v1::ListNodesResponse {
            nodes: nodes.into_iter().filter_map(node_proto).collect(),
            next_page_token,
        })
    }

    #[expect(clippy::unused_async, reason = "as every call is made")]
    async fn consumers(
        &self,
        caller: &Caller,
        request: v1::ListConsumersRequest,
    ) -> Result<v1::ListConsumersResponse, Error> {
        let tenant_id = match (request.tenant_id.as_str(), caller.tenant_id()) {
            ("", None) => None,
            (text, _) => {
                let tenant = caller.tenant(&self.core.registry.snapshot(), text)?;
                Some(tenant.tenant.id)
            }
        };
        let scope = tenant_id.map_or([0; 16], |id| id.uuid().into_bytes());
        let query = QueryFingerprint::new("ListConsumers", &[&scope]);
        let page = Page::parse(request.page_size, &request.page_token, query)?;
        let mut consumers = self.dispatch.connected(HolderKind::Consumer);
        consumers.retain(|one| match one.about {
            About::Consumer { tenant_id: its, .. } => tenant_id.is_none_or(|id| id == its),
            About::Node { .. } => false,
        });
        let (consumers, next_page_token) = shown(&page, consumers)?;
        Ok(v1::ListConsumersResponse {
            consumers: consumers.into_iter().filter_map(consumer_proto).collect(),
            next_page_token,
        })
    }
}

serves! {
    AdminService for Admin {
        list_nodes => nodes(ListNodesRequest) -> ListNodesResponse;
        list_consumers => consumers(ListConsumersRequest) -> ListConsumersResponse;
    }
}

/// Those of a page, out of all by id.
fn shown(page: &Page, mut all: Vec<Connected>) -> Result<(Vec<Connected>, String), Error> {
    if let Some(after) = page.after_uuid()? {
        all.retain(|one| one.holder.uuid() > after);
    }
    Ok(page.cut(all, |one| one.holder.uuid().into_bytes()))
}

fn node_proto(connected: Connected) -> Option<v1::ConnectedNode> {
    let About::Node {
        name,
        version,
        capacity,
    } = connected.about
    else {
        return None;
    };
    Some(v1::ConnectedNode {
        node_id: connected.holder.to_string(),
        name,
        version,
        key_id: connected.key_id.to_string(),
        capacity,
        in_flight: connected.in_flight,
        connected_at: Some(timestamp(connected.since)),
    })
}

fn consumer_proto(connected: Connected) -> Option<v1::ConnectedConsumer> {
    let About::Consumer {
        tenant_id,
        group,
        handlers,
    } = connected.about
    else {
        return None;
    };
    Some(v1::ConnectedConsumer {
        consumer_id: connected.holder.to_string(),
        tenant_id: tenant_id.to_string(),
        group,
        handlers,
        key_id: connected.key_id.to_string(),
        in_flight: connected.in_flight,
        connected_at: Some(timestamp(connected.since)),
    })
}
