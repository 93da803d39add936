-- name: tenants
-- What admission must know of workspaces at the moment of a flush.
select key, version, sandbox, clock_at, timezone, grace_days from workspace where key = any($1::int[]);

-- name: changes_since
-- What changed in a workspace after a version, for caches.
select version, kind, object, name from change_log where workspace = $1 and version > $2 order by version;

-- name: names
-- To which accounts event account ids lead, and from when until when.
select n.value, n.account, lower(n.effective) as starts_at, upper(n.effective) as ends_at
from account_name n where n.workspace = $1 and n.value = any($2::text[]);

-- name: accounts
-- What admission must know of accounts.
select key, status, closed_from, closed_until from account where workspace = $1 and key = any($2::bigint[]);

-- name: calendars
-- How the billing periods of accounts run.
select account, starts_at, ends_at, calendar, grace_days from account_calendar
where workspace = $1 and account = any($2::bigint[]) order by account, starts_at;

-- name: next_chunks
-- Numbers for the chunks of a flush.
select nextval('event_chunk') from generate_series(1, $1);

-- name: admit
-- Insert the events whose ids are new, add their measures to the rollups, and return the places of the others.
-- Ids go in hash order and rollups in key order, so that two flushes cannot wait for each other in a circle.
with stage as (
    select * from unnest($1::int[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::timestamptz[],
        $7::bigint[], $8::int[], $9::int[], $10::smallint[], $11::text[]) with ordinality
        as s (workspace, id_hash, body_hash, account, catalog_version, occurred_at, chunk, event_schema, position, state,
              reason, place)
),
new as (
    insert into event_key (workspace, id_hash, body_hash, account, catalog_version, occurred_at, received_at, chunk,
        event_schema, position, state, reason)
    select workspace, id_hash, body_hash, account, catalog_version, occurred_at, $12, chunk, event_schema, position, state,
        reason
    from stage order by workspace, id_hash, place
    on conflict do nothing
    returning chunk, position
),
rolled as (
    insert into usage_rollup (workspace, account, meter_version, bucket, events, quantity)
    select m.workspace, m.account, m.meter_version, m.bucket, count(*), sum(m.quantity)
    from unnest($13::int[], $14::bigint[], $15::int[], $16::timestamptz[], $17::numeric[], $18::bigint[], $19::int[])
        as m (workspace, account, meter_version, bucket, quantity, chunk, position)
    join new using (chunk, position)
    group by 1, 2, 3, 4 order by 1, 2, 3, 4
    on conflict (workspace, account, meter_version, bucket)
    do update set events = usage_rollup.events + excluded.events, quantity = usage_rollup.quantity + excluded.quantity
)
select s.place from stage s left join new n using (chunk, position) where n.chunk is null order by s.place;

-- name: taken
-- The events that hold ids of a flush, locked so that nothing else revives them.
select workspace, id_hash, body_hash, account, catalog_version, occurred_at, received_at, chunk, event_schema, position,
    state, reason
from event_key
where (workspace, id_hash) in (select * from unnest($1::int[], $2::uuid[]))
order by workspace, id_hash for update;

-- name: revive
-- Let a new attempt take the place of a refused one under the same id.
update event_key set body_hash = $3, account = $4, catalog_version = $5, occurred_at = $6, received_at = $7, chunk = $8,
    event_schema = $9, position = $10, state = $11, reason = $12
where workspace = $1 and id_hash = $2;

-- name: add_rollups
-- Add measures to the rollups.
insert into usage_rollup (workspace, account, meter_version, bucket, events, quantity)
select workspace, account, meter_version, bucket, count(*), sum(quantity)
from unnest($1::int[], $2::bigint[], $3::int[], $4::timestamptz[], $5::numeric[])
    as m (workspace, account, meter_version, bucket, quantity)
group by 1, 2, 3, 4 order by 1, 2, 3, 4
on conflict (workspace, account, meter_version, bucket)
do update set events = usage_rollup.events + excluded.events, quantity = usage_rollup.quantity + excluded.quantity;

-- name: insert_repeats
-- Keep deliveries that did not become the event of their id.
insert into event_repeat (workspace, id_hash, body_hash, account, occurred_at, received_at, chunk, event_schema, position,
    state, conflict, reason)
select * from unnest($1::int[], $2::uuid[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::timestamptz[], $7::bigint[],
    $8::int[], $9::int[], $10::smallint[], $11::boolean[], $12::text[]);

-- name: count
-- Add a flush to the balance of events.
insert into usage_counter (workspace, day, flusher, received, metered, unmetered, duplicate, rejected, pending, reverted)
select workspace, $2, $3, received, metered, unmetered, duplicate, rejected, pending, reverted
from unnest($1::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[])
    as c (workspace, received, metered, unmetered, duplicate, rejected, pending, reverted)
order by workspace
on conflict (workspace, day, flusher) do update set
    received = usage_counter.received + excluded.received, metered = usage_counter.metered + excluded.metered,
    unmetered = usage_counter.unmetered + excluded.unmetered, duplicate = usage_counter.duplicate + excluded.duplicate,
    rejected = usage_counter.rejected + excluded.rejected, pending = usage_counter.pending + excluded.pending,
    reverted = usage_counter.reverted + excluded.reverted;

-- name: balance
-- The balance of events of a workspace.
select coalesce(sum(received), 0)::bigint as received, coalesce(sum(metered), 0)::bigint as metered,
    coalesce(sum(unmetered), 0)::bigint as unmetered, coalesce(sum(duplicate), 0)::bigint as duplicate,
    coalesce(sum(rejected), 0)::bigint as rejected, coalesce(sum(pending), 0)::bigint as pending,
    coalesce(sum(reverted), 0)::bigint as reverted
from usage_counter where workspace = $1;
