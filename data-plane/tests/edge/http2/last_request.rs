//! What a connection that takes no more requests does with those that were already on their way.

use std::collections::BTreeSet;

use super::*;

/// The most that a farewell can name: nothing is refused yet.
const NO_STREAM_REFUSED: u32 = 0x7fff_ffff;

#[tokio::test]
async fn b8_every_stream_up_to_the_one_that_the_farewell_names_is_answered() {
    const STREAMS: u32 = 60;
    let certificate = Certificate::new();
    let config = EdgeConfig {
        requests_per_connection: 3,
        ..certificate.config()
    };
    let (world, _requests) = World::answering(config).await;
    let mut frames = Frames::open(&world, &certificate).await;
    let head = block(&fields(&path(), &[]));
    let streams = (0..STREAMS).map(|number| 2 * number + 1);
    let heads = streams.map(|stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &head));
    frames.write(&heads.collect::<Vec<_>>().concat()).await;

    let (mut answered, mut last) = (BTreeSet::new(), NO_STREAM_REFUSED);
    while let Some(came) = frames.next().await {
        match came.kind {
            HEADERS => assert!(answered.insert(came.stream), "answered twice"),
            RST_STREAM => panic!("stream {} is neither answered nor refused", came.stream),
            GOAWAY => last = u32::from_be_bytes(came.payload[..4].try_into().expect("an id")),
            PING => frames.write(&frame(PING, ACK, 0, &came.payload)).await,
            _ => {}
        }
    }
    assert_ne!(last, NO_STREAM_REFUSED, "it says which one is the last");
    let taken = (1..=last).step_by(2).collect();
    assert_eq!(answered, taken, "the client repeats the others");
    assert!(answered.len() >= 3, "{answered:?}");
}
