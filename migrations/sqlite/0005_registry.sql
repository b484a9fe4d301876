-- The registry is read row by row and table by table, and every list by an index in its own order.

-- A page of a tenant's endpoints or sources is a range of ids, in which others have secrets too.
drop index secret_tenant_id_idx;
create index secret_tenant_id_idx on secret (tenant_id, endpoint_id);
drop index source_secret_tenant_id_idx;
create index source_secret_tenant_id_idx on source_secret (tenant_id, source_id);

-- What is polled next.
create index poll_next_poll_at_idx on poll (next_poll_at);

-- Dead letters of one endpoint, oldest first.
create index delivery_dead_endpoint on delivery (shard, endpoint_id, dead_at, delivery_id) where state = 2;
