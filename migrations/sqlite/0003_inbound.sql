-- Inbound: sources, what providers posted to them, and the events that came of it. Instants are milliseconds since 1970.

create table source (
    source_id blob primary key,
    -- No cascade: a tenant with sources cannot be deleted.
    tenant_id blob not null references tenant,
    -- A copy of the name in the settings, for its constraint.
    name text check (name <> ''),
    -- What the owner decides, as JSON, without secrets.
    settings text not null,
    -- 1 enabled, 2 paused, 3 disabled.
    state integer not null check (state in (1, 2, 3)),
    state_reason text not null,
    -- Rises with every change; the etag.
    version integer not null check (version > 0),
    created_at integer not null,
    updated_at integer not null
) strict;
create unique index source_name_key on source (tenant_id, name) where name is not null;
create index source_tenant_id_idx on source (tenant_id, source_id);

create table source_secret (
    secret_id blob primary key,
    tenant_id blob not null references tenant on delete cascade,
    source_id blob not null references source on delete cascade,
    -- 3 requests are verified with it, 4 polling sends it.
    purpose integer not null check (purpose in (3, 4)),
    -- The master key that it is sealed under; the same as in the record.
    kek_id text not null check (length(kek_id) = 8),
    -- The record that the vault wrote.
    sealed blob not null check (length(sealed) > 0),
    -- Tells two secrets apart: 8 hexadecimal digits of a keyed hash.
    fingerprint text not null check (length(fingerprint) = 8),
    -- Until when a former secret is accepted. Null: it is a current one.
    retires_at integer,
    created_at integer not null
) strict;
create index source_secret_source_id_idx on source_secret (source_id);
create index source_secret_tenant_id_idx on source_secret (tenant_id);
create index source_secret_kek_id_idx on source_secret (kek_id);
create index source_secret_retires_at_idx on source_secret (retires_at) where retires_at is not null;

-- The state of polling, one row for each source that is polled.
create table poll (
    source_id blob primary key references source on delete cascade,
    -- What the next pull sends; empty at first.
    cursor text not null,
    polled_at integer,
    next_poll_at integer not null,
    failures integer not null check (failures >= 0),
    last_error text not null
) strict;

-- Every request that was kept. The id is also that of the event that an accepted request became. With a rowid, as heads
-- and bodies are long.
create table inbound_request (
    shard integer not null,
    request_id blob not null,
    tenant_id blob not null,
    source_id blob not null,
    -- posthorn.v1.Verdict.
    verdict integer not null check (verdict between 1 and 5),
    reason text not null,
    -- posthorn.v1.InboundChannel.
    channel integer not null check (channel in (1, 2)),
    -- SHA-256 of the provider's id of the event, or of the body when it has none.
    claim blob not null check (length(claim) = 32),
    provider_event_id text not null,
    event_type text not null,
    -- The accepted request that a duplicate or a conflict repeats.
    original_id blob,
    body_hash blob not null check (length(body_hash) = 32),
    body_bytes integer not null,
    -- Method, path and the headers that are kept, as JSON.
    head text not null,
    remote_address text not null,
    received_at integer not null,
    answer_status integer not null,
    -- The answer that a consumer computed, as JSON.
    answer text,
    held integer not null default 0,
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

-- The bodies that are in no event: of what was not accepted, and copies of what is under a legal hold.
create table inbound_body (
    shard integer not null,
    request_id blob not null,
    body blob not null,
    primary key (shard, request_id)
);

-- Append-only: what operators did to inbound requests, reads of bodies among it.
create table inbound_action (
    shard integer not null,
    request_id blob not null,
    acted_at integer not null,
    action_id blob not null,
    -- posthorn.v1.InboundActionKind.
    kind integer not null,
    tenant_id blob not null,
    key_id blob not null,
    reason text not null,
    -- The event that a replay made.
    event_id blob,
    primary key (shard, request_id, acted_at, action_id)
) without rowid;

-- Events again, with the source that brought one and the provider's headers that go out with it, as JSON. Now with a
-- rowid: without one, a row of more than a quarter of a page goes to overflow pages of its own.
create table event_new (
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
    source_id blob,
    headers text,
    primary key (shard, event_id)
);
insert into event_new (shard, event_id, tenant_id, event_type, payload, content_type, occurred_at, delivery_count,
                       traceparent)
select shard, event_id, tenant_id, event_type, payload, content_type, occurred_at, delivery_count, traceparent
from event order by shard, event_id;
drop table event;
alter table event_new rename to event;

-- Roles: 32 consumer. SQLite cannot change a check, so the table is written anew.
create table api_key_new (
    key_id blob primary key,
    -- Null: a key of the whole installation.
    tenant_id blob references tenant on delete cascade,
    name text not null check (name <> ''),
    -- A sum: 1 admin, 2 operator, 4 emitter, 8 viewer, 16 node, 32 consumer.
    roles integer not null check (roles between 1 and 63),
    -- SHA-256 of the whole text, which holds 256 random bits.
    hash blob not null check (length(hash) = 32),
    created_at integer not null,
    -- Null: never.
    expires_at integer,
    revoked_at integer,
    -- A node serves every tenant, so its key (bit 16) is never a tenant's.
    check (tenant_id is null or roles & 16 = 0)
) strict;
insert into api_key_new (key_id, tenant_id, name, roles, hash, created_at, expires_at, revoked_at)
select key_id, tenant_id, name, roles, hash, created_at, expires_at, revoked_at from api_key;
drop table api_key;
alter table api_key_new rename to api_key;
create index api_key_tenant_id_idx on api_key (tenant_id, key_id);
