//! The largest bodies, from a real edge to whoever takes their events.

use posthorn::v1::SourceSettings;
use posthorn_harness::{Deployment, Provider, STANDARD_WEBHOOKS, StoreKind};

use crate::support::{
    DEADLINE,
    hand_consumer::{HandConsumer, handler},
};

on_both! {
    a_body_of_20_mib_arrives_byte_for_byte,
}

const SECRET: &str = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const MIB: usize = 1_024 * 1_024;

async fn a_body_of_20_mib_arrives_byte_for_byte(store: StoreKind) {
    let deployment = Deployment::start(store).await;
    let (admin, receiver) = (&deployment.admin, &deployment.receiver);
    admin.create_endpoint(&receiver.url("/"), &["*"]).await;
    let mut consumer = HandConsumer::ready(admin, "large", vec![handler("take", &["*"])], 1).await;
    let settings = SourceSettings {
        provider: STANDARD_WEBHOOKS.to_owned(),
        body_bytes_max: 26_214_400,
        ..SourceSettings::default()
    };
    let created = admin.create_source_with(settings, &[SECRET]).await;
    let source = created.source.expect("the answer holds it");
    let provider = Provider::new(deployment.node.edge, &source.source_id, SECRET);
    let body = format!(
        r#"{{"type":"order.paid","text":"{}"}}"#,
        "x".repeat(20 * MIB)
    );

    let answer = provider
        .post("msg_1", body.clone())
        .await
        .expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    let handout = consumer.handout().await;
    assert!(handout.payload == body, "the consumer's is another body");
    consumer.ack(&handout, "taken").await;
    let arrived = receiver.received("/").await_count(1, DEADLINE).await;
    assert!(arrived[0].body == body, "the endpoint's is another body");
}
