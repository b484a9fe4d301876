//! One request, from what was posted to what its provider hears.

use std::sync::Arc;

use posthorn_verify::{Context, Fetched, Handshaken, KeyRequest, Refusal, Verifier};
use sha2::{Digest as _, Sha256};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};
use uuid::Uuid;

use super::{
    Inbound,
    arrivals::arrivals,
    content::{Content, examine},
    judge::{ADDRESS, Proof, Refused, prove, refuse_stranger, refused, secrets},
    posted::Posted,
    record::{Outcome, record},
    reply,
};
use crate::{
    cdn_loop::{CDN_LOOP, PASSES_MAX},
    clock,
    dispatch::Received,
    error::Error,
    model::{
        id::{InboundId, Shard, SourceId},
        inbound::{InboundRequest, Verdict},
        object::ObjectState,
        source::{Answer, BODY_BYTES_DEFAULT, LiveSource},
    },
};

/// A body that takes about a millisecond to be judged, in bytes.
const LONG_BYTES: usize = 256 * 1_024;

/// The answer to a body that is longer than its source takes.
const TOO_LONG: Refused = Refused::counted(413, "body_too_long");

/// What came of a judgement.
#[derive(Debug)]
pub(crate) enum Judgement {
    /// It is genuine, and an event.
    Genuine(Content),
    /// It is a handshake, and no event.
    Handshake,
    /// It is refused.
    Refused(Refused),
}

impl Inbound {
    /// Judges what was posted to a source, keeps it, and says what the provider is answered. `source` is as the path has
    /// it. Dropped, it stops: what has not begun to be committed is not kept.
    pub(super) async fn take(&self, source: &str, posted: Posted) -> Answer {
        let registry = self.0.core.registry.snapshot();
        let id = source.parse::<SourceId>().ok();
        let live = id.and_then(|id| registry.source(id)).map(Arc::clone);
        let is_sealed = id.is_some_and(|id| registry.is_source_sealed(id));
        drop(registry);
        let verifier = live.as_ref().and_then(|live| live.verifier.as_ref());
        let mut rng = self.0.core.rng();
        let shard = live.as_ref().map(|live| live.source.shard);
        let shard = shard.unwrap_or_else(|| stranger_shard(source));
        let id = InboundId::new(posted.received_at, shard, &mut rng);
        let (Some(live), Some(verifier)) = (&live, verifier) else {
            let refused = if is_sealed {
                Refused::counted(503, "sealed")
            } else if exceeds(&posted, BODY_BYTES_DEFAULT) {
                TOO_LONG
            } else {
                refuse_stranger(&posted)
            };
            self.count_refusal(refused.reason);
            return reply::named(reply::refusal(&refused), id);
        };
        let taking = Taking {
            inbound: self,
            live,
            verifier,
            posted: &posted,
            id,
        };
        let answer = match taking.take().await {
            Ok(answer) => answer,
            Err(refused) => taking.refuse(refused),
        };
        reply::named(answer, id)
    }

    /// Judges a request to a source without keeping anything: not its state, not its rate.
    pub(crate) async fn judge(&self, live: &LiveSource, posted: &Posted) -> Judgement {
        let Some(verifier) = &live.verifier else {
            return Judgement::Refused(Refused::counted(401, "unknown_source"));
        };
        let taking = Taking {
            inbound: self,
            live,
            verifier,
            posted,
            // Nothing is kept under it.
            id: InboundId::from_uuid(Uuid::nil()),
        };
        let proof = taking.prove().await;
        match proof {
            Proof::Genuine | Proof::Late => match taking.examine(&proof) {
                Ok(content) => Judgement::Genuine(content),
                Err(refused) => Judgement::Refused(refused),
            },
            Proof::Handshake(_) => Judgement::Handshake,
            Proof::NeedsKey(_) => Judgement::Refused(refused(verifier, Refusal::KeyNotFetched)),
            Proof::UnknownKey(_) => Judgement::Refused(refused(verifier, Refusal::UnknownKey)),
            Proof::Refused(refused) => Judgement::Refused(refused),
        }
    }
}

/// What stands for the shard in the name of a request to no source: the same for the same path, as that of a source is.
fn stranger_shard(source: &str) -> Shard {
    Shard(Sha256::digest(source)[0])
}

fn exceeds(posted: &Posted, bytes_max: u32) -> bool {
    u32::try_from(posted.body.len()).map_or(true, |bytes| bytes > bytes_max)
}

/// A request on its way.
#[derive(Clone, Copy)]
struct Taking<'a> {
    inbound: &'a Inbound,
    live: &'a LiveSource,
    verifier: &'a Verifier,
    posted: &'a Posted,
    /// What it is called by: in the answer, in the log, and by its record if it is kept.
    id: InboundId,
}

impl Taking<'_> {
    async fn take(self) -> Result<Answer, Refused> {
        let bytes_max = self.live.source.settings.body_bytes_max;
        // A limit below that of every path says that there is such a source, so it applies after the proof.
        if exceeds(self.posted, bytes_max.max(BODY_BYTES_DEFAULT)) {
            return Err(TOO_LONG);
        }
        let marks = self.posted.headers.get_all(CDN_LOOP);
        if self.inbound.0.core.loop_mark.passes(marks) >= PASSES_MAX {
            return Err(self.looped());
        }
        let proof = self.prove().await;
        match proof {
            Proof::Genuine | Proof::Late if exceeds(self.posted, bytes_max) => {
                return Err(Refused::unfit(TOO_LONG.status, TOO_LONG.reason));
            }
            Proof::Genuine | Proof::Late => self.admit()?,
            Proof::Handshake(handshaken) => return self.shake_hands(handshaken).await,
            Proof::NeedsKey(_) => return Err(refused(self.verifier, Refusal::KeyNotFetched)),
            Proof::UnknownKey(_) => return Err(refused(self.verifier, Refusal::UnknownKey)),
            Proof::Refused(refused) => return Err(refused),
        }
        let content = self.at_work(|| self.examine(&proof))?;
        self.receive(content).await
    }

    /// Looks into a genuine request. One that is late is taken only where a repeat of it would be known.
    fn examine(self, proof: &Proof) -> Result<Content, Refused> {
        let content = examine(
            (self.live, self.verifier),
            &self.inbound.0.core.loop_mark,
            self.posted,
        )?;
        if matches!(proof, Proof::Late) && !content.is_claimed() {
            return Err(refused(self.verifier, Refusal::Stale));
        }
        Ok(content)
    }

    /// The answer to what went out so often that it goes round.
    fn looped(self) -> Refused {
        let source_id = self.live.source.id;
        if self.tells() {
            tracing::warn!(%source_id, "a request to source {source_id} went out from this installation {PASSES_MAX} times: an endpoint leads back to it");
        }
        Refused::counted(508, "loop")
    }

    /// Judges who sent it, with whatever key has to be fetched for that.
    async fn prove(self) -> Proof {
        let proof = |fetched: &[Fetched]| {
            self.at_work(|| prove(self.live, self.verifier, self.posted, fetched))
        };
        let first = proof(&[]);
        let Proof::NeedsKey(key) = first else {
            return first;
        };
        let keys = &self.inbound.0.keys;
        let Some(fetched) = keys.get(self.live.source.id, &key).await else {
            return Proof::NeedsKey(key);
        };
        let second = proof(std::slice::from_ref(&fetched));
        let Proof::UnknownKey(key) = second else {
            return second;
        };
        match self.renewed(&key, &fetched).await {
            Some(renewed) => proof(&[renewed]),
            None => Proof::UnknownKey(key),
        }
    }

    /// Does what takes time in proportion to the body. With a long body others must not wait for it on this thread.
    fn at_work<T>(self, work: impl FnOnce() -> T) -> T {
        let may_block = Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread;
        if may_block && self.posted.body.len() > LONG_BYTES {
            block_in_place(work)
        } else {
            work()
        }
    }

    async fn renewed(self, key: &KeyRequest, former: &Fetched) -> Option<Fetched> {
        let keys = &self.inbound.0.keys;
        keys.renewed(self.live.source.id, key, former).await
    }

    /// Whether the source takes a genuine request now.
    fn admit(self) -> Result<(), Refused> {
        let source = &self.live.source;
        match source.state {
            ObjectState::Enabled => {}
            ObjectState::Paused => return Err(Refused::counted(503, "paused")),
            ObjectState::Disabled => return Err(Refused::counted(410, "disabled")),
        }
        let meters = &self.inbound.0.meters;
        match source.settings.rate_per_second {
            Some(rate) if !meters.admit(source.id, rate, clock::monotonic()) => {
                Err(Refused::counted(429, "rate"))
            }
            _ => Ok(()),
        }
    }

    async fn receive(self, content: Content) -> Result<Answer, Refused> {
        let (answer, since) = (self.accepted(), self.posted.complete_at);
        let (source, inbound) = (&self.live.source, &self.inbound.0);
        let synchronous = source.settings.synchronous.as_ref();
        let fallback = synchronous.and_then(|synchronous| synchronous.fallback.clone());
        let answer = fallback.unwrap_or(answer);
        let request = self.record(Outcome {
            verdict: Verdict::Accepted,
            reason: "",
            answer_status: answer.status,
        });
        let id = request.id;
        let wait = synchronous.map(|synchronous| self.inbound.open_wait(id, synchronous, since));
        let content = self.inbound.as_taken(self.live, content);
        let body = self.posted.body.clone();
        let mut rng = inbound.core.rng();
        let arrivals =
            self.at_work(|| arrivals(request, &source.settings, content, body, &mut rng));
        let received = inbound.dispatch.receive(arrivals).await;
        let received = received.map_err(|error| self.not_received(error))?;
        self.count(match received {
            Received::Accepted { .. } => Verdict::Accepted,
            Received::Duplicate { .. } => Verdict::Duplicate,
            Received::Conflict { .. } => Verdict::Conflict,
        });
        match &received {
            Received::Conflict { original, .. }
            | Received::Accepted {
                conflict: Some(original),
                ..
            } => self.warn_of_conflict(*original),
            Received::Accepted { .. } | Received::Duplicate { .. } => {}
        }
        Ok(match (wait, synchronous) {
            (Some(wait), Some(synchronous)) => {
                let inbound = self.inbound;
                let computed = inbound.computed(id, received, wait, synchronous, since);
                computed.await.unwrap_or(answer)
            }
            _ => answer,
        })
    }

    /// What a request that is accepted is answered, and its repeats.
    fn accepted(self) -> Answer {
        if let Some(answer) = &self.live.source.settings.answer {
            return answer.clone();
        }
        let secrets = secrets(self.live, self.posted.received_at);
        let request = self.posted.request(&self.live.url);
        reply::of_scheme(self.verifier.accepted(&Context {
            request: &request,
            secrets: &secrets,
            fetched: &[],
            now_ms: self.posted.received_at,
        }))
    }

    /// Answers a handshake, after whatever it asks for was done.
    async fn shake_hands(self, handshaken: Handshaken) -> Result<Answer, Refused> {
        if let Some(secret) = &handshaken.capture {
            self.inbound.capture(self.live, secret).await?;
        }
        if let Some(url) = handshaken.call_back {
            self.inbound.call_back(self.live.source.id, url).await?;
        }
        self.count_verdict("handshake");
        Ok(reply::of_scheme(handshaken.answer))
    }

    /// Counts a request that is refused, keeps it if it is to be kept, and says what is answered.
    fn refuse(self, refused: Refused) -> Answer {
        let inbound = &self.inbound.0;
        let source_id = self.live.source.id;
        self.inbound.count_refusal(refused.reason);
        if refused.is_mismatch()
            && let Some(count) = inbound.meters.mismatch(source_id, clock::monotonic())
        {
            let reason = refused.reason;
            tracing::warn!(%source_id, count, reason, "more than 20 requests to source {source_id} did not verify within a minute: is its secret right?");
        }
        if refused.reason == ADDRESS && self.tells() {
            let address = &self.posted.remote_address;
            tracing::warn!(%source_id, address, "a request to source {source_id} came from {address}, which may not post");
        }
        if let Some(verdict) = refused.kept {
            self.count(verdict);
            self.keep(refused, verdict);
        }
        reply::refusal(&refused)
    }

    /// Keeps the record of a request that is refused, unless enough are kept.
    fn keep(self, refused: Refused, verdict: Verdict) {
        let inbound = &self.inbound.0;
        let bytes = self.posted.body.len();
        let is_kept = inbound.meters.keep(self.live.source.id, bytes) && {
            let record = self.record(Outcome {
                verdict,
                reason: refused.reason,
                answer_status: refused.status,
            });
            inbound.dispatch.keep(record, self.posted.body.clone())
        };
        if !is_kept {
            self.inbound.count_refusal("not_kept");
            if let Some(count) = inbound.meters.not_kept(clock::monotonic()) {
                tracing::warn!(
                    count,
                    "rejected and quarantined requests are only counted: enough are kept, or too many wait to be"
                );
            }
        }
    }

    fn record(self, outcome: Outcome<'_>) -> InboundRequest {
        let body_hash = self.at_work(|| Sha256::digest(&self.posted.body));
        record((self.live, self.id), self.posted, body_hash.into(), outcome)
    }

    /// Why a request that was to be accepted is not: the provider sends it again.
    fn not_received(self, error: Error) -> Refused {
        let source_id = self.live.source.id;
        match error {
            Error::Exhausted(_) => Refused::counted(503, "overload"),
            Error::Unavailable(_) => Refused::counted(503, "unavailable"),
            error => {
                if self.tells() {
                    let id = self.id;
                    tracing::error!(%source_id, inbound_request_id = %id, error = ?error, "request {id} to source {source_id} could not be taken");
                }
                Refused::counted(503, "unavailable")
            }
        }
    }

    /// Whether something odd about this request is worth a line in the log: so many are in a minute.
    fn tells(self) -> bool {
        let meters = &self.inbound.0.meters;
        meters.tells(self.live.source.id, clock::monotonic())
    }

    fn warn_of_conflict(self, original: InboundId) {
        let source_id = self.live.source.id;
        if self.tells() {
            tracing::warn!(%source_id, inbound_request_id = %original, "source {source_id} sent other content under the id of {original}; it was kept as a conflict");
        }
    }

    fn count(self, verdict: Verdict) {
        self.count_verdict(verdict.as_str());
    }

    fn count_verdict(self, verdict: &'static str) {
        let metrics = &self.inbound.0.core.metrics;
        metrics.count_inbound(self.live.source.id, verdict);
    }
}
