-- name: add_entries
-- What is to be told of what happened in this transaction.
insert into outbox (workspace, topic, payload, created_at, due_at)
select $1, topic, payload::jsonb, $2, $2 from unnest($3::text[], $4::text[]) with ordinality as e (topic, payload, place)
order by place;

-- name: take_entry
-- The entry that has waited longest of all workspaces, held until the transaction ends.
select key, workspace, topic, payload, attempts from outbox where due_at <= $1
order by due_at, key limit 1 for update skip locked;

-- name: remove_entry
-- The deliveries of an entry are made.
delete from outbox where key = $1;

-- name: postpone_entry
-- An entry could not be dealt with: try again later.
update outbox set attempts = attempts + 1, due_at = $2 where key = $1;

-- name: insert_deliveries
-- Messages to deliver; nothing where an event was made known to a receiver before.
insert into delivery (workspace, wire_id, event, channel, receiver, customers, sender, subject, body, status, due_at,
    created_at)
select $1, wire_id, $2, channel, receiver, customers::bigint[], sender, subject, body, 'PENDING', $3, $3
from unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::text[], $10::text[]) with ordinality
    as m (wire_id, channel, receiver, customers, sender, subject, body, place)
order by place on conflict (workspace, event, channel, receiver) do nothing;

-- name: claim_deliveries
-- The oldest delivery to each receiver that is due, of receivers to whom none is under way, to be at until $2; none of $4.
with first as (
    select distinct on (d.workspace, d.channel, d.receiver) d.key from delivery d
    where d.status = 'PENDING' and d.due_at <= $1 and d.key <> all($4::bigint[]) and not exists (
        select from delivery o where o.status = 'PENDING' and o.leased_until > $1
            and (o.workspace, o.channel, o.receiver) = (d.workspace, d.channel, d.receiver))
    order by d.workspace, d.channel, d.receiver, d.key
), held as (
    select key from delivery where key in (select key from first) and status = 'PENDING' and due_at <= $1
    order by key limit $3 for update skip locked
)
update delivery d set attempts = d.attempts + 1, due_at = $2, leased_until = $2
from held where d.key = held.key returning d.*;

-- name: renew_leases
-- A worker is still at deliveries.
update delivery set leased_until = $1, due_at = $1 where key = any($2::bigint[]) and leased_until is not null;

-- name: settle_delivery
-- An attempt has ended; nothing where the delivery was erased meanwhile.
update delivery set status = $3, due_at = $4, reason = $5, leased_until = null,
    settled_at = case when $3::text <> 'PENDING' then $6::timestamptz end
where workspace = $1 and key = $2 and status = 'PENDING' returning key;

-- name: list_deliveries
-- The newest deliveries of a workspace before a key.
select * from delivery where workspace = $1 and ($2::bigint is null or key < $2) and ($3::text is null or status = $3)
order by key desc limit $4;

-- name: find_delivery
-- A delivery by its id.
select * from delivery where workspace = $1 and wire_id = $2;

-- name: retry_delivery
-- Try a delivery that was given up anew, from the start.
update delivery set status = 'PENDING', attempts = 0, due_at = $3, settled_at = null
where workspace = $1 and wire_id = $2 and status = 'GIVEN_UP' returning key;

-- name: erase_deliveries
-- Forget what deliveries say of a customer, and to whom; what was not there yet is not sent any more.
update delivery set subject = '', body = '', receiver = 'erased ' || key, reason = null, leased_until = null,
    status = case when status = 'PENDING' then 'ERASED' else status end, due_at = null,
    settled_at = coalesce(settled_at, $3)
where workspace = $1 and $2::bigint = any(customers);

-- name: purge_deliveries
-- Remove what was settled before an instant, some at a time.
delete from delivery where key in (select key from delivery where settled_at < $1 order by settled_at limit $2);

-- name: smtp_connection_at
-- A connection by number; where it is gone, the oldest for everybody.
select * from smtp_connection where workspace = $1 and (yeti_id = $2 or global)
order by yeti_id is not distinct from $2 desc, key limit 1;

-- name: smtp_connection_exists
-- Whether there is a connection of a number; it stays for as long as the transaction takes.
select key from smtp_connection where workspace = $1 and yeti_id = $2 for key share;

-- name: list_smtp_connections
-- The connections of a workspace.
select yeti_id as id, name, host, port, from_address, auth_user, auth_password, global
from smtp_connection where workspace = $1;

-- name: insert_smtp_connection
-- Add a connection; nothing where its name is taken.
insert into smtp_connection (workspace, yeti_id, name, host, port, from_address, auth_user, auth_password, global, created_at)
values ($1, nextval(format('yeti_object_%s', $1::int)::regclass), $2, $3, $4, $5, $6, $7, $8, $9)
on conflict (workspace, name) do nothing returning yeti_id;

-- name: lock_smtp_connection
-- A connection by its number, which nobody else changes meanwhile.
select * from smtp_connection where workspace = $1 and yeti_id = $2 for no key update;

-- name: update_smtp_connection
-- Change a connection.
update smtp_connection set name = $3, host = $4, port = $5, from_address = $6, auth_user = $7, auth_password = $8,
    global = $9
where workspace = $1 and yeti_id = $2;

-- name: smtp_connection_named
-- The number of the connection of a name.
select yeti_id from smtp_connection where workspace = $1 and name = $2;

-- name: delete_smtp_connection
-- Remove a connection; refused by the database where a customer has it.
delete from smtp_connection where workspace = $1 and yeti_id = $2;

-- name: list_subscriptions
-- Who wants to hear of what.
select event, url, contacts from event_subscription where workspace = $1 order by event;

-- name: find_subscription
-- Who wants to hear of one event.
select event, url, contacts from event_subscription where workspace = $1 and event = $2;

-- name: delete_subscriptions
-- Nobody wants to hear of anything.
delete from event_subscription where workspace = $1;

-- name: insert_subscription
-- Somebody wants to hear of an event.
insert into event_subscription (workspace, event, url, contacts, updated_at) values ($1, $2, $3, $4, $5);

-- name: remove_contact
-- A contact is no more.
update event_subscription set contacts = array_remove(contacts, $2::bigint), updated_at = $3
where workspace = $1 and $2::bigint = any(contacts);
