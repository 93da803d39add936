-- name: list_events
-- Make lists by account of what flushes stored since this was last done: what so many events and rows hold at most. A list
-- has $4 events at most, by their time, so that a span of time or the newest of many are a few of them. Returns whether
-- more may wait.
with taken as (
    delete from event_unlisted
    where workspace = $1 and key <= (
        select max(key) from (
            select key, sum(events) over (order by key) - events as before
            from (select key, events from event_unlisted where workspace = $1 order by key limit $2) first
        ) sized
        where before < $3)
    returning chunk, events, accounts, ticks, ids
), listed as (
    select account, count(*)::int as events, min(chunk) as first_chunk, max(chunk) as last_chunk,
        array_agg(tick) as ticks, array_agg(id) as ids
    from (
        select chunk, account, tick, id
        from (select chunk, unnest(accounts) as account, unnest(ticks) as tick, unnest(ids) as id from taken) e
        order by account, tick
    ) entries
    group by account
), kept as (
    insert into event_listing (workspace, account, events, first_tick, last_tick, first_chunk, last_chunk, ticks, ids)
    select $1, account, least(events - at, $4::int), ticks[at + 1], ticks[least(events, at + $4::int)], first_chunk,
        last_chunk, ticks[at + 1 : at + $4::int], ids[at + 1 : at + $4::int]
    from listed cross join lateral generate_series(0, events - 1, $4::int) as slices (at)
)
select coalesce(count(*) >= $2 or sum(events) >= $3, false) from taken;

-- name: list_now
-- List some events at once, for those who change few.
insert into event_listing (workspace, account, events, first_tick, last_tick, first_chunk, last_chunk, ticks, ids)
select $1, account, count(*), min(tick), max(tick), min(chunk), max(chunk), array_agg(tick order by tick),
    array_agg(id order by tick)
from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::uuid[]) as e (account, chunk, tick, id)
group by account order by account;

-- name: chunks_reached
-- The newest chunk that so many of an account's latest events, of chunks up to one, leave out; null where they are all.
select max(last_chunk) as reached
from (
    select last_chunk, sum(events) over (order by last_chunk desc) - events as before
    from (
        select last_chunk, events from event_listing
        where workspace = $1 and account = $2 and first_chunk <= $3 order by last_chunk desc limit $4 + 1
    ) newest
) counted
where before >= $4;

-- name: ticks_reached
-- The latest tick that so many of an account's latest events of a span, given by its first and its last tick, leave out;
-- null where they are all.
select max(last_tick) as reached
from (
    select last_tick, sum(events) over (order by last_tick desc) - events as before
    from (
        select last_tick, events from event_listing
        where workspace = $1 and account = $2 and last_tick >= $3 and first_tick <= $4
        order by last_tick desc limit $5 + 1
    ) latest
) counted
where before >= $5;

-- name: ticks_begun
-- The first tick that so many of an account's first events of a span leave out; null where they are all.
select min(first_tick) as reached
from (
    select first_tick, sum(events) over (order by first_tick) - events as before
    from event_listing where workspace = $1 and account = $2 and last_tick >= $3 and first_tick <= $4
) counted
where before >= $5;

-- name: events_of_account
-- The events of an account that a list wants, newest first, below a bookmark and above a chunk. The sum keeps PostgreSQL from
-- going through the index of chunks: by their ids it finds them at once.
select * from (
    select id_hash, account, catalog_version, event_schema, occurred_at, received_at, chunk, position, state, reason
    from event_key where workspace = $1 and account = $2 and chunk + 0 > $7 and id_hash = any(array(
        select e.id_hash from event_entry e
        where e.workspace = $1 and e.account = $2 and e.first_chunk <= $3 and e.last_chunk > $7))
    union all
    select id_hash, account, null, event_schema, occurred_at, received_at, chunk, position, state, reason
    from event_repeat where workspace = $1 and account = $2 and chunk > $7
) e
where (chunk, position) < ($3, $4) and ($5::smallint[] is null or state = any($5))
order by chunk desc, position desc limit $6;

-- name: metered_events
-- The metered events of an account and a span of ticks in the order of their time, after a bookmark.
select id_hash, account, occurred_at, received_at, chunk, position, catalog_version, event_schema from event_key
where workspace = $1 and account = $2 and state = 1 and id_hash = any(array(
        select e.id_hash from event_entry e
        where e.workspace = $1 and e.account = $2 and e.last_tick >= $3 and e.first_tick <= $4 and e.tick between $3 and $4))
    and occurred_at >= $5 and occurred_at < $6 and (occurred_at, chunk, position) > ($7, $8, $9)
order by occurred_at, chunk, position limit $10;

-- name: events_of_span
-- The latest events of an account in a span of ticks that were let in, with all that share the last one's instant.
select * from (
    select id_hash, account, catalog_version, event_schema, occurred_at, received_at, chunk, position, state, reason
    from event_key
    where workspace = $1 and account = $2 and state in (1, 2, 3) and id_hash = any(array(
            select e.id_hash from event_entry e
            where e.workspace = $1 and e.account = $2 and e.last_tick >= $3 and e.first_tick <= $4
                and e.tick between $3 and $4))
        and occurred_at >= coalesce($5::timestamptz, '-infinity') and occurred_at < coalesce($6::timestamptz, 'infinity')
    order by occurred_at desc fetch first ($7::int) rows with ties
) e
order by occurred_at desc, chunk desc, position desc limit $8;

-- name: event_counts_of_accounts
-- As event_counts, of some accounts alone; the span as ticks too, its end left out. The limit makes PostgreSQL look up each
-- event by its id, whatever it believes of how many there are.
select account, event_schema, state, width_bucket(occurred_at, $2::timestamptz[]) as place, count(*) as events
from (
    select k.account, k.event_schema, k.state, k.occurred_at
    from (
        select distinct e.id_hash from event_entry e
        where e.workspace = $1 and e.account = any($5::bigint[]) and e.last_tick >= $6 and e.first_tick < $7
            and e.tick >= $6 and e.tick < $7
    ) listed
    cross join lateral (select * from event_key k where k.id_hash = listed.id_hash limit 1) k
    where k.workspace = $1 and k.occurred_at >= $3 and k.occurred_at < $4 and k.account = any($5::bigint[])
    union all
    select account, event_schema, state, occurred_at from event_repeat
    where workspace = $1 and occurred_at >= $3 and occurred_at < $4 and account = any($5::bigint[])
) e
group by 1, 2, 3, 4 order by 1, 2, 3, 4;

-- name: not_listed
-- Events that lists of their account lack, or do not show where they lie. Both are put together and grouped, as PostgreSQL
-- cannot know how many entries there are, and would look for each event among all of them. Times beyond the calendar may be
-- kept as infinity, and have the ticks of its ends.
select chunk, count(*) as events
from (
    select max(chunk) as chunk
    from (
        select account, id_hash, chunk, null::bigint as first_chunk, null::bigint as last_chunk,
            case when isfinite(occurred_at) then (extract(epoch from occurred_at) * 1000000)::bigint - 946684800000000
                when occurred_at = 'infinity' then 252455615999999999 else -63082281600000000 end as tick
        from event_key where workspace = $1 and account is not null
        union all
        select account, id_hash, null, first_chunk, last_chunk, tick
        from event_entry where workspace = $1 and tick between first_tick and last_tick
    ) both_sides
    group by account, id_hash, tick
    having max(chunk) is not null
        and (min(first_chunk) is null or max(chunk) not between min(first_chunk) and max(last_chunk))
) lacking
group by 1 order by 1 limit 20;
