-- The registry: tenants, event types, endpoints, keys and sealed secrets. Instants are milliseconds since 1970.
-- These tables are small and change by hand; the data tables refer to them by id only, without foreign keys.

create table tenant (
    tenant_id blob primary key,
    -- A copy of the name in the settings, for its constraint.
    name text not null constraint tenant_name_key unique check (name <> ''),
    -- What an admin decides, as JSON.
    settings text not null,
    -- Rises with every change; the etag.
    version integer not null check (version > 0),
    created_at integer not null,
    updated_at integer not null
) strict;

create table event_type (
    tenant_id blob not null references tenant on delete cascade,
    name text not null check (name <> ''),
    description text not null,
    -- Rises with every change; the etag.
    version integer not null check (version > 0),
    created_at integer not null,
    updated_at integer not null,
    constraint event_type_name_key primary key (tenant_id, name)
) strict;

create table endpoint (
    endpoint_id blob primary key,
    -- No cascade: a tenant with endpoints cannot be deleted.
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
create unique index endpoint_name_key on endpoint (tenant_id, name) where name is not null;
create index endpoint_tenant_id_idx on endpoint (tenant_id, endpoint_id);

create table api_key (
    key_id blob primary key,
    -- Null: a key of the whole installation.
    tenant_id blob references tenant on delete cascade,
    name text not null check (name <> ''),
    -- A sum: 1 admin, 2 operator, 4 emitter, 8 viewer, 16 node.
    roles integer not null check (roles between 1 and 31),
    -- SHA-256 of the whole text, which holds 256 random bits.
    hash blob not null check (length(hash) = 32),
    created_at integer not null,
    -- Null: never.
    expires_at integer,
    revoked_at integer,
    -- A node serves every tenant, so its key (bit 16) is never a tenant's.
    check (tenant_id is null or roles < 16)
) strict;
create index api_key_tenant_id_idx on api_key (tenant_id, key_id);

create table secret (
    secret_id blob not null,
    version integer not null check (version > 0),
    tenant_id blob not null references tenant on delete cascade,
    endpoint_id blob not null references endpoint on delete cascade,
    -- 1 a signing key, 2 the value of a header.
    purpose integer not null check (purpose in (1, 2)),
    -- The name of the header; empty for a signing key.
    name text not null,
    -- The master key that it is sealed under; the same as in the record.
    kek_id text not null check (length(kek_id) = 8),
    -- The record that the vault wrote.
    sealed blob not null check (length(sealed) > 0),
    -- Tells two secrets apart: 8 hexadecimal digits of a keyed hash.
    fingerprint text not null check (length(fingerprint) = 8),
    -- Until when a former signing key signs too. Null: it is the current one.
    retires_at integer,
    created_at integer not null,
    primary key (secret_id, version),
    check ((purpose = 1) = (name = '')),
    check (retires_at is null or purpose = 1)
) strict;
create unique index secret_current_key on secret (endpoint_id, purpose, name) where retires_at is null;
create index secret_endpoint_id_idx on secret (endpoint_id);
create index secret_tenant_id_idx on secret (tenant_id);
create index secret_kek_id_idx on secret (kek_id);
create index secret_retires_at_idx on secret (retires_at) where retires_at is not null;

-- Calls that were made with a request id, so that a repeat changes nothing.
create table request (
    -- The caller. Without a foreign key, because a deleted key repeats nothing.
    key_id blob not null,
    rpc text not null,
    request_id text not null check (length(request_id) between 1 and 128),
    -- SHA-256 of the request, secrets blinded.
    content_hash blob not null check (length(content_hash) = 32),
    -- The encoded response, without secrets. Empty only until its transaction commits.
    response blob not null,
    created_at integer not null,
    primary key (key_id, rpc, request_id)
) strict;
create index request_created_at_idx on request (created_at);
