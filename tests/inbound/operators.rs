//! What operators do with inbound requests. An edge moved by hand forwards them.

mod accept;
mod body;
mod find;
mod hold;
mod ledger;
mod replay;
mod reverify;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use posthorn::v1::{
    CreateSourceResponse, GetInboundRequestRequest, GetInboundRequestResponse, InboundAction,
    InboundActionKind, InboundRequest, ListInboundRequestsRequest, Role, SourceSettings, Verdict,
};
use posthorn_harness::{
    Client, ControlPlaneOptions, Deployment, Provider, STANDARD_WEBHOOKS, StoreKind, eventually,
};

use crate::support::{
    DEADLINE,
    hand_edge::{HandEdge, NOWHERE, provider_of},
};

/// A deployment with a source, its provider, and an edge.
pub(crate) struct World {
    pub(crate) deployment: Deployment,
    edge: HandEdge,
    provider: Provider,
    pub(crate) source_id: String,
}

/// A secret of a provider that signs by Standard Webhooks.
pub(crate) fn secret(number: u8) -> String {
    format!("whsec_{}", BASE64_STANDARD.encode([number; 32]))
}

/// Makes a source with secret number 1 that forwards a header.
async fn source(client: &Client, name: &str) -> CreateSourceResponse {
    let settings = SourceSettings {
        name: name.to_owned(),
        provider: STANDARD_WEBHOOKS.to_owned(),
        forward_headers: vec!["x-part".to_owned()],
        ..SourceSettings::default()
    };
    client.create_source_with(settings, &[&secret(1)]).await
}

impl World {
    pub(crate) async fn start(store: StoreKind) -> Self {
        Self::start_with(store, &[]).await
    }

    /// The same with more arguments of the control plane, whose clock can be moved.
    async fn start_with(store: StoreKind, args: &[&str]) -> Self {
        let options = ControlPlaneOptions {
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            variant: true,
            ..ControlPlaneOptions::default()
        };
        let deployment = Deployment::start_with(store, options, &[]).await;
        let created = source(&deployment.admin, "first").await;
        let node = deployment.admin.with_key(&deployment.node_key);
        Self {
            edge: HandEdge::open(&node).await,
            provider: provider_of(&created, &secret(1)),
            source_id: created.source.expect("the answer holds it").source_id,
            deployment,
        }
    }

    /// The provider with another secret than the source's.
    fn stranger(&self) -> Provider {
        Provider::new(NOWHERE, &self.source_id, &secret(2))
    }

    /// Posts a body that is accepted, and returns its record.
    pub(crate) async fn accepted(&mut self, id: &str, body: &str) -> InboundRequest {
        let answer = self.edge.post(&self.provider, id, body.to_owned()).await;
        assert!((200..300).contains(&answer.status), "{answer:?}");
        self.newest(Verdict::Accepted, 1).await
    }

    /// Posts a body that is answered as accepted but repeats another one, and returns its record.
    pub(crate) async fn repeated(
        &mut self,
        id: &str,
        body: &str,
        verdict: Verdict,
    ) -> InboundRequest {
        let before = self.count(verdict).await;
        let answer = self.edge.post(&self.provider, id, body.to_owned()).await;
        assert!((200..300).contains(&answer.status), "{answer:?}");
        self.newest(verdict, before + 1).await
    }

    /// Posts a body that is signed with secret 2 and rejected, and returns its record.
    pub(crate) async fn rejected(&mut self, id: &str, body: &str) -> InboundRequest {
        let before = self.count(Verdict::Rejected).await;
        let stranger = self.stranger();
        let answer = self.edge.post(&stranger, id, body.to_owned()).await;
        assert_eq!(answer.status, 401, "{answer:?}");
        self.newest(Verdict::Rejected, before + 1).await
    }

    /// Posts a body that verifies but is not JSON, and returns its record.
    async fn quarantined(&mut self, id: &str) -> InboundRequest {
        let before = self.count(Verdict::Quarantined).await;
        let answer = self.edge.post(&self.provider, id, "{no json").await;
        assert_eq!(answer.status, 400, "{answer:?}");
        self.newest(Verdict::Quarantined, before + 1).await
    }

    async fn count(&self, verdict: Verdict) -> usize {
        self.list(verdict).await.len()
    }

    /// The newest request with a verdict, once there are so many: what is not accepted is kept after its answer.
    async fn newest(&self, verdict: Verdict, at_least: usize) -> InboundRequest {
        let mut found = Vec::new();
        let what = format!("{at_least} are {}", verdict.as_str_name());
        eventually(&what, DEADLINE, async || {
            found = self.list(verdict).await;
            found.len() >= at_least
        })
        .await;
        self.get(&found[0].inbound_request_id)
            .await
            .request
            .expect("the answer holds it")
    }

    async fn list(&self, verdict: Verdict) -> Vec<InboundRequest> {
        let request = ListInboundRequestsRequest {
            tenant_id: self.deployment.tenant_id.clone(),
            verdict: verdict.into(),
            page_size: 500,
            ..ListInboundRequestsRequest::default()
        };
        let mut inbound = self.deployment.admin.inbound();
        let answer = inbound.list_inbound_requests(request).await;
        let answer = answer.expect("requests are listed");
        answer.into_inner().requests
    }

    async fn get(&self, id: &str) -> GetInboundRequestResponse {
        let request = GetInboundRequestRequest {
            tenant_id: self.deployment.tenant_id.clone(),
            inbound_request_id: id.to_owned(),
        };
        let answer = self
            .deployment
            .admin
            .inbound()
            .get_inbound_request(request)
            .await;
        answer.expect("it is there").into_inner()
    }

    /// What was done to a request.
    async fn kinds(&self, id: &str) -> Vec<InboundActionKind> {
        let actions = self.get(id).await.actions;
        actions.iter().map(InboundAction::kind).collect()
    }

    /// An admin of another tenant.
    async fn other_tenant(&self) -> Client {
        let installation = self.deployment.admin.for_tenant("");
        let tenant_id = installation.create_tenant("other").await;
        let other = installation.for_tenant(&tenant_id);
        let key = other.create_key(&[Role::Admin]).await;
        other.with_key(&key)
    }
}
