-- name: tenants
-- What admission must know of workspaces at the moment of a flush, which of its tokens have ended by then, and a number
-- for the bodies of each.
select key, version, clock_at, timezone, grace_days, nextval('event_chunk') as chunk,
    array(select t.key from token t where t.key = any($2::bigint[]) and (t.revoked_at is not null or t.expires_at <= $3))
        as ended
from workspace where key = any($1::int[]);

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

-- name: probe_by_index
-- A flush looks up thousands of keys in tables that may be empty today and huge tomorrow, with plans that are kept: only
-- the index is right at every size. So one plan is as good as the next one, and making it anew each time would take longer
-- than a small flush.
set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set plan_cache_mode = force_generic_plan;

-- name: taken
-- The events that hold ids, locked so that nothing else changes them.
select workspace, id_hash, body_hash, account, catalog_version, occurred_at, received_at, chunk, event_schema, position,
    state, reason
from event_key where id_hash = any($1::uuid[]) order by id_hash for update;

-- name: states_of_ids
-- The states of the events that hold ids, and what tells whether another one says the same.
select id_hash, state, body_hash from event_key where id_hash = any($1::uuid[]);

-- name: revive
-- Let a new attempt take the place of a refused one under the same id.
update event_key set body_hash = $2, account = $3, catalog_version = $4, occurred_at = $5, received_at = $6, chunk = $7,
    event_schema = $8, position = $9, state = $10, reason = $11
where id_hash = $1;

-- name: add_rollups
-- Add sums to the rollups, in the order in which they come, then to those of their days. Buckets are counted in quarters of
-- an hour since 2000; PostgreSQL multiplies an interval by a double, and whole quarters of an hour are exact in one beyond
-- the year 9999.
with s as materialized (
    select unnest($1::text::int[]) as workspace, unnest($2::text::bigint[]) as account,
        unnest($3::text::int[]) as meter_version, unnest($4::text::bigint[]) as bucket,
        unnest($5::text::bigint[]) as events, unnest($6::text::numeric[]) as quantity
), quarters as (
    insert into usage_rollup (workspace, account, meter_version, bucket, events, quantity)
    select workspace, account, meter_version, timestamptz '2000-01-01 00:00:00+00' + bucket * interval '15 minutes',
        events, quantity
    from s
    on conflict (workspace, account, meter_version, bucket)
    do update set events = usage_rollup.events + excluded.events, quantity = usage_rollup.quantity + excluded.quantity
    returning 1
)
insert into usage_day (workspace, account, meter_version, day, quantity)
select workspace, account, meter_version,
    timestamptz '2000-01-01 00:00:00+00' + floor(bucket / 96.0)::double precision * interval '24 hours', sum(quantity)
from s where (select count(*) from quarters) > 0
group by 1, 2, 3, 4 order by 1, 2, 3, 4
on conflict (workspace, account, meter_version, day) do update set quantity = usage_day.quantity + excluded.quantity;

-- name: admit
-- The last step of a flush: a few events (many are copied before), the balance, what was measured, where the events of an
-- account are, the bodies. What was measured does not go to the rollups yet: a flush has hardly two events for one of them,
-- and would wait for those of other flushes.
with events as (
    insert into event_key (id_hash, body_hash, account, catalog_version, occurred_at, received_at, chunk, workspace,
        event_schema, position, state, reason)
    select unnest($2::uuid[]), unnest($3::bigint[]), unnest($4::bigint[]), unnest($5::bigint[]), unnest($6::timestamptz[]),
        $1, unnest($7::bigint[]), unnest($8::int[]), unnest($9::int[]), unnest($10::int[]), unnest($11::smallint[]),
        unnest($12::text[])
    returning 1
), counters as (
    insert into usage_counter (workspace, day, flusher, received, metered, unmetered, duplicate, rejected, pending,
        reverted)
    select workspace, $14, $15, received, metered, unmetered, duplicate, rejected, pending, reverted
    from unnest($13::int[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[], $20::bigint[], $21::bigint[],
        $22::bigint[]) as c (workspace, received, metered, unmetered, duplicate, rejected, pending, reverted)
    where (select count(*) from events) >= 0
    order by workspace
    on conflict (workspace, day, flusher) do update set
        received = usage_counter.received + excluded.received, metered = usage_counter.metered + excluded.metered,
        unmetered = usage_counter.unmetered + excluded.unmetered,
        duplicate = usage_counter.duplicate + excluded.duplicate, rejected = usage_counter.rejected + excluded.rejected,
        pending = usage_counter.pending + excluded.pending, reverted = usage_counter.reverted + excluded.reverted
    returning 1
), deltas as (
    insert into usage_delta (workspace, share, accounts, meter_versions, buckets, events, quantities)
    select workspace, share, accounts::bigint[], meter_versions::int[], buckets::int[], events::int[],
        quantities::numeric[]
    from unnest($23::int[], $24::smallint[], $25::text[], $26::text[], $27::text[], $28::text[], $29::text[])
        as d (workspace, share, accounts, meter_versions, buckets, events, quantities)
), unlisted as (
    insert into event_unlisted (workspace, chunk, events, accounts, ticks, ids)
    select workspace, chunk, events, accounts::bigint[], ticks::bigint[], ids::uuid[]
    from unnest($30::int[], $31::bigint[], $32::int[], $33::text[], $34::text[], $35::text[])
        as u (workspace, chunk, events, accounts, ticks, ids)
), listed as (
    insert into event_listing (workspace, account, events, first_tick, last_tick, first_chunk, last_chunk, ticks, ids)
    select workspace, account, events, first_tick, last_tick, chunk, chunk, ticks::bigint[], ids::uuid[]
    from unnest($36::int[], $37::bigint[], $38::int[], $39::bigint[], $40::bigint[], $41::bigint[], $42::text[],
        $43::text[]) as l (workspace, account, events, first_tick, last_tick, chunk, ticks, ids)
)
insert into event_body (chunk, received_at, workspace, events, content)
select chunk, $1, workspace, events, content
from unnest($44::bigint[], $45::int[], $46::int[], $47::bytea[]) as b (chunk, workspace, events, content);

-- name: unfolded
-- The workspaces whose rollups or whose lists of events lack something.
select distinct workspace from usage_delta union select distinct workspace from event_unlisted;

-- name: fold
-- Add to the rollups of a workspace what flushes measured since they were last added to, in the order of `add_rollups`: what
-- so many rows hold at most. Returns how many there were.
with taken as (
    delete from usage_delta
    where workspace = $1 and key <= (select max(key) from (
        select key from usage_delta where workspace = $1 order by key limit $2) first)
    returning accounts, meter_versions, buckets, events, quantities
), summed as materialized (
    select account, meter_version, bucket, sum(events) as events, sum(quantity) as quantity
    from (
        select unnest(accounts) as account, unnest(meter_versions) as meter_version, unnest(buckets) as bucket,
            unnest(events) as events, unnest(quantities) as quantity
        from taken
    ) s
    group by 1, 2, 3
), quarters as (
    insert into usage_rollup (workspace, account, meter_version, bucket, events, quantity)
    select $1, account, meter_version, timestamptz '2000-01-01 00:00:00+00' + bucket * interval '15 minutes', events,
        quantity
    from summed order by account, meter_version, bucket
    on conflict (workspace, account, meter_version, bucket)
    do update set events = usage_rollup.events + excluded.events, quantity = usage_rollup.quantity + excluded.quantity
    returning 1
), days as (
    insert into usage_day (workspace, account, meter_version, day, quantity)
    select $1, account, meter_version,
        timestamptz '2000-01-01 00:00:00+00' + floor(bucket / 96.0)::double precision * interval '24 hours', sum(quantity)
    from summed where (select count(*) from quarters) > 0
    group by 2, 3, 4 order by 2, 3, 4
    on conflict (workspace, account, meter_version, day)
    do update set quantity = usage_day.quantity + excluded.quantity
)
select count(*) from taken;

-- name: summarize_chunks
-- Note in the index by chunk which chunks lie in new pages: until then, who looks for a chunk reads those pages too.
select brin_summarize_new_values('event_key_chunk');

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

-- name: quantities
-- Quantities of many (account, meter, period) at once, from whole buckets.
-- A key names its period by the place of that in the bounds: buckets from $5 up to $6, days up to $7, buckets up to $8. They
-- are summed up version by version: each is a walk along the key of the rollups, whatever the planner makes of the number
-- of keys.
with wanted as materialized (
    select * from unnest($2::text::bigint[], $3::text::int[], $4::text::int[]) with ordinality
        as k (account, usage_meter, period, place)
), fresh as materialized (
    select account, meter_version, bucket, quantity from usage_delta_sum
    where workspace = $1 and (share is null or share in (select account % 8 from wanted))
        and account in (select account from wanted)
)
select place, coalesce(sum(quantity), 0) as quantity
from (
    select k.place, (select sum(s.quantity) from (
            select r.quantity from usage_rollup r
            where r.workspace = $1 and r.account = k.account and r.meter_version = v.key
                and r.bucket >= ($5::timestamptz[])[k.period] and r.bucket < ($6::timestamptz[])[k.period]
            union all
            select d.quantity from usage_day d
            where d.workspace = $1 and d.account = k.account and d.meter_version = v.key
                and d.day >= ($6::timestamptz[])[k.period] and d.day < ($7::timestamptz[])[k.period]
            union all
            select r.quantity from usage_rollup r
            where r.workspace = $1 and r.account = k.account and r.meter_version = v.key
                and r.bucket >= ($7::timestamptz[])[k.period] and r.bucket < ($8::timestamptz[])[k.period]
        ) s) as quantity
    from wanted k left join usage_meter_version v on v.usage_meter = k.usage_meter
    union all
    select k.place, f.quantity
    from fresh f join usage_meter_version v on v.key = f.meter_version
    join wanted k on k.account = f.account and k.usage_meter = v.usage_meter
        and f.bucket >= ($5::timestamptz[])[k.period] and f.bucket < ($8::timestamptz[])[k.period]
) found
group by place order by place;

-- name: series
-- Quantities per account and meter between consecutive bounds: of the days from $3 to $4, of the buckets from $5 to $6.
select r.account, v.usage_meter, width_bucket(r.at, $2::timestamptz[]) as place, sum(r.quantity) as quantity
from (
    select d.account, d.meter_version, d.day as at, d.quantity
    from unnest($3::timestamptz[], $4::timestamptz[]) as s (first, last)
    join usage_day d on d.workspace = $1 and d.day >= s.first and d.day < s.last
    union all
    select r.account, r.meter_version, r.bucket, r.quantity
    from unnest($5::timestamptz[], $6::timestamptz[]) as s (first, last)
    join usage_rollup r on r.workspace = $1 and r.bucket >= s.first and r.bucket < s.last
    union all
    select account, meter_version, bucket, quantity from usage_delta_sum
    where workspace = $1 and bucket >= ($2::timestamptz[])[1] and bucket < ($2::timestamptz[])[cardinality($2)]
) r join usage_meter_version v on v.key = r.meter_version
where $7::int[] is null or v.usage_meter = any($7)
group by 1, 2, 3 order by 1, 2, 3;

-- name: series_of_accounts
-- As series, of some accounts alone. A statement of its own: a plan for both would go through the rollups of all.
select r.account, v.usage_meter, width_bucket(r.at, $2::timestamptz[]) as place, sum(r.quantity) as quantity
from (
    select d.account, d.meter_version, d.day as at, d.quantity
    from unnest($3::timestamptz[], $4::timestamptz[]) as s (first, last)
    join usage_day d on d.workspace = $1 and d.account = any($8::bigint[]) and d.day >= s.first and d.day < s.last
    union all
    select r.account, r.meter_version, r.bucket, r.quantity
    from unnest($5::timestamptz[], $6::timestamptz[]) as s (first, last)
    join usage_rollup r on r.workspace = $1 and r.account = any($8::bigint[]) and r.bucket >= s.first
        and r.bucket < s.last
    union all
    select account, meter_version, bucket, quantity from usage_delta_sum
    where workspace = $1 and bucket >= ($2::timestamptz[])[1] and bucket < ($2::timestamptz[])[cardinality($2)]
        and (share is null or share in (select a % 8 from unnest($8::bigint[]) a))
        and account in (select unnest($8::bigint[]))
) r join usage_meter_version v on v.key = r.meter_version
where $7::int[] is null or v.usage_meter = any($7)
group by 1, 2, 3 order by 1, 2, 3;

-- name: event_counts
-- Events per account, schema version and state between consecutive bounds of their own time.
select account, event_schema, state, width_bucket(occurred_at, $2::timestamptz[]) as place, count(*) as events
from (
    select account, event_schema, state, occurred_at from event_key
    where workspace = $1 and occurred_at >= $3 and occurred_at < $4
    union all
    select account, event_schema, state, occurred_at from event_repeat
    where workspace = $1 and occurred_at >= $3 and occurred_at < $4
) e
group by 1, 2, 3, 4 order by 1, 2, 3, 4;

-- name: events_of_chunks
-- The events of some chunks that a list wants, newest first, below a bookmark.
select * from (
    select id_hash, account, catalog_version, event_schema, occurred_at, received_at, chunk, position, state, reason
    from event_key where workspace = $1 and chunk = any($2::bigint[])
    union all
    select id_hash, account, null, event_schema, occurred_at, received_at, chunk, position, state, reason
    from event_repeat where workspace = $1 and chunk = any($2::bigint[])
) e
where (chunk, position) < ($3, $4) and ($5::smallint[] is null or state = any($5))
order by chunk desc, position desc limit $6;

-- name: events_of_id
-- Everything that was received under an id: the event that holds it first, then repeats, newest first.
select id_hash, account, catalog_version, event_schema, occurred_at, received_at, chunk, position, state, reason,
    0 as rank
from event_key where workspace = $1 and id_hash = $2
union all
select id_hash, account, null, event_schema, occurred_at, received_at, chunk, position, state, reason, 1
from event_repeat where workspace = $1 and id_hash = $2
order by rank, chunk desc, position desc limit 50;

-- name: owners
-- The accounts and customers that events belong to.
select a.key, a.togai_id as account_id, p.name as account_name, c.togai_id as customer_id, q.name as customer_name
from account a join account_profile p on p.account = a.key
join customer c on c.key = a.customer join customer_profile q on q.customer = c.key
where a.workspace = $1 and a.key = any($2::bigint[]);

-- name: workspaces
-- Every workspace.
select key from workspace order by key;

-- name: state_counts
-- How many events of each state are kept.
select state, count(*) as events, false as repeated from event_key where workspace = $1 group by 1
union all
select state, count(*), true from event_repeat where workspace = $1 group by 1;

-- name: keys_of_chunks
-- The metered events that hold ids in some chunks.
select chunk, position, account, occurred_at, catalog_version, event_schema, id_hash from event_key
where workspace = $1 and chunk = any($2::bigint[]) and state = 1;

-- name: lost_bodies
-- Events whose body is missing.
select k.chunk, count(*) as events from event_key k
left join event_body b on b.chunk = k.chunk and b.received_at = k.received_at
where k.workspace = $1 and (b.chunk is null or k.position >= b.events) group by 1 order by 1 limit 20;

-- name: rollups
-- What rollups and what is not added to them yet say together.
select account, meter_version, bucket, sum(events)::bigint as events, sum(quantity) as quantity
from (
    select account, meter_version, bucket, events, quantity from usage_rollup where workspace = $1
    union all
    select account, meter_version, bucket, events, quantity from usage_delta_sum where workspace = $1
) r
group by 1, 2, 3;

-- name: wrong_days
-- Days whose sum is not that of their quarters of an hour.
select coalesce(d.account, r.account) as account, coalesce(d.meter_version, r.meter_version) as meter_version,
    coalesce(d.day, r.day) as day, coalesce(d.quantity, 0) as kept, coalesce(r.quantity, 0) as quantity
from (select * from usage_day where workspace = $1) d
full join (
    select account, meter_version, date_bin('24 hours', bucket, timestamptz '2000-01-01 00:00:00+00') as day,
        sum(quantity) as quantity
    from usage_rollup where workspace = $1 group by 1, 2, 3
) r on r.account = d.account and r.meter_version = d.meter_version and r.day = d.day
where coalesce(d.quantity, 0) <> coalesce(r.quantity, 0)
order by 1, 2, 3 limit 20;
