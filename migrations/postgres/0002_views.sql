-- Views for reports: words for numbers, ids as callers know them, instants as such. They are what people may query;
-- tables change with each version. The columns of a view stay: what is new comes after them.
--
-- A view is fast by the columns that are called `..._uuid`: `where event_uuid >= posthorn_uuid_at(now() - interval
-- '1 day')` reads that day only, and `where event_uuid = posthorn_uuid('evt_...')` one event.


-- The id as callers know it: a prefix and 26 digits of base 32 (TypeID, https://github.com/jetify-com/typeid).
create function posthorn_id(prefix text, id uuid) returns text
    language sql immutable strict parallel safe
    return prefix || '_' || (
        select string_agg(
                   substr('0123456789abcdefghjkmnpqrstvwxyz', 1 + substring(bits from 5 * place + 1 for 5)::integer, 1),
                   '' order by place
               )
        from generate_series(0, 25) as place,
             (select b'00' || ('x' || replace(id::text, '-', ''))::bit(128)) as read (bits)
    );

-- What the tables hold for such an id.
create function posthorn_uuid(id text) returns uuid
    language sql immutable strict parallel safe
    return (
        select string_agg(
                   lpad(to_hex(substring(bits from 32 * word + 1 for 32)::bit(32)::integer), 8, '0'),
                   '' order by word
               )
        from generate_series(0, 3) as word, (
            select substring(
                       string_agg((strpos('0123456789abcdefghjkmnpqrstvwxyz', digit) - 1)::bit(5)::text, '' order by place)
                       from 3
                   )::bit(128)
            from string_to_table(right(id, 26), null) with ordinality as digits (digit, place)
        ) as read (bits)
    )::uuid;

-- The first id that can have been made at this instant.
create function posthorn_uuid_at(instant timestamptz) returns uuid
    language sql immutable strict parallel safe
    return rpad(lpad(to_hex((extract(epoch from instant) * 1000)::bigint), 12, '0'), 32, '0')::uuid;

-- When an id was made.
create function posthorn_time(id uuid) returns timestamptz
    language sql immutable strict parallel safe
    return to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0);

-- The event of a delivery: the same id, without the place in the fan-out, which is its last 14 bits.
create function posthorn_event(delivery_id uuid) returns uuid
    language sql immutable strict parallel safe
    return (
        left(delivery_id::text, 32)
        || lpad(to_hex(('x' || right(delivery_id::text, 4))::bit(16)::integer & 49152), 4, '0')
    )::uuid;


-- Events, without their payloads.
create view v_event as
    select posthorn_id('evt', event_id) as event_id,
           event_id as event_uuid,
           posthorn_id('tnt', tenant_id) as tenant_id,
           event_type,
           content_type,
           length(payload) as payload_bytes,
           to_timestamp(occurred_at / 1000.0) as occurred_at,
           posthorn_time(event_id) as created_at,
           delivery_count,
           posthorn_id('src', source_id) as source_id
    from event;

-- Deliveries: open ones from their table, ended ones from the logs that ended them.
create view v_delivery as
    select posthorn_id('dlv', delivery_id) as delivery_id,
           delivery_id as delivery_uuid,
           posthorn_id('evt', posthorn_event(delivery_id)) as event_id,
           posthorn_id('ep', endpoint_id) as endpoint_id,
           posthorn_id('tnt', tenant_id) as tenant_id,
           case state when 1 then 'pending' when 2 then 'dead' when 3 then 'delivered'
               when 4 then 'cancelled' end as state,
           attempt_count,
           to_timestamp(next_attempt_at / 1000.0) as next_attempt_at,
           to_timestamp(ended_at / 1000.0) as ended_at,
           case dead_reason when 1 then 'attempts_exhausted' when 2 then 'rejected' when 3 then 'gone'
               when 4 then 'lease_lost' end as dead_reason
    from (
        select delivery_id, endpoint_id, tenant_id, state, attempt_count,
               case when state = 1 then next_attempt_at end as next_attempt_at, dead_at as ended_at, dead_reason
        from delivery
        union all
        select delivery_id, endpoint_id, tenant_id, 3, max(number), null, min(started_at + duration_ms), null
        from attempt a
        where succeeded
          and not exists (
              select 1 from delivery_action x
              where x.shard = a.shard and x.delivery_id = a.delivery_id and x.kind in (3, 4, 5)
          )
        group by delivery_id, endpoint_id, tenant_id
        union all
        select delivery_id, endpoint_id, tenant_id, 4, max(attempt_count), null, max(acted_at), null
        from delivery_action
        where kind in (3, 4, 5)
        group by delivery_id, endpoint_id, tenant_id
    ) as every;

-- Attempts, without what was answered.
create view v_attempt as
    select posthorn_id('dlv', delivery_id) as delivery_id,
           delivery_id as delivery_uuid,
           number,
           posthorn_id('evt', posthorn_event(delivery_id)) as event_id,
           posthorn_id('ep', endpoint_id) as endpoint_id,
           posthorn_id('tnt', tenant_id) as tenant_id,
           succeeded,
           status_code,
           case error_kind when 1 then 'dns_error' when 2 then 'connection_refused'
               when 3 then 'connection_reset' when 4 then 'connection_closed'
               when 5 then 'tls_error' when 6 then 'timeout' when 7 then 'protocol_error'
               when 8 then 'response_too_large' when 9 then 'target_not_allowed'
               when 10 then 'http_3xx' when 11 then 'http_4xx' when 12 then 'http_5xx'
               when 13 then 'handler_failed' when 14 then 'other'
               when 15 then 'dns_no_such_name' when 16 then 'dns_no_answer'
               when 17 then 'host_unreachable' when 18 then 'connect_timeout'
               when 19 then 'local_error' when 20 then 'tls_certificate_expired'
               when 21 then 'tls_certificate_not_yet_valid' when 22 then 'tls_unknown_issuer'
               when 23 then 'tls_incomplete_chain' when 24 then 'tls_wrong_name'
               when 25 then 'tls_no_common_protocol' when 26 then 'tls_client_certificate_wanted'
               when 27 then 'tls_not_tls' when 28 then 'tls_closed'
               when 29 then 'tls_timeout' when 30 then 'answer_timeout'
               when 31 then 'answer_not_http' when 32 then 'answer_malformed'
               when 33 then 'unexpected_status' when 34 then 'http2_error' end as error_kind,
           to_timestamp(started_at / 1000.0) as started_at,
           duration_ms,
           case holder_kind when 1 then posthorn_id('node', holder_id)
               else posthorn_id('con', holder_id) end as holder_id,
           late
    from attempt;

-- Endpoints.
create view v_endpoint as
    select posthorn_id('ep', object_id) as endpoint_id,
           object_id as endpoint_uuid,
           posthorn_id('tnt', tenant_id) as tenant_id,
           name,
           (settings::json ->> 'url') as url,
           case state when 1 then 'enabled' when 2 then 'paused' when 3 then 'disabled' end as state,
           state_reason,
           to_timestamp(created_at / 1000.0) as created_at,
           to_timestamp(updated_at / 1000.0) as updated_at
    from object
    where kind = 1;

-- What providers posted, or polling found, without bodies and headers.
create view v_inbound_request as
    select posthorn_id('in', request_id) as inbound_request_id,
           request_id as inbound_request_uuid,
           posthorn_id('tnt', tenant_id) as tenant_id,
           posthorn_id('src', source_id) as source_id,
           case verdict when 1 then 'accepted' when 2 then 'duplicate' when 3 then 'conflict'
               when 4 then 'rejected' when 5 then 'quarantined' end as verdict,
           reason,
           case channel when 1 then 'webhook' when 2 then 'poll' end as channel,
           provider_event_id,
           event_type,
           posthorn_id('in', original_id) as original_id,
           body_bytes,
           remote_address,
           to_timestamp(received_at / 1000.0) as received_at,
           answer_status,
           held,
           posthorn_id('in', batch_id) as batch_id
    from inbound_request;

-- Who changed what, what was denied to whom, and what Posthorn did by itself.
create view v_audit as
    select posthorn_id('aud', audit_id) as audit_id,
           audit_id as audit_uuid,
           to_timestamp(recorded_at / 1000.0) as recorded_at,
           posthorn_id('tnt', tenant_id) as tenant_id,
           posthorn_id('key', key_id) as key_id,
           claimed_actor,
           method,
           target,
           reason,
           request_id,
           case outcome when 1 then 'done' when 2 then 'denied' end as outcome,
           changes
    from audit;
