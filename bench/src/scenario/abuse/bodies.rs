//! With a node's key: streams of forwarded requests whose bodies are never complete.

use std::time::Duration;

use bytes::Bytes;
use posthorn::node::v1::{BodyPart, ForwardRequest, ForwardedRequest};
use posthorn::v1::Role;
use posthorn_harness::{Client, STANDARD_WEBHOOKS};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tokio_stream::iter;

use super::bound;
use crate::{report::Measure, settings::Settings, stage::Stage, usage::float};

const STREAMS: usize = 16;
/// Requests to a stream.
const REQUESTS: u64 = 100;
/// Each brings this much of a body of the greatest length, in parts, and then no more.
const PARTS: usize = 4;
const PART_BYTES: usize = 250_000;
/// For how long the streams are kept up.
const LASTS: Duration = Duration::from_secs(10);

pub(super) async fn run(settings: &Settings) -> Vec<Measure> {
    let stage = Stage::start_without_node(settings.store).await;
    let created = stage.client.create_source(STANDARD_WEBHOOKS).await;
    let source_id = created
        .source
        .expect("the answer holds the source")
        .source_id;
    let stolen = stage
        .admin
        .with_key(&stage.admin.create_key(&[Role::Node]).await);
    let before = stage.planes_mebibytes();
    let until = Instant::now() + LASTS;
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        streams.spawn(timeout_at(
            until,
            forward(stolen.clone(), source_id.clone()),
        ));
    }
    streams.join_all().await;
    let grown = stage.planes_mebibytes_peak() - before;
    vec![
        Measure::new(
            "bodies without an end, begun",
            "MB",
            float(STREAMS as u64 * REQUESTS),
        ),
        Measure::new("memory that bodies without an end took", "MiB", grown)
            .at_most(bound::NODE, 64.0),
    ]
}

/// Forwards all over one stream, and reads answers until it ends.
async fn forward(node: Client, source_id: String) {
    let part = Bytes::from(vec![b'a'; PART_BYTES]);
    let requests = (1..=REQUESTS).map(move |number| ForwardRequest {
        requests: vec![ForwardedRequest {
            number,
            source_id: source_id.clone(),
            method: "POST".to_owned(),
            path_query: format!("/in/{source_id}"),
            body: part.clone(),
            more: true,
            remote_address: "192.0.2.7".to_owned(),
            ..ForwardedRequest::default()
        }],
        parts: (1..PARTS)
            .map(|_| BodyPart {
                number,
                data: part.clone(),
                more: true,
            })
            .collect(),
        ..ForwardRequest::default()
    });
    let requests = tokio_stream::StreamExt::chain(iter(requests), tokio_stream::pending());
    let Ok(answers) = node.node().forward(requests).await else {
        return;
    };
    let mut answers = answers.into_inner();
    while let Ok(Some(_)) = answers.message().await {}
}
