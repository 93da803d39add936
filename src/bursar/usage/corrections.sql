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

-- name: revert
-- Mark events as undone.
update event_key set state = 5, reason = '' where id_hash = any($1::uuid[]);
