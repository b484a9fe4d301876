//! One `Forward` stream after the other, until the node has no more to forward.
//!
//! A stream stands when the control plane has said how sources are treated, which is the first thing that it says.

use std::{sync::Arc, time::Duration};

use posthorn::node::v1::{ForwardResponse, ForwardedAnswer};
use posthorn_telemetry::Readiness;
use rand::rngs::SmallRng;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Streaming, metadata::MetadataValue, transport::Endpoint};
use tracing::info;

use super::{Forwarder, Settings, outgoing::Outgoing};
use crate::{
    clock,
    link::{Authorization, Backoff, Losses, Lost, connect},
};

/// How long the control plane may take to open the stream and to say how sources are treated.
const SETTINGS_WITHIN: Duration = Duration::from_secs(10);
/// The condition of readiness.
const STREAM: &str = "stream for inbound requests";

/// What is needed to open streams.
pub(crate) struct ForwardParts {
    pub(crate) endpoint: Endpoint,
    pub(crate) authorization: Arc<Authorization>,
    pub(crate) readiness: Readiness,
    pub(crate) rng: SmallRng,
}

/// Opens streams for a [`Forwarder`].
pub(crate) struct Forward {
    parts: ForwardParts,
    forwarder: Arc<Forwarder>,
}

impl Forward {
    /// Has not connected yet.
    pub(crate) fn new(parts: ForwardParts) -> Self {
        parts.readiness.set(STREAM, false);
        Self {
            parts,
            forwarder: Arc::default(),
        }
    }

    /// What the edge asks.
    pub(crate) fn forwarder(&self) -> Arc<Forwarder> {
        self.forwarder.clone()
    }

    /// Holds streams until `stop` is cancelled: when the edge has nobody left to answer.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let _stopped = stop.run_until_cancelled(self.hold_streams()).await;
        self.ended();
    }

    async fn hold_streams(&mut self) {
        let mut backoff = Backoff::default();
        let mut losses = Losses::new(STREAM);
        loop {
            let mut stands_since = None;
            let Err(reason) = self.converse(&mut stands_since).await;
            self.ended();
            let now = clock::now();
            let stood = stands_since.map_or(Duration::ZERO, |since: Instant| {
                now.saturating_duration_since(since)
            });
            let wait = backoff.after(stood, &reason, &mut self.parts.rng);
            if stands_since.is_some() {
                losses.over();
            }
            losses.tell(&reason, wait, now);
            sleep(wait).await;
        }
    }

    /// One stream to its end.
    async fn converse(
        &self,
        stands_since: &mut Option<Instant>,
    ) -> Result<std::convert::Infallible, Lost> {
        let opened = async {
            let mut responses = self.open().await?;
            let first = responses.message().await?.ok_or(Lost::Closed)?;
            Ok::<_, Lost>((responses, first))
        };
        let opened = timeout(SETTINGS_WITHIN, opened).await;
        let (mut responses, mut response) = opened.map_err(|_| Lost::Silent)??;
        loop {
            self.receive(response, stands_since);
            response = responses.message().await?.ok_or(Lost::Closed)?;
        }
    }

    async fn open(&self) -> Result<Streaming<ForwardResponse>, Lost> {
        let mut client = connect(&self.parts.endpoint).await?;
        let stream = self.forwarder.book.lock().open();
        let mut request = Request::new(Outgoing {
            forwarder: self.forwarder.clone(),
            stream,
        });
        request.metadata_mut().insert(
            "authorization",
            MetadataValue::clone(&self.parts.authorization.get()),
        );
        Ok(client.forward(request).await?.into_inner())
    }

    fn receive(&self, response: ForwardResponse, stands_since: &mut Option<Instant>) {
        if let Some(told) = &response.settings {
            let settings = Arc::new(Settings::new(told));
            self.forwarder.settings.store(Some(settings));
            if stands_since.is_none() {
                *stands_since = Some(clock::now());
                self.parts.readiness.set(STREAM, true);
                info!("stream for inbound requests stands");
            }
        }
        if !response.answers.is_empty() {
            self.hand_out(response.answers);
        }
    }

    /// Gives answers to those who wait for them. They are woken when the book is free again.
    fn hand_out(&self, answers: Vec<ForwardedAnswer>) {
        let mut book = self.forwarder.book.lock();
        let waiting = answers.into_iter().filter_map(|answer| {
            let sender = book.answered(answer.number)?;
            Some((sender, answer))
        });
        let waiting: Vec<_> = waiting.collect();
        drop(book);
        for (sender, answer) in waiting {
            // Who asked may have gone in this moment.
            let _gone = sender.send(answer);
        }
    }

    /// There is no stream any more.
    fn ended(&self) {
        self.parts.readiness.set(STREAM, false);
        self.forwarder.settings.store(None);
        self.forwarder.change(super::book::Book::close);
    }
}
