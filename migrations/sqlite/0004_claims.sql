-- Batches: requests that bring several events. And requests that claim nothing but themselves: a claim is 16 bytes that
-- stand for the provider's id of the event, and 16 for what is unique; without that, the request's own id.

-- The batch: its own id for a batch, that of the batch for an item of one; null for everything else.
alter table inbound_request add column batch_id blob;
-- A batch and its items, in their order.
create index inbound_request_batch on inbound_request (shard, batch_id, request_id) where batch_id is not null;

-- The batch that brought an event.
alter table event add column batch_id blob;
