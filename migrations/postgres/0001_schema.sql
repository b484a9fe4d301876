-- The schema on PostgreSQL. `sqlite/` has the same tables and columns in the same order, and a test compares the two.
-- Instants are milliseconds since 1970. Numbers that stand for words are those of `control-plane/src/model/`.


-- The registry: tenants, event types, endpoints, sources, keys and sealed secrets. These tables are small and change by
-- hand; the data tables refer to them by id only, without foreign keys.

create table tenant (
    tenant_id uuid not null primary key,
    -- Where its data are.
    shard smallint not null check (shard between 0 and 255),
    -- A copy of the name in the settings, for its constraint.
    name text not null constraint tenant_name_key unique check (name <> ''),
    -- What an admin decides, as JSON.
    settings text not null,
    -- Rises with every change; the etag.
    version bigint not null check (version > 0),
    created_at bigint not null,
    updated_at bigint not null
);

create table event_type (
    tenant_id uuid not null references tenant on delete cascade,
    -- ASCII, and ordered by its bytes, in whatever collation the database is.
    name text collate "C" not null check (name <> ''),
    description text not null,
    -- Rises with every change; the etag.
    version bigint not null check (version > 0),
    created_at bigint not null,
    updated_at bigint not null,
    constraint event_type_name_key primary key (tenant_id, name)
);

-- What a tenant has: endpoints and sources. Each kind is told by its settings; everything else is the same for all.
create table object (
    -- 1 an endpoint, 2 a source.
    kind smallint not null check (kind in (1, 2)),
    object_id uuid not null,
    -- No cascade: a tenant with objects cannot be deleted.
    tenant_id uuid not null references tenant,
    -- A copy of the name in the settings, for its constraint.
    name text check (name <> ''),
    -- What the owner decides, as JSON, without secrets.
    settings text not null,
    -- 1 enabled, 2 paused, 3 disabled.
    state smallint not null check (state between 1 and 3),
    -- Why it is paused or disabled.
    state_reason text not null,
    -- Rises with every change; the etag.
    version bigint not null check (version > 0),
    created_at bigint not null,
    updated_at bigint not null,
    primary key (kind, object_id)
);
create unique index object_name_key on object (kind, tenant_id, name) where name is not null;
create index object_tenant_id_idx on object (tenant_id, kind, object_id);

create table api_key (
    key_id uuid not null primary key,
    -- Null: a key of the whole installation.
    tenant_id uuid references tenant on delete cascade,
    name text not null check (name <> ''),
    -- A sum: 1 admin, 2 operator, 4 emitter, 8 viewer, 16 node, 32 consumer.
    roles smallint not null check (roles between 1 and 63),
    -- SHA-256 of the whole text, which holds 256 random bits.
    hash bytea not null check (length(hash) = 32),
    created_at bigint not null,
    -- Null: never.
    expires_at bigint,
    revoked_at bigint,
    -- A node serves every tenant, so its key (bit 16) is never a tenant's.
    check (tenant_id is null or roles & 16 = 0)
);
create index api_key_tenant_id_idx on api_key (tenant_id, key_id);

-- Secrets of endpoints and of sources, sealed.
create table secret (
    secret_id uuid not null,
    version integer not null check (version > 0),
    tenant_id uuid not null references tenant on delete cascade,
    -- Whose it is.
    owner_kind smallint not null check (owner_kind in (1, 2)),
    owner_id uuid not null,
    -- 1 signing key, 2 value of a header, both of endpoints; 3 requests are verified with it, 4 polling sends it, both of
    -- sources.
    purpose smallint not null check (purpose between 1 and 4),
    -- The name of the header; empty for everything else.
    name text not null,
    -- The master key that it is sealed under; the same as in the record.
    kek_id text not null check (length(kek_id) = 8),
    -- The record that the vault wrote.
    sealed bytea not null check (length(sealed) > 0),
    -- Tells two secrets apart: 8 hexadecimal digits of a keyed hash.
    fingerprint text not null check (length(fingerprint) = 8),
    -- Until when a former secret is good too. Null: it is a current one.
    retires_at bigint,
    created_at bigint not null,
    primary key (secret_id, version),
    check ((owner_kind = 1) = (purpose in (1, 2))),
    check ((purpose = 2) = (name <> '')),
    check (retires_at is null or purpose in (1, 3)),
    foreign key (owner_kind, owner_id) references object (kind, object_id) on delete cascade
);
-- One at a time is current, but of those that requests are verified with.
create unique index secret_current_key on secret (owner_kind, owner_id, purpose, name)
    where retires_at is null and purpose <> 3;
create index secret_owner_id_idx on secret (owner_id, owner_kind);
-- A page of a tenant's endpoints or sources is a range of ids, in which others have secrets too.
create index secret_tenant_id_idx on secret (tenant_id, owner_kind, owner_id);
create index secret_kek_id_idx on secret (kek_id);
create index secret_retires_at_idx on secret (retires_at) where retires_at is not null;

-- The state of polling, one row for each source that is polled. It changes with every pull.
create table poll (
    shard smallint not null,
    source_id uuid not null,
    -- What the next pull sends; empty at first.
    cursor text not null,
    -- What tells the list that it is a cursor of; empty at first.
    list bytea not null check (length(list) in (0, 32)),
    polled_at bigint,
    next_poll_at bigint not null,
    failures integer not null check (failures >= 0),
    last_error text not null,
    primary key (shard, source_id)
);
-- What is polled next.
create index poll_next_poll_at_idx on poll (shard, next_poll_at);

-- Calls that were made with a request id, so that a repeat changes nothing.
create table request (
    -- The caller. Without a foreign key, because a deleted key repeats nothing.
    key_id uuid not null,
    rpc text not null,
    request_id text not null check (length(request_id) between 1 and 128),
    -- SHA-256 of the request, secrets blinded.
    content_hash bytea not null check (length(content_hash) = 32),
    -- The encoded response, without secrets. Empty only until its transaction commits.
    response bytea not null,
    created_at bigint not null,
    -- The shard whose data it changed. Null: it changed the registry.
    shard smallint,
    primary key (key_id, rpc, request_id)
);
create index request_created_at_idx on request (created_at);


-- Events, their open deliveries, and the log of attempts. Every key starts with `shard`, a hash of the tenant, which is
-- also inside every event and delivery id. Ids are UUIDv7: they hold the time of the emit, and a delivery's id is its
-- event's id plus its place in the fan-out, so the deliveries of an event are one range of the primary key.

-- Immutable. Partitioned by the time of the id, a day each; retention drops partitions and never deletes rows.
create table event (
    shard smallint not null,
    event_id uuid not null,
    tenant_id uuid not null,
    event_type text not null,
    -- The bytes as given.
    payload bytea not null,
    content_type text not null,
    -- When it happened, as the emitter said.
    occurred_at bigint not null,
    delivery_count integer not null check (delivery_count between 0 and 16383),
    traceparent text,
    -- The source that brought it.
    source_id uuid,
    -- The provider's headers that go out with it, as JSON.
    headers text,
    -- The batch that brought it.
    batch_id uuid,
    primary key (shard, event_id)
) partition by range (event_id);

-- One row for each idempotency key, kept as long as its event.
create table event_key (
    shard smallint not null,
    tenant_id uuid not null,
    idempotency_key text not null,
    event_id uuid not null,
    -- SHA-256 of type, media type, payload and the emitter's time.
    content_hash bytea not null check (length(content_hash) = 32),
    primary key (shard, tenant_id, idempotency_key)
);

-- Open deliveries only: success removes the row.
create table delivery (
    shard smallint not null,
    delivery_id uuid not null,
    endpoint_id uuid not null,
    tenant_id uuid not null,
    -- 1 pending, 2 dead.
    state smallint not null default 1 check (state in (1, 2)),
    -- Attempts made. Every change is conditional on the value that its lease was granted at.
    attempt_count integer not null default 0 check (attempt_count >= 0),
    -- The attempts made before the last retry by an operator: the schedule starts anew from there.
    attempt_base integer not null default 0 check (attempt_base between 0 and attempt_count),
    next_attempt_at bigint not null,
    dead_at bigint,
    -- 1 attempts exhausted, 2 rejected, 3 gone, 4 lease lost.
    dead_reason smallint check (dead_reason between 1 and 4),
    -- Why the last attempt failed, as in attempt; null: none has been made.
    error_kind smallint,
    status_code smallint,
    -- An operator's retry has not had its attempt yet.
    retry_open boolean not null default false,
    primary key (shard, delivery_id),
    check ((state = 2) = (dead_at is not null)),
    check ((dead_at is null) = (dead_reason is null))
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 20000);
-- Pages in what an endpoint has due, in order.
create index delivery_due on delivery (shard, endpoint_id, next_attempt_at, delivery_id) where state = 1;
-- Dead letters of a tenant, oldest first.
create index delivery_dead on delivery (shard, tenant_id, dead_at, delivery_id) where state = 2;
-- Dead letters of one endpoint, oldest first.
create index delivery_dead_endpoint on delivery (shard, endpoint_id, dead_at, delivery_id) where state = 2;

-- Append-only. The lease is part of the key, so that a late report of a lost lease is logged beside the attempt that
-- replaced it. Partitioned like event, by the id of the delivery.
create table attempt (
    shard smallint not null,
    delivery_id uuid not null,
    number integer not null check (number >= 1),
    lease_id bigint not null,
    endpoint_id uuid not null,
    tenant_id uuid not null,
    succeeded boolean not null,
    status_code smallint,
    -- 1 DNS error, 2 connection refused, 3 reset, 4 closed, 5 TLS error, 6 timeout, 7 protocol error, 8 response too
    -- large, 9 target not allowed, 10 HTTP 3xx, 11 HTTP 4xx, 12 HTTP 5xx, 13 handler failed, 14 other, 15 DNS no
    -- such name, 16 DNS no answer, 17 host unreachable, 18 connect timeout, 19 local error, 20 TLS certificate
    -- expired, 21 TLS certificate not yet valid, 22 TLS unknown issuer, 23 TLS incomplete chain, 24 TLS wrong name,
    -- 25 TLS no common protocol, 26 TLS client certificate wanted, 27 TLS not TLS, 28 TLS closed, 29 TLS timeout, 30
    -- answer timeout, 31 answer not HTTP, 32 answer malformed, 33 unexpected status, 34 HTTP2 error.
    error_kind smallint check (error_kind between 1 and 34),
    started_at bigint not null,
    duration_ms integer not null,
    -- Who made it: 1 a node, 2 a stream of a consumer.
    holder_kind smallint not null check (holder_kind in (1, 2)),
    holder_id uuid not null,
    -- The first bytes of the answer's body, at most 4 KiB.
    excerpt bytea,
    -- The lease had been lost when the report came.
    late boolean not null,
    -- How it went, as a protobuf message; null: not told.
    trace bytea,
    primary key (shard, delivery_id, number, lease_id),
    check (succeeded = (error_kind is null))
) partition by range (delivery_id);
-- Failures of one endpoint, newest first. A success is not in it.
create index attempt_failed on attempt (shard, endpoint_id, started_at desc, delivery_id desc, number desc, lease_id desc)
    where not succeeded;

-- Append-only: what operators did to deliveries, and what ended them other than an attempt.
create table delivery_action (
    shard smallint not null,
    delivery_id uuid not null,
    acted_at bigint not null,
    -- 1 retry, 2 redrive, 3 cancel, 4 discard, 5 expire.
    kind smallint not null check (kind between 1 and 5),
    endpoint_id uuid not null,
    tenant_id uuid not null,
    reason text not null,
    -- The key that it was done with; null: Posthorn itself.
    key_id uuid,
    -- Attempts made when it was done.
    attempt_count integer not null,
    primary key (shard, delivery_id, acted_at, kind)
);


-- What providers posted to sources, or polling found.

-- Every request that was kept, and every item of a batch. The id is also that of the event that an accepted request
-- became.
create table inbound_request (
    shard smallint not null,
    request_id uuid not null,
    tenant_id uuid not null,
    source_id uuid not null,
    -- 1 accepted, 2 duplicate, 3 conflict, 4 rejected, 5 quarantined.
    verdict smallint not null check (verdict between 1 and 5),
    -- Why it was rejected or quarantined.
    reason text not null,
    -- 1 webhook, 2 poll.
    channel smallint not null check (channel in (1, 2)),
    -- 16 bytes that stand for the provider's id of the event, and 16 for what is unique: without that, the request's own
    -- id.
    claim bytea not null check (length(claim) = 32),
    provider_event_id text not null,
    event_type text not null,
    -- The accepted request that a duplicate or a conflict repeats.
    original_id uuid,
    body_hash bytea not null check (length(body_hash) = 32),
    body_bytes integer not null,
    -- Method, path and the headers that are kept, as JSON.
    head text not null,
    remote_address text not null,
    received_at bigint not null,
    answer_status smallint not null,
    -- The answer that a consumer computed, as JSON.
    answer text,
    -- It is under a legal hold.
    held boolean not null default false,
    -- The batch: its own id for a batch, that of the batch for an item of one; null for everything else.
    batch_id uuid,
    primary key (shard, request_id)
);
-- One accepted request for each event of a provider, for as long as records are kept.
create unique index inbound_request_claim on inbound_request (shard, source_id, claim) where verdict = 1;
-- Its repeats, which are found by the provider's id too.
create index inbound_request_repeat on inbound_request (shard, source_id, claim, request_id) where verdict in (2, 3);
-- What goes by age.
create index inbound_request_quarantine on inbound_request (shard, request_id) where verdict in (4, 5);
-- The drift of a source that is polled too.
create index inbound_request_polled on inbound_request (shard, source_id, request_id) where channel = 2 and verdict = 1;
-- A batch and its items, in their order.
create index inbound_request_batch on inbound_request (shard, batch_id, request_id) where batch_id is not null;

-- The bodies that are in no event: of what was not accepted, of batches, and copies of what is under a legal hold.
create table inbound_body (
    shard smallint not null,
    request_id uuid not null,
    body bytea not null,
    primary key (shard, request_id)
);

-- Append-only: what operators did to inbound requests.
create table inbound_action (
    shard smallint not null,
    request_id uuid not null,
    acted_at bigint not null,
    action_id uuid not null,
    -- 1 reverify, 2 replay, 3 hold, 4 release, 5 accept.
    kind smallint not null check (kind between 1 and 5),
    tenant_id uuid not null,
    key_id uuid not null,
    reason text not null,
    -- The event that a replay or an acceptance made.
    event_id uuid,
    primary key (shard, request_id, acted_at, action_id)
);


-- Append-only: who changed what, what was denied to whom, and what Posthorn did by itself.
create table audit (
    audit_id uuid not null primary key,
    -- The shard whose data were changed. Null: it was the registry.
    shard smallint,
    recorded_at bigint not null,
    -- Null: it was about no tenant.
    tenant_id uuid,
    -- The key that called; null: Posthorn itself.
    key_id uuid,
    -- Who the caller claims to be; empty when it does not say.
    claimed_actor text not null,
    -- The name of the call, or of what Posthorn does.
    method text not null check (method <> ''),
    -- What it was done to.
    target text not null,
    reason text not null,
    request_id text not null,
    -- 1 done, 2 denied.
    outcome smallint not null check (outcome in (1, 2)),
    -- A list of fields with their old and new values, as JSON.
    changes text not null,
    check (outcome = 1 or key_id is not null)
);
create index audit_tenant_id_idx on audit (tenant_id, audit_id) where tenant_id is not null;
create index audit_key_id_idx on audit (key_id, audit_id) where key_id is not null;
create index audit_target_idx on audit (target, audit_id) where target <> '';
create index audit_denied_idx on audit (audit_id) where outcome = 2;


-- How many owners the deliveries have had: the upper half of the ids of leases.
create table epoch (
    epoch_id smallint not null primary key check (epoch_id = 1),
    number bigint not null check (number between 0 and 2147483647)
);

insert into epoch (epoch_id, number) values (1, 0);


-- One row that is written now and then, to see whether the database takes writes.
create table heartbeat (
    heartbeat_id smallint not null primary key check (heartbeat_id = 1),
    -- When it was last written.
    beat_at bigint not null,
    -- So much room as the next events may need; only there while a disk that was full is tried again.
    ballast bytea
);
-- It is to take the room that it stands for.
alter table heartbeat alter column ballast set storage external;

insert into heartbeat (heartbeat_id, beat_at) values (1, 0);
