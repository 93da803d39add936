-- name: refused
-- Events on the desk that a list wants, newest first, below a bookmark: refused ones, and deliveries that say something
-- else than the event that holds their id. With each row comes how far this has looked, at most $4 events a time.
with candidates as materialized (
    select * from (
        (select id_hash, account, catalog_version, event_schema, occurred_at, received_at, chunk, position, state, reason
        from event_key where workspace = $1 and state < 0 and (chunk, position) < ($2, $3)
        order by chunk desc, position desc limit $4)
        union all
        (select id_hash, account, null, event_schema, occurred_at, received_at, chunk, position, state, reason
        from event_repeat where workspace = $1 and conflict and (chunk, position) < ($2, $3)
        order by chunk desc, position desc limit $4)
    ) c
    order by chunk desc, position desc limit $4
), wanted as (
    select * from candidates
    where ($5::smallint[] is null or state = any($5))
        and ($6::timestamptz is null or received_at >= $6) and ($7::timestamptz is null or received_at < $7)
        and ($8::timestamptz is null or occurred_at >= $8) and ($9::timestamptz is null or occurred_at < $9)
        and ($10::text is null or account is null or exists (
            select from account_name n where n.workspace = $1 and n.value = $10 and n.account = candidates.account))
        and ($11::text is null or event_schema is null or exists (
            select from event_schema_version v join event_schema s on s.key = v.event_schema
            where v.key = candidates.event_schema and s.name = $11))
    order by chunk desc, position desc limit $12
)
select w.*, l.chunk as last_chunk, l.position as last_position, l.looked
from (
    select chunk, position, count(*) over () as looked from candidates order by chunk, position limit 1
) l
left join wanted w on true
order by w.chunk desc, w.position desc;

-- name: holders
-- The events that hold ids.
select id_hash, account, catalog_version, event_schema, occurred_at, received_at, chunk, position, state, reason
from event_key where workspace = $1 and id_hash = any($2::uuid[]);

-- name: refused_at
-- The refused events at places.
select k.id_hash, k.account, k.catalog_version, k.event_schema, k.occurred_at, k.received_at, k.chunk, k.position, k.state,
    k.reason
from unnest($2::bigint[], $3::int[]) as p (chunk, position)
join event_key k on k.workspace = $1 and k.chunk = p.chunk and k.position = p.position and k.state < 0;

-- name: others_at
-- What else was received at places: events that were let in, and deliveries that do not hold their id.
select e.* from (
    select id_hash, account, catalog_version, event_schema, occurred_at, received_at, chunk, position, state, reason
    from event_key where workspace = $1 and chunk = any($2::bigint[])
    union all
    select id_hash, account, null, event_schema, occurred_at, received_at, chunk, position, state, reason
    from event_repeat where workspace = $1 and chunk = any($2::bigint[])
) e
join unnest($2::bigint[], $3::int[]) as p (chunk, position) on e.chunk = p.chunk and e.position = p.position;

-- name: rejudge
-- Refused events with the verdict of now, each in the place where it lies.
update event_key k set id_hash = n.new_hash, body_hash = n.body_hash, account = n.account,
    catalog_version = n.catalog_version, event_schema = n.event_schema, state = n.state, reason = n.reason
from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::int[], $7::smallint[], $8::text[])
    as n (id_hash, new_hash, body_hash, account, catalog_version, event_schema, state, reason)
where k.id_hash = n.id_hash;
