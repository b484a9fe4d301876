//! An edge that the test moves by hand: it forwards what it is told over a stream of its own, and listens nowhere.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use posthorn::node::v1::{
    BodyPart, EdgeSettings, ForwardRequest, ForwardResponse, ForwardedAnswer, ForwardedRequest,
    Header,
};
use posthorn::v1::CreateSourceResponse;
use posthorn_harness::{Client, Provider};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::DEADLINE;

/// A stream of forwarded requests. Dropped, it ends.
pub(crate) struct HandEdge {
    requests: mpsc::Sender<ForwardRequest>,
    responses: Streaming<ForwardResponse>,
    /// The number of the request that was forwarded last.
    number: u64,
    /// Answers that came before anybody asked for them.
    answers: HashMap<u64, ForwardedAnswer>,
    /// The settings that came last.
    settings: Option<EdgeSettings>,
}

/// The edge's address, as far as the host header of what it forwards says one.
pub(crate) const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// The provider of a source, signing by Standard Webhooks with this secret.
pub(crate) fn provider_of(created: &CreateSourceResponse, secret: &str) -> Provider {
    let source = created.source.as_ref().expect("the answer holds it");
    Provider::new(NOWHERE, &source.source_id, secret)
}

/// A POST of a body to a source, as an edge forwards it. The number is set by the one that forwards it.
pub(crate) fn posted(
    source_id: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> ForwardedRequest {
    let headers = headers.iter().map(|(name, value)| Header {
        name: (*name).to_owned(),
        value: Bytes::copy_from_slice(value.as_bytes()),
    });
    ForwardedRequest {
        number: 0,
        source_id: source_id.to_owned(),
        method: "POST".to_owned(),
        path_query: format!("/in/{source_id}"),
        headers: headers.collect(),
        body: body.into(),
        more: false,
        remote_address: "192.0.2.7".to_owned(),
        age_ms: 1,
    }
}

/// A request of a provider, as an edge forwards it.
pub(crate) async fn forwarded(request: http::Request<Full<Bytes>>) -> ForwardedRequest {
    let (head, body) = request.into_parts();
    let path_query = head.uri.to_string();
    let source_id = head.uri.path().trim_start_matches("/in/");
    let headers = head.headers.iter().map(|(name, value)| Header {
        name: name.as_str().to_owned(),
        value: Bytes::copy_from_slice(value.as_bytes()),
    });
    let body = body.collect().await.expect("the body is in memory");
    ForwardedRequest {
        method: head.method.to_string(),
        path_query,
        headers: headers.collect(),
        ..posted(source_id, &[], body.to_bytes())
    }
}

impl HandEdge {
    /// Opens a stream and waits for nothing. The client's key must be a node's.
    pub(crate) async fn silent(client: &Client) -> Result<Self, Status> {
        let (requests, stream) = mpsc::channel(64);
        let responses = client.node().forward(ReceiverStream::new(stream)).await?;
        Ok(Self {
            requests,
            responses: responses.into_inner(),
            number: 0,
            answers: HashMap::new(),
            settings: None,
        })
    }

    /// Opens a stream and waits for the settings, which come first. The client's key must be a node's.
    pub(crate) async fn open(client: &Client) -> Self {
        let mut edge = Self::silent(client).await.expect("the stream opens");
        edge.next().await.expect("the stream stands");
        assert!(edge.settings.is_some(), "the settings come first");
        edge
    }

    /// The settings that came last.
    pub(crate) fn settings(&self) -> &EdgeSettings {
        self.settings.as_ref().expect("the settings came")
    }

    /// Waits until settings come that are as asked for.
    pub(crate) async fn await_settings(&mut self, holds: impl Fn(&EdgeSettings) -> bool) {
        while !self.settings.as_ref().is_some_and(&holds) {
            self.next().await.expect("the stream stands");
        }
    }

    /// Sends any message. One that the control plane no longer reads is dropped.
    pub(crate) async fn send(&mut self, request: ForwardRequest) {
        let _ = self.requests.send(request).await;
    }

    /// Forwards a request and returns its number.
    pub(crate) async fn forward(&mut self, request: ForwardedRequest) -> u64 {
        self.number += 1;
        let request = ForwardedRequest {
            number: self.number,
            ..request
        };
        self.send(ForwardRequest {
            requests: vec![request],
            ..ForwardRequest::default()
        })
        .await;
        self.number
    }

    /// Sends more of a request's body.
    pub(crate) async fn part(&mut self, number: u64, data: impl Into<Bytes>, more: bool) {
        let part = BodyPart {
            number,
            data: data.into(),
            more,
        };
        self.send(ForwardRequest {
            parts: vec![part],
            ..ForwardRequest::default()
        })
        .await;
    }

    /// Says that nobody waits for a request's answer any more.
    pub(crate) async fn abandon(&mut self, number: u64) {
        self.send(ForwardRequest {
            abandoned: vec![number],
            ..ForwardRequest::default()
        })
        .await;
    }

    /// Waits for the answer to a request, keeping those to others.
    pub(crate) async fn answer(&mut self, number: u64) -> ForwardedAnswer {
        loop {
            if let Some(answer) = self.answers.remove(&number) {
                return answer;
            }
            self.next().await.expect("the stream stands");
        }
    }

    /// Forwards a request and waits for its answer.
    pub(crate) async fn ask(&mut self, request: ForwardedRequest) -> ForwardedAnswer {
        let number = self.forward(request).await;
        self.answer(number).await
    }

    /// Forwards a signed body of a provider, and waits for its answer.
    pub(crate) async fn post(
        &mut self,
        provider: &Provider,
        id: &str,
        body: impl Into<Bytes>,
    ) -> ForwardedAnswer {
        let request = forwarded(provider.request(id, body)).await;
        self.ask(request).await
    }

    /// Waits for the end of the stream.
    pub(crate) async fn end(mut self) -> Status {
        loop {
            if let Err(status) = self.next().await {
                return status;
            }
        }
    }

    /// Takes the next message in, or says how the stream ended.
    async fn next(&mut self) -> Result<(), Status> {
        let next = timeout(DEADLINE, self.responses.message())
            .await
            .expect("something comes");
        let Some(response) = next? else {
            return Err(Status::ok("the stream ended"));
        };
        if let Some(settings) = response.settings {
            self.settings = Some(settings);
        }
        for answer in response.answers {
            let number = answer.number;
            let other = self.answers.insert(number, answer);
            assert!(other.is_none(), "{number} is answered twice");
        }
        Ok(())
    }
}
