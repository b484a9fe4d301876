-- The registry: tenants, event types, endpoints, keys and sealed secrets. Instants are milliseconds since 1970.
-- These tables are small and change by hand; the data tables refer to them by id only, without foreign keys.

create table tenant (
    tenant_id uuid primary key,
    name text not null constraint tenant_name_key unique check (name <> ''),
    settings text not null,
    version bigint not null check (version > 0),
    created_at bigint not null,
    updated_at bigint not null
);
comment on column tenant.name is 'A copy of the name in the settings, for its constraint.';
comment on column tenant.settings is 'What an admin decides, as JSON.';
comment on column tenant.version is 'Rises with every change; the etag.';

create table event_type (
    tenant_id uuid not null references tenant on delete cascade,
    name text not null check (name <> ''),
    description text not null,
    version bigint not null check (version > 0),
    created_at bigint not null,
    updated_at bigint not null,
    constraint event_type_name_key primary key (tenant_id, name)
);
comment on column event_type.version is 'Rises with every change; the etag.';

create table endpoint (
    endpoint_id uuid primary key,
    tenant_id uuid not null references tenant,
    name text check (name <> ''),
    settings text not null,
    state smallint not null check (state in (1, 2, 3)),
    state_reason text not null,
    version bigint not null check (version > 0),
    created_at bigint not null,
    updated_at bigint not null
);
comment on column endpoint.tenant_id is 'No cascade: a tenant with endpoints cannot be deleted.';
comment on column endpoint.name is 'A copy of the name in the settings, for its constraint.';
comment on column endpoint.settings is 'What the owner decides, as JSON, without secrets.';
comment on column endpoint.state is '1 enabled, 2 paused, 3 disabled.';
comment on column endpoint.version is 'Rises with every change; the etag.';
create unique index endpoint_name_key on endpoint (tenant_id, name) where name is not null;
create index endpoint_tenant_id_idx on endpoint (tenant_id, endpoint_id);

create table api_key (
    key_id uuid primary key,
    tenant_id uuid references tenant on delete cascade,
    name text not null check (name <> ''),
    roles smallint not null check (roles between 1 and 31),
    hash bytea not null check (length(hash) = 32),
    created_at bigint not null,
    expires_at bigint,
    revoked_at bigint,
    -- A node serves every tenant, so its key (bit 16) is never a tenant's.
    check (tenant_id is null or roles < 16)
);
comment on column api_key.tenant_id is 'Null: a key of the whole installation.';
comment on column api_key.roles is 'A sum: 1 admin, 2 operator, 4 emitter, 8 viewer, 16 node.';
comment on column api_key.hash is 'SHA-256 of the whole text, which holds 256 random bits.';
comment on column api_key.expires_at is 'Null: never.';
create index api_key_tenant_id_idx on api_key (tenant_id, key_id);

create table secret (
    secret_id uuid not null,
    version integer not null check (version > 0),
    tenant_id uuid not null references tenant on delete cascade,
    endpoint_id uuid not null references endpoint on delete cascade,
    purpose smallint not null check (purpose in (1, 2)),
    name text not null,
    kek_id text not null check (length(kek_id) = 8),
    sealed bytea not null check (length(sealed) > 0),
    fingerprint text not null check (length(fingerprint) = 8),
    retires_at bigint,
    created_at bigint not null,
    primary key (secret_id, version),
    check ((purpose = 1) = (name = '')),
    check (retires_at is null or purpose = 1)
);
comment on column secret.purpose is '1 a signing key, 2 the value of a header.';
comment on column secret.name is 'The name of the header; empty for a signing key.';
comment on column secret.kek_id is 'The master key that it is sealed under; the same as in the record.';
comment on column secret.sealed is 'The record that the vault wrote.';
comment on column secret.fingerprint is 'Tells two secrets apart: 8 hexadecimal digits of a keyed hash.';
comment on column secret.retires_at is 'Until when a former signing key signs too. Null: it is the current one.';
create unique index secret_current_key on secret (endpoint_id, purpose, name) where retires_at is null;
create index secret_endpoint_id_idx on secret (endpoint_id);
create index secret_tenant_id_idx on secret (tenant_id);
create index secret_kek_id_idx on secret (kek_id);
create index secret_retires_at_idx on secret (retires_at) where retires_at is not null;

create table request (
    key_id uuid not null,
    rpc text not null,
    request_id text not null check (length(request_id) between 1 and 128),
    content_hash bytea not null check (length(content_hash) = 32),
    response bytea not null,
    created_at bigint not null,
    primary key (key_id, rpc, request_id)
);
comment on table request is 'Calls that were made with a request id, so that a repeat changes nothing.';
comment on column request.key_id is 'The caller. Without a foreign key, because a deleted key repeats nothing.';
comment on column request.content_hash is 'SHA-256 of the request, secrets blinded.';
comment on column request.response is 'The encoded response, without secrets. Empty only until its transaction commits.';
create index request_created_at_idx on request (created_at);
