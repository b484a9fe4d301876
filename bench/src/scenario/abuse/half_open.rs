//! Connections that begin a TLS handshake and do not go on, from 20 addresses, opened anew whenever they are closed: what
//! honest callers with connections of their own notice, and whether nodes keep their sessions and come back.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use posthorn::v1::GetTenantRequest;
use posthorn_harness::get;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinSet,
    time::timeout,
};

use super::honest::paced;
use crate::{
    report::Measure,
    settings::Settings,
    stage::Stage,
    usage::float,
    wire::{self, PATIENCE},
};

const ADDRESSES: u8 = 20;
const CONNECTIONS_EACH: usize = 210;
/// The start of a `ClientHello` that announces 512 bytes.
const HELLO: [u8; 60] = {
    let mut hello = [0; 60];
    (hello[0], hello[1], hello[2], hello[3], hello[4]) = (0x16, 3, 1, 2, 0);
    (hello[5], hello[6], hello[7], hello[8]) = (1, 0, 1, 0xfc);
    hello
};
/// How long an attacker waits before it opens a closed connection anew.
const PAUSE: Duration = Duration::from_secs(1);
/// Honest calls a second, each over a connection of its own.
const CALLS_PER_SECOND: u32 = 20;
/// How often the node is asked whether its session stands.
const LOOK_EACH: Duration = Duration::from_millis(100);

pub(super) async fn run(settings: &Settings) -> Vec<Measure> {
    let duration = Duration::from_secs(u64::from(settings.seconds));
    let mut stage = Stage::start_secured(settings.store).await;
    let attack = attack(stage.grpc());
    let (served, sessions) = tokio::join!(calls(&stage, duration), sessions(&stage, duration));
    let began = Instant::now();
    let is_back = timeout(PATIENCE, stage.restart_node()).await.is_ok();
    let back = began.elapsed();
    drop(attack);
    vec![
        Measure::new(
            "half-open connections",
            "",
            float(u64::from(ADDRESSES) * CONNECTIONS_EACH as u64),
        ),
        Measure::new(
            "honest calls beside them that failed",
            "",
            served.refused() / served.count(),
        )
        .at_most(0.0, 0.0),
        Measure::new(
            "honest calls, each with its own handshake, p99",
            "ms",
            served.quantile_ms(0.99),
        )
        .at_most(250.0, 50.0),
        Measure::new("the node had its session", "", sessions).at_least(1.0, 1.0),
        Measure::new(
            "a restarted node had a session again",
            "",
            f64::from(u8::from(is_back)),
        )
        .at_least(1.0, 1.0),
        Measure::new("until it had, or was given up", "s", back.as_secs_f64()),
    ]
}

/// The half-open connections, until dropped.
fn attack(addr: SocketAddr) -> JoinSet<()> {
    let mut connections = JoinSet::new();
    for number in 0..ADDRESSES {
        for _ in 0..CONNECTIONS_EACH {
            connections.spawn(half_open(addr, Ipv4Addr::new(127, 3, 0, number + 1).into()));
        }
    }
    connections
}

async fn half_open(addr: SocketAddr, from: IpAddr) {
    loop {
        if let Ok(mut stream) = wire::connect(addr, from).await
            && stream.write_all(&HELLO).await.is_ok()
        {
            // Until it is closed, however that is said.
            let _closed = stream.read_to_end(&mut Vec::new()).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn calls(stage: &Stage, duration: Duration) -> super::honest::Served {
    paced(CALLS_PER_SECOND, duration, || {
        let caller = stage.caller();
        async move {
            let Ok(client) = caller.connect().await else {
                return false;
            };
            let request = GetTenantRequest {
                tenant_id: client.tenant_id.clone(),
            };
            client.tenants().get_tenant(request).await.is_ok()
        }
    })
    .await
}

/// The share of the time in which the node had a session.
async fn sessions(stage: &Stage, duration: Duration) -> f64 {
    let (mut asked, mut stood) = (0, 0);
    let end = Instant::now() + duration;
    while Instant::now() < end {
        tokio::time::sleep(LOOK_EACH).await;
        asked += 1;
        let page = get(stage.node_metrics(), "/readyz").await;
        stood += u64::from(page.is_ok_and(|page| page.status == 200));
    }
    float(stood) / float(asked)
}
