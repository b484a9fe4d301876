//! What a start prints: where it listens, and commands that work as pasted.

use crate::{keys, planes::Planes};

/// Prints it.
pub(crate) fn print(planes: &Planes) {
    let grpc = planes.grpc_addr();
    let key = keys::default_file(&planes.data_dir);
    let key = key.display();
    println!(
        "listening grpc={grpc} metrics={} node-metrics={} edge={}",
        planes.metrics_addr(),
        planes.node_metrics_addr(),
        planes.edge_addr()
    );
    println!(
        "Posthorn {} keeps its data in {}.",
        env!("CARGO_PKG_VERSION"),
        planes.data_dir.display()
    );
    if planes.allows_loopback {
        println!(
            "Endpoints on this machine may be delivered to, over plain http too; --deny-loopback forbids it."
        );
    }
    println!("Try, in another terminal:\n");
    let auth = format!("-H \"authorization: Bearer $(cat {key})\"");
    println!("  grpcurl -plaintext {auth} {grpc} list");
    println!(
        "  grpcurl -plaintext {auth} -d '{{\"settings\": {{\"url\": \"http://127.0.0.1:9000/hook\", \
         \"subscriptions\": [\"*\"]}}}}' {grpc} posthorn.v1.EndpointService/CreateEndpoint"
    );
    println!(
        "  grpcurl -plaintext {auth} -d '{{\"event_type\": \"order.paid\", \"data\": {{\"amount\": 7}}}}' {grpc} \
         posthorn.v1.EventService/EmitEvent\n"
    );
}
