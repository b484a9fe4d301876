//! Floods of frames that ask nothing.

use posthorn::v1::Role;
use posthorn_harness::Deployment;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use super::until_refused;
use crate::support::{DEADLINE, raw::connect};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: u8 = 4;
const PRIORITY: u8 = 2;
const PING: u8 = 6;

fn frame(kind: u8, stream: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("a short frame");
    let mut frame = vec![0, 0, length, kind, 0, 0, 0, 0, stream];
    frame.extend(content);
    frame
}

#[tokio::test]
async fn floods_of_frames_end_the_connection() {
    let deployment = Deployment::start(posthorn_harness::StoreKind::Sqlite).await;
    let control = &deployment.control;
    for one in [
        frame(PING, 0, &[0; 8]),
        frame(SETTINGS, 0, &[]),
        frame(PRIORITY, 1, &[0, 0, 0, 0, 9]),
    ] {
        let mut stream = connect(control.grpc).await;
        let greeting = [PREFACE, &frame(SETTINGS, 0, &[])].concat();
        stream.write_all(&greeting).await.expect("it listens");
        let (mut reading, mut writing) = stream.into_split();
        let flood = one.repeat(4_096);
        let flooding = async {
            // More than a connection may bring at all.
            for _ in 0..1_000 {
                if writing.write_all(&flood).await.is_err() {
                    return true;
                }
            }
            false
        };
        let ended = async {
            let mut came = vec![0; 64 * 1024];
            while !matches!(reading.read(&mut came).await, Ok(0) | Err(_)) {}
        };
        let (is_cut, ()) = timeout(DEADLINE, async { tokio::join!(flooding, ended) })
            .await
            .expect("it is ended");
        assert!(is_cut, "the flood went on");
    }
    until_refused(control.metrics, "flood").await;
    let key = deployment.admin.create_key(&[Role::Emitter]).await;
    let emitter = deployment.admin.with_key(&key);
    emitter.emit("order.paid", "{}").await;
}
