-- Inbound: sources, what providers posted to them, and the events that came of it. Instants are milliseconds since 1970.

create table source (
    source_id uuid primary key,
    tenant_id uuid not null references tenant,
    name text check (name <> ''),
    settings text not null,
    state smallint not null check (state in (1, 2, 3)),
    state_reason text not null,
    version bigint not null check (version > 0),
    created_at bigint not null,
    updated_at bigint not null
);
comment on column source.tenant_id is 'No cascade: a tenant with sources cannot be deleted.';
comment on column source.name is 'A copy of the name in the settings, for its constraint.';
comment on column source.settings is 'What the owner decides, as JSON, without secrets.';
comment on column source.state is '1 enabled, 2 paused, 3 disabled.';
comment on column source.version is 'Rises with every change; the etag.';
create unique index source_name_key on source (tenant_id, name) where name is not null;
create index source_tenant_id_idx on source (tenant_id, source_id);

create table source_secret (
    secret_id uuid primary key,
    tenant_id uuid not null references tenant on delete cascade,
    source_id uuid not null references source on delete cascade,
    purpose smallint not null check (purpose in (3, 4)),
    kek_id text not null check (length(kek_id) = 8),
    sealed bytea not null check (length(sealed) > 0),
    fingerprint text not null check (length(fingerprint) = 8),
    retires_at bigint,
    created_at bigint not null
);
comment on column source_secret.purpose is '3 requests are verified with it, 4 polling sends it.';
comment on column source_secret.kek_id is 'The master key that it is sealed under; the same as in the record.';
comment on column source_secret.sealed is 'The record that the vault wrote.';
comment on column source_secret.fingerprint is 'Tells two secrets apart: 8 hexadecimal digits of a keyed hash.';
comment on column source_secret.retires_at is 'Until when a former secret is accepted. Null: it is a current one.';
create index source_secret_source_id_idx on source_secret (source_id);
create index source_secret_tenant_id_idx on source_secret (tenant_id);
create index source_secret_kek_id_idx on source_secret (kek_id);
create index source_secret_retires_at_idx on source_secret (retires_at) where retires_at is not null;

-- The state of polling, one row for each source that is polled.
create table poll (
    source_id uuid primary key references source on delete cascade,
    -- What the next pull sends; empty at first.
    cursor text not null,
    polled_at bigint,
    next_poll_at bigint not null,
    failures integer not null check (failures >= 0),
    last_error text not null
);

-- Every request that was kept. The id is also that of the event that an accepted request became.
create table inbound_request (
    shard smallint not null,
    request_id uuid not null,
    tenant_id uuid not null,
    source_id uuid not null,
    -- posthorn.v1.Verdict.
    verdict smallint not null check (verdict between 1 and 5),
    reason text not null,
    -- posthorn.v1.InboundChannel.
    channel smallint not null check (channel in (1, 2)),
    -- SHA-256 of the provider's id of the event, or of the body when it has none.
    claim bytea not null check (octet_length(claim) = 32),
    provider_event_id text not null,
    event_type text not null,
    -- The accepted request that a duplicate or a conflict repeats.
    original_id uuid,
    body_hash bytea not null check (octet_length(body_hash) = 32),
    body_bytes integer not null,
    -- Method, path and the headers that are kept, as JSON.
    head text not null,
    remote_address text not null,
    received_at bigint not null,
    answer_status smallint not null,
    -- The answer that a consumer computed, as JSON.
    answer text,
    held boolean not null default false,
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
    shard smallint not null,
    request_id uuid not null,
    body bytea not null,
    primary key (shard, request_id)
);

-- Append-only: what operators did to inbound requests, reads of bodies among it.
create table inbound_action (
    shard smallint not null,
    request_id uuid not null,
    acted_at bigint not null,
    action_id uuid not null,
    -- posthorn.v1.InboundActionKind.
    kind smallint not null,
    tenant_id uuid not null,
    key_id uuid not null,
    reason text not null,
    -- The event that a replay made.
    event_id uuid,
    primary key (shard, request_id, acted_at, action_id)
);

-- The source that brought an event, and the provider's headers that go out with it, as JSON.
alter table event add column source_id uuid;
alter table event add column headers text;

-- Roles: 32 consumer.
alter table api_key drop constraint api_key_roles_check;
alter table api_key drop constraint api_key_check;
alter table api_key add constraint api_key_roles_check check (roles between 1 and 63);
alter table api_key add constraint api_key_check check (tenant_id is null or roles & 16 = 0);
comment on column api_key.roles is 'A sum: 1 admin, 2 operator, 4 emitter, 8 viewer, 16 node, 32 consumer.';
