//! Every call: which roles may make it, as the comments of the contract say, and of what kind it is. A test compares it
//! with the descriptors.

use super::kinds::{
    CHANGE, CONSUME, EMIT, EMITS, FORWARD, GET, Kind, OPEN, REFLECTION, SCAN, SESSION, VITAL,
};
use crate::model::api_key::Role::{self, Admin, Consumer, Emitter, Node, Operator, Viewer};

/// Every call of the contract with the roles that may make it and its kind.
#[rustfmt::skip]
pub(super) const TABLE: &[(&str, &[Role], &Kind)] = &[
    ("/posthorn.node.v1.NodeService/Forward", &[Node], FORWARD),
    ("/posthorn.node.v1.NodeService/Session", &[Node], SESSION),
    ("/posthorn.v1.AdminService/ListConsumers", &[Admin, Operator, Viewer], SCAN),
    ("/posthorn.v1.AdminService/ListNodes", &[Admin, Operator, Viewer], SCAN),
    ("/posthorn.v1.ApiKeyService/CreateApiKey", &[Admin], CHANGE),
    ("/posthorn.v1.ApiKeyService/GetApiKey", &[Admin], GET),
    ("/posthorn.v1.ApiKeyService/ListApiKeys", &[Admin], SCAN),
    ("/posthorn.v1.ApiKeyService/RevokeApiKey", &[Admin], VITAL),
    ("/posthorn.v1.AuditService/ListAudit", &[Admin], SCAN),
    ("/posthorn.v1.DeliveryService/CancelDelivery", &[Admin, Operator], CHANGE),
    ("/posthorn.v1.DeliveryService/DiscardDeadLetters", &[Admin, Operator], CHANGE),
    ("/posthorn.v1.DeliveryService/GetDelivery", &[Admin, Operator, Viewer], GET),
    ("/posthorn.v1.DeliveryService/ListAttempts", &[Admin, Operator, Viewer], SCAN),
    ("/posthorn.v1.DeliveryService/ListBacklogs", &[Admin, Operator, Viewer], SCAN),
    ("/posthorn.v1.DeliveryService/ListDeliveries", &[Admin, Operator, Viewer], SCAN),
    ("/posthorn.v1.DeliveryService/ListFailedAttempts", &[Admin, Operator, Viewer], SCAN),
    ("/posthorn.v1.DeliveryService/RedriveDeadLetters", &[Admin, Operator], CHANGE),
    ("/posthorn.v1.DeliveryService/RetryDelivery", &[Admin, Operator], CHANGE),
    ("/posthorn.v1.EndpointService/CreateEndpoint", &[Admin, Operator], CHANGE),
    ("/posthorn.v1.EndpointService/DeleteEndpoint", &[Admin, Operator], CHANGE),
    ("/posthorn.v1.EndpointService/GetEndpoint", &[Admin, Operator, Viewer], GET),
    ("/posthorn.v1.EndpointService/ListEndpoints", &[Admin, Operator, Viewer], SCAN),
    ("/posthorn.v1.EndpointService/RotateEndpointSecret", &[Admin, Operator], CHANGE),
    ("/posthorn.v1.EndpointService/SetEndpointState", &[Admin, Operator], CHANGE),
    ("/posthorn.v1.EndpointService/TestEndpoint", &[Admin, Operator], CHANGE),
    ("/posthorn.v1.EndpointService/UpdateEndpoint", &[Admin, Operator], CHANGE),
    ("/posthorn.v1.EventService/EmitEvent", &[Admin, Emitter], EMIT),
    ("/posthorn.v1.EventService/EmitEvents", &[Admin, Emitter], EMITS),
    ("/posthorn.v1.EventService/GetEvent", &[Admin, Operator, Viewer, Emitter], GET),
    ("/posthorn.v1.EventService/ListEvents", &[Admin, Operator, Viewer], SCAN),
    ("/posthorn.v1.EventTypeService/CreateEventType", &[Admin, Operator], CHANGE),
    ("/posthorn.v1.EventTypeService/DeleteEventType", &[Admin, Operator], CHANGE),
    ("/posthorn.v1.EventTypeService/GetEventType", &[Admin, Operator, Viewer, Emitter], GET),
    ("/posthorn.v1.EventTypeService/ListEventTypes", &[Admin, Operator, Viewer, Emitter], SCAN),
    ("/posthorn.v1.EventTypeService/UpdateEventType", &[Admin, Operator], CHANGE),
    ("/posthorn.v1.InboundService/AcceptInboundRequest", &[Admin, Operator], CHANGE),
    ("/posthorn.v1.InboundService/Consume", &[Admin, Consumer], CONSUME),
    ("/posthorn.v1.InboundService/GetInboundRequest", &[Admin, Operator, Viewer], GET),
    ("/posthorn.v1.InboundService/HoldInboundRequest", &[Admin, Operator], CHANGE),
    ("/posthorn.v1.InboundService/ListHandlings", &[Admin, Operator, Viewer], SCAN),
    ("/posthorn.v1.InboundService/ListInboundRequests", &[Admin, Operator, Viewer], SCAN),
    ("/posthorn.v1.InboundService/ReadInboundPayload", &[Admin, Operator], SCAN),
    ("/posthorn.v1.InboundService/ReleaseInboundRequest", &[Admin, Operator], CHANGE),
    ("/posthorn.v1.InboundService/ReplayInboundRequest", &[Admin, Operator], CHANGE),
    ("/posthorn.v1.InboundService/ReverifyInboundRequest", &[Admin, Operator], CHANGE),
    ("/posthorn.v1.SourceService/CreateSource", &[Admin, Operator], CHANGE),
    ("/posthorn.v1.SourceService/DeleteSource", &[Admin, Operator], CHANGE),
    ("/posthorn.v1.SourceService/GetDriftReport", &[Admin, Operator, Viewer], GET),
    ("/posthorn.v1.SourceService/GetSource", &[Admin, Operator, Viewer], GET),
    ("/posthorn.v1.SourceService/ListProviders", &[Admin, Operator, Viewer], GET),
    ("/posthorn.v1.SourceService/ListSources", &[Admin, Operator, Viewer], SCAN),
    ("/posthorn.v1.SourceService/RotateSourceSecret", &[Admin, Operator], CHANGE),
    ("/posthorn.v1.SourceService/SetSourceState", &[Admin, Operator], CHANGE),
    ("/posthorn.v1.SourceService/UpdateSource", &[Admin, Operator], CHANGE),
    ("/posthorn.v1.TenantService/CreateTenant", &[Admin], CHANGE),
    ("/posthorn.v1.TenantService/DeleteTenant", &[Admin], CHANGE),
    ("/posthorn.v1.TenantService/GetTenant", &[Admin, Operator, Viewer], GET),
    ("/posthorn.v1.TenantService/ListTenants", &[Admin, Operator, Viewer], SCAN),
    ("/posthorn.v1.TenantService/UpdateTenant", &[Admin], CHANGE),
];

/// The health service, which every caller may use with no credential at all.
pub(super) const HEALTH: &str = "/grpc.health.v1.Health/";
/// The plain call of the health service.
const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";
/// What every credential but a node's may use.
pub(super) const REFLECTIONS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];

/// The roles that may make the call. None: there is no such call.
pub(super) fn roles(path: &str) -> Option<&'static [Role]> {
    Some(row(path)?.1)
}

/// The kind of the call. None: there is no such call.
pub(crate) fn kind(path: &str) -> Option<&'static Kind> {
    if let Some((_, _, kind)) = row(path) {
        return Some(kind);
    }
    if path.starts_with(HEALTH) {
        return Some(OPEN);
    }
    let is_reflection = REFLECTIONS.iter().any(|service| path.starts_with(service));
    is_reflection.then_some(REFLECTION)
}

/// The name of the call, without its service. None: there is no such call.
pub(super) fn method(path: &str) -> Option<&'static str> {
    let (path, ..) = row(path)?;
    path.rsplit('/').next()
}

fn row(path: &str) -> Option<&'static (&'static str, &'static [Role], &'static Kind)> {
    let index = TABLE.binary_search_by(|row| row.0.cmp(path)).ok()?;
    TABLE.get(index)
}

/// Whether the call is a question with one answer: one of the contract, or the health check.
pub(crate) fn is_unary(path: &str) -> bool {
    path == HEALTH_CHECK || row(path).is_some_and(|(_, _, kind)| kind.takes_one)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::{super::kinds::Class, *};

    /// Path and whether a stream is involved, of every call in the descriptors.
    fn described() -> BTreeMap<String, bool> {
        let files = FileDescriptorSet::decode(posthorn::v1::FILE_DESCRIPTOR_SET).unwrap();
        let mut calls = BTreeMap::new();
        for file in files
            .file
            .iter()
            .filter(|file| file.package().starts_with("posthorn."))
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
            .map(|(path, ..)| (*path).to_owned())
            .collect::<Vec<_>>();
        assert_eq!(rows, described().into_keys().collect::<Vec<_>>());
    }

    #[test]
    fn the_kind_of_a_call_says_whether_it_is_a_stream() {
        for (path, is_streaming) in described() {
            assert_eq!(is_unary(&path), !is_streaming, "{path}");
        }
    }

    #[test]
    fn lists_and_payloads_are_scans_and_what_reads_one_object_is_no_change() {
        for (path, _, kind) in TABLE {
            let call = path.rsplit('/').next().unwrap();
            let is_list = call.starts_with("List") && call != "ListProviders";
            let is_scan = is_list || call == "ReadInboundPayload";
            assert_eq!(kind.class == Class::Scan, is_scan, "{path}");
            if call.starts_with("Get") {
                assert_eq!(kind.class, Class::Get, "{path}");
            }
        }
    }

    #[test]
    fn only_calls_of_the_contract_are_found() {
        assert_eq!(
            roles("/posthorn.node.v1.NodeService/Session"),
            Some(&[Node][..])
        );
        assert!(is_unary("/posthorn.v1.EventService/EmitEvent"));
        for path in [
            "",
            "/",
            "/posthorn.node.v1.NodeService/session",
            "/posthorn.node.v1.NodeService/Session/",
        ] {
            assert_eq!(roles(path), None, "{path}");
            assert!(!is_unary(path));
        }
    }
}
