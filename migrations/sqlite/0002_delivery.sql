-- Events, their open deliveries, and the log of attempts. Every key starts with `shard`, a hash of the tenant, which is
-- also inside every event and delivery id. Ids are UUIDv7: they hold the time of the emit, and a delivery's id is its
-- event's id plus its place in the fan-out, so the deliveries of an event are one range of the primary key.

-- Immutable. Retention deletes by the time of the id, in bounded batches.
create table event (
    shard integer not null,
    event_id blob not null,
    tenant_id blob not null,
    event_type text not null,
    -- The bytes as given.
    payload blob not null,
    content_type text not null,
    -- When it happened, as the emitter said; epoch milliseconds.
    occurred_at integer not null,
    delivery_count integer not null check (delivery_count between 0 and 16383),
    traceparent text,
    primary key (shard, event_id)
) without rowid;

-- One row for each idempotency key, kept as long as its event.
create table event_key (
    shard integer not null,
    tenant_id blob not null,
    idempotency_key text not null,
    event_id blob not null,
    -- SHA-256 of type, media type, payload and the emitter's time.
    content_hash blob not null check (length(content_hash) = 32),
    primary key (shard, tenant_id, idempotency_key)
) without rowid;

-- Open deliveries only: success removes the row.
create table delivery (
    shard integer not null,
    delivery_id blob not null,
    endpoint_id blob not null,
    tenant_id blob not null,
    -- 1 pending, 2 dead.
    state integer not null default 1 check (state in (1, 2)),
    -- Attempts made. Every change is conditional on the value that its lease was granted at.
    attempt_count integer not null default 0 check (attempt_count >= 0),
    -- The attempts made before the last retry by an operator: the schedule starts anew from there.
    attempt_base integer not null default 0 check (attempt_base between 0 and attempt_count),
    next_attempt_at integer not null,
    dead_at integer,
    -- posthorn.v1.DeadReason.
    dead_reason integer,
    -- An operator's retry has not had its attempt yet.
    retry_open boolean not null default false,
    primary key (shard, delivery_id),
    check ((state = 2) = (dead_at is not null)),
    check ((dead_at is null) = (dead_reason is null))
) without rowid;

-- Pages in what an endpoint has due, in order.
create index delivery_due on delivery (shard, endpoint_id, next_attempt_at, delivery_id) where state = 1;
-- Dead letters of a tenant, oldest first.
create index delivery_dead on delivery (shard, tenant_id, dead_at, delivery_id) where state = 2;

-- Append-only. The lease is part of the key, so that a late report of a lost lease is logged beside the attempt that
-- replaced it.
create table attempt (
    shard integer not null,
    delivery_id blob not null,
    number integer not null check (number >= 1),
    lease_id integer not null,
    endpoint_id blob not null,
    tenant_id blob not null,
    succeeded boolean not null,
    status_code integer,
    -- posthorn.v1.ErrorKind.
    error_kind integer,
    started_at integer not null,
    duration_ms integer not null,
    node_id blob not null,
    -- The first bytes of the answer's body, at most 4 KiB.
    excerpt blob,
    -- The lease had been lost when the report came.
    late boolean not null,
    primary key (shard, delivery_id, number, lease_id),
    check (succeeded = (error_kind is null))
) without rowid;

-- Append-only: what operators did to deliveries, and what ended them other than an attempt.
create table delivery_action (
    shard integer not null,
    delivery_id blob not null,
    acted_at integer not null,
    -- posthorn.v1.DeliveryActionKind.
    kind integer not null,
    endpoint_id blob not null,
    tenant_id blob not null,
    reason text not null,
    -- The key that it was done with; null: Posthorn itself.
    key_id blob,
    -- Attempts made when it was done.
    attempt_count integer not null,
    primary key (shard, delivery_id, acted_at, kind)
) without rowid;
