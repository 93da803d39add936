-- name: event_named
-- The event that holds an id, or lies at a place; of an account and a span of time where these are given. Each way has a
-- look of its own: a plan for either would go through all events.
select id_hash, account, catalog_version, event_schema, occurred_at, received_at, chunk, position, state, reason
from (
    select * from event_key where id_hash = $2 and ($3::bigint is null or (chunk = $3 and position = $4::int))
    union all
    select * from event_key where $2::uuid is null and chunk = $3::bigint and position = $4::int
) e
where workspace = $1 and ($5::bigint is null or account = $5) and ($6::timestamptz is null or occurred_at >= $6)
    and ($7::timestamptz is null or occurred_at < $7);

-- name: events_of_span
-- The latest events of an account in a span of their time that were let in, with all that share the last one's instant.
select * from (
    select id_hash, account, catalog_version, event_schema, occurred_at, received_at, chunk, position, state, reason
    from event_key
    where workspace = $1 and account = $2 and state in (1, 2, 3)
        and occurred_at >= coalesce($3::timestamptz, '-infinity') and occurred_at < coalesce($4::timestamptz, 'infinity')
    order by occurred_at desc fetch first ($5::int) rows with ties
) e
order by occurred_at desc limit $6;

-- name: places_of_span
-- Where the latest events of an account in a span of their time lie that were let in.
select chunk, position from event_key
where workspace = $1 and account = $2 and state in (1, 2, 3)
    and occurred_at >= coalesce($3::timestamptz, '-infinity') and occurred_at < coalesce($4::timestamptz, 'infinity')
order by occurred_at desc, chunk desc, position desc limit $5;

-- name: revert
-- Mark events as undone.
update event_key set state = 5, reason = '' where id_hash = any($1::uuid[]);
