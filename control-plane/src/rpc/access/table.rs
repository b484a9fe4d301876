//! Which roles may make which call, as the comments of the contract say. A test compares it with the descriptors.

use crate::model::api_key::Role::{self, Admin, Consumer, Emitter, Node, Operator, Viewer};

/// Every call of the contract with the roles that may make it.
#[rustfmt::skip]
pub(super) const TABLE: &[(&str, &[Role])] = &[
    ("/posthorn.v1.ApiKeyService/CreateApiKey", &[Admin]),
    ("/posthorn.v1.ApiKeyService/ListApiKeys", &[Admin]),
    ("/posthorn.v1.ApiKeyService/RevokeApiKey", &[Admin]),
    ("/posthorn.v1.DeliveryService/CancelDelivery", &[Admin, Operator]),
    ("/posthorn.v1.DeliveryService/DiscardDeadLetters", &[Admin, Operator]),
    ("/posthorn.v1.DeliveryService/GetDelivery", &[Admin, Operator, Viewer]),
    ("/posthorn.v1.DeliveryService/ListAttempts", &[Admin, Operator, Viewer]),
    ("/posthorn.v1.DeliveryService/ListDeliveries", &[Admin, Operator, Viewer]),
    ("/posthorn.v1.DeliveryService/RedriveDeadLetters", &[Admin, Operator]),
    ("/posthorn.v1.DeliveryService/RetryDelivery", &[Admin, Operator]),
    ("/posthorn.v1.EndpointService/CreateEndpoint", &[Admin, Operator]),
    ("/posthorn.v1.EndpointService/DeleteEndpoint", &[Admin, Operator]),
    ("/posthorn.v1.EndpointService/GetEndpoint", &[Admin, Operator, Viewer]),
    ("/posthorn.v1.EndpointService/ListEndpoints", &[Admin, Operator, Viewer]),
    ("/posthorn.v1.EndpointService/PauseEndpoint", &[Admin, Operator]),
    ("/posthorn.v1.EndpointService/ResumeEndpoint", &[Admin, Operator]),
    ("/posthorn.v1.EndpointService/RotateSecret", &[Admin, Operator]),
    ("/posthorn.v1.EndpointService/TestEndpoint", &[Admin, Operator]),
    ("/posthorn.v1.EndpointService/UpdateEndpoint", &[Admin, Operator]),
    ("/posthorn.v1.EventService/EmitEvent", &[Admin, Emitter]),
    ("/posthorn.v1.EventService/EmitEvents", &[Admin, Emitter]),
    ("/posthorn.v1.EventService/GetEvent", &[Admin, Operator, Viewer]),
    ("/posthorn.v1.EventService/ListEvents", &[Admin, Operator, Viewer]),
    ("/posthorn.v1.EventTypeService/CreateEventType", &[Admin, Operator]),
    ("/posthorn.v1.EventTypeService/DeleteEventType", &[Admin, Operator]),
    ("/posthorn.v1.EventTypeService/GetEventType", &[Admin, Operator, Viewer, Emitter]),
    ("/posthorn.v1.EventTypeService/ListEventTypes", &[Admin, Operator, Viewer, Emitter]),
    ("/posthorn.v1.EventTypeService/UpdateEventType", &[Admin, Operator]),
    ("/posthorn.v1.InboundService/AcceptInboundRequest", &[Admin, Operator]),
    ("/posthorn.v1.InboundService/Consume", &[Admin, Consumer]),
    ("/posthorn.v1.InboundService/GetInboundRequest", &[Admin, Operator, Viewer]),
    ("/posthorn.v1.InboundService/HoldInboundRequest", &[Admin, Operator]),
    ("/posthorn.v1.InboundService/ListInboundRequests", &[Admin, Operator, Viewer]),
    ("/posthorn.v1.InboundService/ReadInboundPayload", &[Admin, Operator]),
    ("/posthorn.v1.InboundService/ReplayInboundRequest", &[Admin, Operator]),
    ("/posthorn.v1.InboundService/ReverifyInboundRequest", &[Admin, Operator]),
    ("/posthorn.v1.NodeService/Forward", &[Node]),
    ("/posthorn.v1.NodeService/Session", &[Node]),
    ("/posthorn.v1.SourceService/CreateSource", &[Admin, Operator]),
    ("/posthorn.v1.SourceService/DeleteSource", &[Admin, Operator]),
    ("/posthorn.v1.SourceService/GetDriftReport", &[Admin, Operator, Viewer]),
    ("/posthorn.v1.SourceService/GetSource", &[Admin, Operator, Viewer]),
    ("/posthorn.v1.SourceService/ListProviders", &[Admin, Operator, Viewer]),
    ("/posthorn.v1.SourceService/ListSources", &[Admin, Operator, Viewer]),
    ("/posthorn.v1.SourceService/RotateSourceSecret", &[Admin, Operator]),
    ("/posthorn.v1.SourceService/SetSourceState", &[Admin, Operator]),
    ("/posthorn.v1.SourceService/UpdateSource", &[Admin, Operator]),
    ("/posthorn.v1.TenantService/CreateTenant", &[Admin]),
    ("/posthorn.v1.TenantService/DeleteTenant", &[Admin]),
    ("/posthorn.v1.TenantService/GetTenant", &[Admin, Operator, Viewer]),
    ("/posthorn.v1.TenantService/ListTenants", &[Admin, Operator, Viewer]),
    ("/posthorn.v1.TenantService/UpdateTenant", &[Admin]),
];

/// The plain call of the health service, open to everybody.
const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";

/// The calls of the contract that are no plain question and answer.
pub(super) const STREAMING: &[&str] = &[
    "/posthorn.v1.EventService/EmitEvents",
    "/posthorn.v1.InboundService/Consume",
    "/posthorn.v1.NodeService/Forward",
    "/posthorn.v1.NodeService/Session",
];

/// The roles that may make the call. None: there is no such call.
pub(super) fn roles(path: &str) -> Option<&'static [Role]> {
    let index = TABLE.binary_search_by(|(row, _)| (*row).cmp(path)).ok()?;
    Some(TABLE[index].1)
}

/// Whether the call is a question with one answer: one of the contract, or the health check.
pub(crate) fn is_unary(path: &str) -> bool {
    path == HEALTH_CHECK || roles(path).is_some() && !STREAMING.contains(&path)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// Path and whether a stream is involved, of every call in the descriptors.
    fn described() -> BTreeMap<String, bool> {
        let files = FileDescriptorSet::decode(posthorn::v1::FILE_DESCRIPTOR_SET).unwrap();
        let mut calls = BTreeMap::new();
        for file in files
            .file
            .iter()
            .filter(|file| file.package() == "posthorn.v1")
        {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    calls.insert(path, method.client_streaming() || method.server_streaming());
                }
            }
        }
        calls
    }

    #[test]
    fn every_call_of_the_contract_has_a_row_and_no_row_is_left_over() {
        let rows = TABLE
            .iter()
            .map(|(path, _)| (*path).to_owned())
            .collect::<Vec<_>>();
        assert_eq!(rows, described().into_keys().collect::<Vec<_>>());
    }

    #[test]
    fn every_streaming_call_is_listed_as_one() {
        let streaming = described()
            .into_iter()
            .filter(|(_, is_streaming)| *is_streaming);
        assert_eq!(
            STREAMING,
            streaming.map(|(path, _)| path).collect::<Vec<_>>()
        );
    }

    #[test]
    fn only_calls_of_the_contract_are_found() {
        assert_eq!(roles("/posthorn.v1.NodeService/Session"), Some(&[Node][..]));
        assert!(is_unary("/posthorn.v1.EventService/EmitEvent"));
        for path in [
            "",
            "/",
            "/posthorn.v1.NodeService/session",
            "/posthorn.v1.NodeService/Session/",
        ] {
            assert_eq!(roles(path), None, "{path}");
            assert!(!is_unary(path));
        }
    }
}
