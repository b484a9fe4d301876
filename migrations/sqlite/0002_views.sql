-- Views for reports: words for numbers, ids as callers know them, instants as such. They are what people may query;
-- tables change with each version. The columns of a view stay: what is new comes after them. `postgres/` has the same, with
-- functions.
--
-- A view is fast by the columns that are called `..._uuid`, which hold what the tables hold.


-- An id as callers know it is a prefix and 26 digits of base 32 (TypeID, https://github.com/jetify-com/typeid). Each is
-- five of the eight bits of a pair of hexadecimal digits: which pair of those of the id after a 0, and how far to the right.
create view _id_place as
    with recursive places (place) as (select 1 union all select place + 1 from places where place < 26)
    select place, (5 * place - 3) / 4 + 1 as nibble, 3 - (5 * place - 3) % 4 as shift
    from places;

-- The digit that a pair holds there.
create table _id_digit (
    shift integer not null check (shift between 0 and 3),
    pair text not null check (length(pair) = 2),
    digit text not null check (length(digit) = 1),
    primary key (shift, pair)
) strict, without rowid;

insert into _id_digit (shift, pair, digit)
    with recursive
        bytes (byte) as (select 0 union all select byte + 1 from bytes where byte < 255),
        shifts (shift) as (select 0 union all select shift + 1 from shifts where shift < 3)
    select shift, printf('%02X', byte), substr('0123456789abcdefghjkmnpqrstvwxyz', 1 + (byte >> shift & 31), 1)
    from bytes, shifts;


-- Events, without their payloads.
create view v_event as
    select 'evt_' || (
               select group_concat(digit, '') from _id_place cross join _id_digit using (shift)
               where pair = substr('0' || hex(event_id), nibble, 2)
           ) as event_id,
           event_id as event_uuid,
           'tnt_' || (
               select group_concat(digit, '') from _id_place cross join _id_digit using (shift)
               where pair = substr('0' || hex(tenant_id), nibble, 2)
           ) as tenant_id,
           event_type,
           content_type,
           length(payload) as payload_bytes,
           strftime('%Y-%m-%dT%H:%M:%fZ', occurred_at / 1000.0, 'unixepoch') as occurred_at,
           strftime('%Y-%m-%dT%H:%M:%fZ', (
               select sum((instr('0123456789ABCDEF', substr(hex(event_id), 13 - place, 1)) - 1) * (1 << 4 * (place - 1)))
               from _id_place
               where place <= 12
           ) / 1000.0, 'unixepoch') as created_at,
           delivery_count,
           iif(source_id is null, null, 'src_' || (
               select group_concat(digit, '') from _id_place cross join _id_digit using (shift)
               where pair = substr('0' || hex(source_id), nibble, 2)
           )) as source_id
    from event;

-- Deliveries: open ones from their table, ended ones from the logs that ended them.
create view v_delivery as
    select 'dlv_' || (
               select group_concat(digit, '') from _id_place cross join _id_digit using (shift)
               where pair = substr('0' || hex(delivery_id), nibble, 2)
           ) as delivery_id,
           delivery_id as delivery_uuid,
           'evt_' || (
               select group_concat(digit, '') from _id_place cross join _id_digit using (shift)
               where pair = substr('0' || substr(hex(delivery_id), 1, 28)
                   || substr('000044448888CCCC', instr('0123456789ABCDEF', substr(hex(delivery_id), 29, 1)), 1)
                   || '000', nibble, 2)
           ) as event_id,
           'ep_' || (
               select group_concat(digit, '') from _id_place cross join _id_digit using (shift)
               where pair = substr('0' || hex(endpoint_id), nibble, 2)
           ) as endpoint_id,
           'tnt_' || (
               select group_concat(digit, '') from _id_place cross join _id_digit using (shift)
               where pair = substr('0' || hex(tenant_id), nibble, 2)
           ) as tenant_id,
           case state when 1 then 'pending' when 2 then 'dead' when 3 then 'delivered'
               when 4 then 'cancelled' end as state,
           attempt_count,
           strftime('%Y-%m-%dT%H:%M:%fZ', next_attempt_at / 1000.0, 'unixepoch') as next_attempt_at,
           strftime('%Y-%m-%dT%H:%M:%fZ', ended_at / 1000.0, 'unixepoch') as ended_at,
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
    select 'dlv_' || (
               select group_concat(digit, '') from _id_place cross join _id_digit using (shift)
               where pair = substr('0' || hex(delivery_id), nibble, 2)
           ) as delivery_id,
           delivery_id as delivery_uuid,
           number,
           'evt_' || (
               select group_concat(digit, '') from _id_place cross join _id_digit using (shift)
               where pair = substr('0' || substr(hex(delivery_id), 1, 28)
                   || substr('000044448888CCCC', instr('0123456789ABCDEF', substr(hex(delivery_id), 29, 1)), 1)
                   || '000', nibble, 2)
           ) as event_id,
           'ep_' || (
               select group_concat(digit, '') from _id_place cross join _id_digit using (shift)
               where pair = substr('0' || hex(endpoint_id), nibble, 2)
           ) as endpoint_id,
           'tnt_' || (
               select group_concat(digit, '') from _id_place cross join _id_digit using (shift)
               where pair = substr('0' || hex(tenant_id), nibble, 2)
           ) as tenant_id,
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
           strftime('%Y-%m-%dT%H:%M:%fZ', started_at / 1000.0, 'unixepoch') as started_at,
           duration_ms,
           iif(holder_kind = 1, 'node_', 'con_') || (
               select group_concat(digit, '') from _id_place cross join _id_digit using (shift)
               where pair = substr('0' || hex(holder_id), nibble, 2)
           ) as holder_id,
           late
    from attempt;

-- Endpoints.
create view v_endpoint as
    select 'ep_' || (
               select group_concat(digit, '') from _id_place cross join _id_digit using (shift)
               where pair = substr('0' || hex(object_id), nibble, 2)
           ) as endpoint_id,
           object_id as endpoint_uuid,
           'tnt_' || (
               select group_concat(digit, '') from _id_place cross join _id_digit using (shift)
               where pair = substr('0' || hex(tenant_id), nibble, 2)
           ) as tenant_id,
           name,
           (settings ->> 'url') as url,
           case state when 1 then 'enabled' when 2 then 'paused' when 3 then 'disabled' end as state,
           state_reason,
           strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1000.0, 'unixepoch') as created_at,
           strftime('%Y-%m-%dT%H:%M:%fZ', updated_at / 1000.0, 'unixepoch') as updated_at
    from object
    where kind = 1;

-- What providers posted, or polling found, without bodies and headers.
create view v_inbound_request as
    select 'in_' || (
               select group_concat(digit, '') from _id_place cross join _id_digit using (shift)
               where pair = substr('0' || hex(request_id), nibble, 2)
           ) as inbound_request_id,
           request_id as inbound_request_uuid,
           'tnt_' || (
               select group_concat(digit, '') from _id_place cross join _id_digit using (shift)
               where pair = substr('0' || hex(tenant_id), nibble, 2)
           ) as tenant_id,
           'src_' || (
               select group_concat(digit, '') from _id_place cross join _id_digit using (shift)
               where pair = substr('0' || hex(source_id), nibble, 2)
           ) as source_id,
           case verdict when 1 then 'accepted' when 2 then 'duplicate' when 3 then 'conflict'
               when 4 then 'rejected' when 5 then 'quarantined' end as verdict,
           reason,
           case channel when 1 then 'webhook' when 2 then 'poll' end as channel,
           provider_event_id,
           event_type,
           iif(original_id is null, null, 'in_' || (
               select group_concat(digit, '') from _id_place cross join _id_digit using (shift)
               where pair = substr('0' || hex(original_id), nibble, 2)
           )) as original_id,
           body_bytes,
           remote_address,
           strftime('%Y-%m-%dT%H:%M:%fZ', received_at / 1000.0, 'unixepoch') as received_at,
           answer_status,
           held,
           iif(batch_id is null, null, 'in_' || (
               select group_concat(digit, '') from _id_place cross join _id_digit using (shift)
               where pair = substr('0' || hex(batch_id), nibble, 2)
           )) as batch_id
    from inbound_request;

-- Who changed what, what was denied to whom, and what Posthorn did by itself.
create view v_audit as
    select 'aud_' || (
               select group_concat(digit, '') from _id_place cross join _id_digit using (shift)
               where pair = substr('0' || hex(audit_id), nibble, 2)
           ) as audit_id,
           audit_id as audit_uuid,
           strftime('%Y-%m-%dT%H:%M:%fZ', recorded_at / 1000.0, 'unixepoch') as recorded_at,
           iif(tenant_id is null, null, 'tnt_' || (
               select group_concat(digit, '') from _id_place cross join _id_digit using (shift)
               where pair = substr('0' || hex(tenant_id), nibble, 2)
           )) as tenant_id,
           iif(key_id is null, null, 'key_' || (
               select group_concat(digit, '') from _id_place cross join _id_digit using (shift)
               where pair = substr('0' || hex(key_id), nibble, 2)
           )) as key_id,
           claimed_actor,
           method,
           target,
           reason,
           request_id,
           case outcome when 1 then 'done' when 2 then 'denied' end as outcome,
           changes
    from audit;
