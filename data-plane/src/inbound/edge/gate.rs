//! One request from its head to its answer, whichever version of HTTP it came by.
//!
//! Judged in this order: what the head says, whether there is a control plane, how long the body says it is, whether
//! there is a place. Only then is the body read, and only as fast as it can be passed on.

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use posthorn::node::v1::{ForwardedAnswer, ForwardedRequest};
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::{
    admission::{Admission, Room},
    body::Body,
    client_address::{TrustedProxy, client_address},
    crowd::Crowd,
    head::{Accepted, Head, Length},
    host::Hosts,
    intake::{Intake, Taken},
    limits::Limits,
    metrics::EdgeMetrics,
    pace::Pace,
    refusal::Refusal,
    request_id::{REQUEST_ID, RequestId, RequestIds},
    target,
    unfit::Unfit,
};
use crate::{
    clock,
    inbound::forward::{Forwarder, Held, SourceSettings, Waiting},
};

/// What every connection has in common.
pub(super) struct Gate {
    pub(super) limits: Limits,
    pub(super) crowd: Arc<Crowd>,
    pub(super) hosts: Hosts,
    pub(super) trusted_proxies: Vec<TrustedProxy>,
    pub(super) admission: Arc<Admission>,
    pub(super) forwarder: Arc<Forwarder>,
    pub(super) request_ids: RequestIds,
    pub(super) metrics: EdgeMetrics,
}

/// What a client is told.
#[derive(Debug)]
pub(super) enum Answer {
    /// What the control plane says.
    Given(Given),
    /// What the edge says.
    Refused(Refusal, RequestId),
    /// Nothing: the client went.
    Gone,
}

/// An answer of the control plane, fit to be sent.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) status: StatusCode,
    pub(super) fields: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Bytes,
}

impl Gate {
    /// Answers a request whose head has just come. The body is read as far as the answer needs it.
    pub(super) async fn answer(
        &self,
        head: Head,
        length: Length,
        body: &mut impl Body,
        peer: IpAddr,
    ) -> Answer {
        let head_at = clock::now();
        match self.ask(head, length, body, peer, head_at).await {
            Ok(given) => {
                let took = clock::now().saturating_duration_since(head_at);
                self.metrics.answered(given.status, took);
                Answer::Given(self.named(given))
            }
            Err(Unfit::Refused(refusal)) => self.refused(refusal),
            Err(Unfit::Gone) => {
                self.metrics.gone.inc();
                Answer::Gone
            }
        }
    }

    /// The answer of a refusal, with a name. There may not even have been a head.
    pub(super) fn refused(&self, refusal: Refusal) -> Answer {
        self.metrics.refused(refusal);
        let id = self.request_ids.next();
        debug!(request_id = %id, reason = refusal.label(), "request {id} is refused");
        Answer::Refused(refusal, id)
    }

    /// What the control plane answered before it had a record has a name too.
    fn named(&self, mut given: Given) -> Given {
        if !given.fields.iter().any(|(name, _)| *name == REQUEST_ID) {
            let id = self.request_ids.next();
            debug!(request_id = %id, status = given.status.as_u16(), "request {id} is answered without a record");
            let value = HeaderValue::from_str(id.as_str());
            given.fields.extend(value.map(|value| (REQUEST_ID, value)));
        }
        given
    }

    async fn ask(
        &self,
        head: Head,
        length: Length,
        body: &mut impl Body,
        peer: IpAddr,
        head_at: Instant,
    ) -> Result<Given, Unfit> {
        let accepted = head.accept(length, &self.hosts)?;
        let source = self.source(&accepted)?;
        if let Length::Known(bytes) = length
            && bytes > source.body_bytes_max
        {
            return Err(Refusal::BodyLong.into());
        }
        let _place = self.admission.place(accepted.source)?;
        let mut intake = self.intake(body, &source);
        let first = intake.first().await?;
        let (more, room) = (first.more, hold(first.room));
        let request = self.request(head, accepted, first.bytes, more, peer);
        let mut waiting = self.forwarder.begin(request, room, head_at)?;
        if more && let Some(early) = upload(&mut intake, &mut waiting, &source).await? {
            return given(early);
        }
        let answer = timeout(source.answer_within, waiting).await;
        given(answer.map_err(|_| Refusal::Late)??)
    }

    fn source(&self, accepted: &Accepted) -> Result<SourceSettings, Refusal> {
        let settings = self.forwarder.settings();
        let settings = settings.as_ref().ok_or(Refusal::Away)?;
        Ok(settings.of(accepted.source))
    }

    fn intake<'a, B: Body>(&self, body: &'a mut B, source: &SourceSettings) -> Intake<'a, B> {
        let whole = self.limits.times.body.min(source.body_within);
        let pace = Pace::new(whole, self.limits.body_bytes_per_second);
        Intake::new(body, source.body_bytes_max, pace, self.admission.clone())
    }

    fn request(
        &self,
        head: Head,
        accepted: Accepted,
        body: Bytes,
        more: bool,
        peer: IpAddr,
    ) -> ForwardedRequest {
        let client = client_address(peer, &self.trusted_proxies, &head);
        ForwardedRequest {
            // Both are filled in where requests leave.
            number: 0,
            age_ms: 0,
            source_id: target::source_text(&accepted.path_query).to_owned(),
            method: head.method.as_str().to_owned(),
            path_query: accepted.path_query,
            headers: head.fields,
            body,
            more,
            remote_address: client.to_string(),
        }
    }
}

/// Passes on the parts of a long body one after the other. An answer that comes before its end is the answer. A control
/// plane that takes no part for as long as an answer may take is too late.
async fn upload<B: Body>(
    intake: &mut Intake<'_, B>,
    waiting: &mut Waiting,
    source: &SourceSettings,
) -> Result<Option<ForwardedAnswer>, Unfit> {
    loop {
        let Taken { bytes, room, more } = tokio::select! {
            biased;
            answer = &mut *waiting => return Ok(Some(answer?)),
            taken = intake.next() => taken?,
        };
        let left = waiting.part(bytes, more, hold(room));
        tokio::select! {
            biased;
            answer = &mut *waiting => return Ok(Some(answer?)),
            left = timeout(source.answer_within, left) => {
                // That it never leaves cannot be before the answer does.
                let _left = left.map_err(|_| Refusal::Late)?;
            }
        }
        if !more {
            return Ok(None);
        }
    }
}

fn hold(room: Option<Room>) -> Option<Held> {
    room.map(|room| Box::new(room) as Held)
}

/// Makes an answer fit to be sent. Headers that HTTP itself sets, and those that are none, are left out.
fn given(answer: ForwardedAnswer) -> Result<Given, Unfit> {
    let status = u16::try_from(answer.status).ok();
    let status = status.filter(|status| (200..=599).contains(status));
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let fields = answer.headers.into_iter().filter_map(|field| {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(field.value).ok()?;
        let is_http = SET_BY_HTTP.contains(&name.as_str());
        (!is_http).then_some((name, value))
    });
    Ok(Given {
        status: status.ok_or(Refusal::Lost)?,
        fields: fields.collect(),
        body: answer.body,
    })
}

/// Headers that no answer of the control plane decides.
const SET_BY_HTTP: [&str; 9] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
