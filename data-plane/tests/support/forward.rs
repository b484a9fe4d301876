//! A stream of inbound requests as the control plane sees it.

use std::collections::HashMap;

use posthorn::node::v1::{
    EdgeSettings, ForwardRequest, ForwardResponse, ForwardedAnswer, ForwardedRequest, Header,
};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver},
    time::timeout,
};
use tonic::{Status, Streaming};

use super::PATIENCE;

/// A stream, handed to the test. Dropping it ends it.
pub(crate) struct Forwarded {
    inbound: Streaming<ForwardRequest>,
    outbound: mpsc::Sender<Result<ForwardResponse, Status>>,
}

/// A stream on which every request is answered 200 as soon as it is complete.
pub(crate) struct Answered(UnboundedReceiver<ForwardedRequest>);

impl Forwarded {
    /// Opens it: says that no source differs.
    pub(crate) async fn open(
        inbound: Streaming<ForwardRequest>,
    ) -> (Self, mpsc::Receiver<Result<ForwardResponse, Status>>) {
        let (outbound, receiver) = mpsc::channel(64);
        let stream = Self { inbound, outbound };
        stream.settings(EdgeSettings::default()).await;
        (stream, receiver)
    }

    /// Says how sources are treated.
    pub(crate) async fn settings(&self, settings: EdgeSettings) {
        let settings = Some(settings);
        let answers = Vec::new();
        self.send(ForwardResponse { answers, settings }).await;
    }

    /// The next message of the node.
    pub(crate) async fn message(&mut self) -> ForwardRequest {
        let message = timeout(PATIENCE, self.inbound.message()).await;
        message
            .expect("a message in time")
            .expect("no error")
            .expect("a message")
    }

    /// The next request, complete, where there is no other at the same time.
    pub(crate) async fn request(&mut self) -> ForwardedRequest {
        let message = self.message().await;
        let [mut request]: [_; 1] = message.requests.try_into().expect("one request");
        while request.more {
            let message = self.message().await;
            assert!(message.requests.is_empty() && message.abandoned.is_empty());
            for part in message.parts {
                assert_eq!(part.number, request.number);
                request.body = [request.body, part.data].concat().into();
                request.more = part.more;
            }
        }
        request
    }

    /// Answers a request.
    pub(crate) async fn answer(&self, answer: ForwardedAnswer) {
        let answers = vec![answer];
        let settings = None;
        self.send(ForwardResponse { answers, settings }).await;
    }

    /// Answers every request from now on, and tells which there were.
    pub(crate) fn answer_all(mut self) -> Answered {
        let (log, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut begun: HashMap<u64, (ForwardedRequest, Vec<u8>)> = HashMap::new();
            while let Ok(Some(message)) = self.inbound.message().await {
                let mut complete = Vec::new();
                for request in message.requests {
                    if request.more {
                        let body = request.body.to_vec();
                        begun.insert(request.number, (request, body));
                    } else {
                        complete.push(request);
                    }
                }
                for part in message.parts {
                    let (_, body) = begun.get_mut(&part.number).expect("it has begun");
                    body.extend_from_slice(&part.data);
                    if !part.more {
                        let (mut request, body) = begun.remove(&part.number).expect("as above");
                        request.body = body.into();
                        complete.push(request);
                    }
                }
                for number in message.abandoned {
                    begun.remove(&number);
                }
                for request in complete {
                    self.answer(answer(request.number, 200, "taken")).await;
                    let _over = log.send(request);
                }
            }
        });
        Answered(requests)
    }

    async fn send(&self, response: ForwardResponse) {
        self.outbound
            .send(Ok(response))
            .await
            .expect("an open stream");
    }
}

impl Answered {
    /// The next request.
    pub(crate) async fn request(&mut self) -> ForwardedRequest {
        let request = timeout(PATIENCE, self.0.recv()).await;
        request.expect("a request in time").expect("a request")
    }

    /// Whether there was another request.
    pub(crate) fn has_request(&mut self) -> bool {
        self.0.try_recv().is_ok()
    }
}

/// An answer.
pub(crate) fn answer(number: u64, status: u32, body: &'static str) -> ForwardedAnswer {
    let header = Header {
        name: "x-from".to_owned(),
        value: "control plane".into(),
    };
    ForwardedAnswer {
        number,
        status,
        headers: vec![header],
        body: body.into(),
    }
}
