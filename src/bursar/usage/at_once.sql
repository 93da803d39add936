-- name: admit_at_once
-- A small flush: the gate of its workspace and, where that and the tokens are as they are believed to be, a number for its bodies
-- and all that is stored, as by `admit`. Returns whether it is. Ticks are microseconds since the year 2000: PostgreSQL
-- multiplies an interval by a double, in which whole days, and the microseconds of one, are exact beyond the year 9999.
with passed as materialized (
    select nextval('event_chunk') as chunk, $5::text::uuid[] as ids, $6::text::bigint[] as accounts,
        $7::text::bigint[] as ticks
    where gate_passed($1, $2, $3::text::bigint[], $4)
), events as (
    insert into event_key (id_hash, body_hash, account, catalog_version, occurred_at, received_at, chunk, workspace,
        event_schema, position, state)
    select id_hash, body_hash, account, $2, timestamptz '2000-01-01 00:00:00+00'
            + (tick / 86400000000)::double precision * interval '24 hours'
            + (tick % 86400000000)::double precision * interval '1 microsecond',
        $4, chunk, $1, event_schema, position, state
    from (
        select chunk, unnest(ids) as id_hash, unnest(accounts) as account, unnest(ticks) as tick,
            unnest($8::text::bigint[]) as body_hash, unnest($9::text::int[]) as position,
            unnest($10::text::int[]) as event_schema, unnest($11::text::smallint[]) as state
        from passed
    ) e
), counters as (
    insert into usage_counter (workspace, day, flusher, received, metered, unmetered, duplicate, rejected, pending,
        reverted)
    select $1, $12, $13, $14::bigint + $15, $14, $15, 0, 0, 0, 0 from passed
    on conflict (workspace, day, flusher) do update set
        received = usage_counter.received + excluded.received, metered = usage_counter.metered + excluded.metered,
        unmetered = usage_counter.unmetered + excluded.unmetered
), deltas as (
    insert into usage_delta (workspace, accounts, meter_versions, buckets, events, quantities)
    select $1, $16::text::bigint[], $17::text::int[], $18::text::int[], $19::text::int[], $20::text::numeric[]
    from passed where $16::text is not null
), unlisted as (
    insert into event_unlisted (workspace, chunk, events, accounts, ticks, ids)
    select $1, chunk, cardinality(ids), accounts, ticks, ids from passed
), kept as (
    insert into event_body (chunk, received_at, workspace, events, content)
    select chunk, $4, $1, $21, $22 from passed
)
select exists (select from passed);
