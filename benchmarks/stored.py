"""Millions of events in the workspace of a benchmark, and the rollups that they add up to.

Bodies are not stored: what reads an event as it was sent finds nothing.
"""

from datetime import datetime

from benchmarks.world import BUCKETS, DAYS, USED_UNTIL, say
from bursar.db.database import Database

BATCH = 4_000
STEP = 1_000_000
GROWN = 69
"""Per cent to which a tree of random keys fills its leaves in the long run (ln 2); filled ones start like that."""

_INDEXES = """
    select indexname, indexdef from pg_indexes
    where tablename = 'event_key' and indexname <> 'event_key_pkey'"""
FEW_MOMENTS = f"""timestamptz '2024-01-03' + (1 + floor({BUCKETS} * random())) * interval '50 hours'
            + random() * interval '14 minutes'"""
"""When events happened: in the quarters of an hour that the workspace of the bill run has usage in."""
MONTH = "timestamptz '2024-01-01' + random() * interval '31 days'"
"""When events happened: at any time of a month."""
# A few accounts have many events and many have few: the share of an account falls with the root of its place.
_EVENTS = f"""
    insert into event_key (id_hash, body_hash, account, catalog_version, occurred_at, received_at, chunk, workspace,
        event_schema, position, state)
    select md5(i::text)::uuid, i * 7919, ($4::bigint[])[1 + floor(cardinality($4::bigint[]) * power(random(), 2))::int],
        1, {{moment}}, $5, i / {BATCH}, $3, $6, i % {BATCH}, 1
    from generate_series($1::bigint, $2::bigint) i"""
_ROLLUPS = """
    insert into usage_rollup (account, bucket, workspace, meter_version, events, quantity)
    select e.account, e.bucket, $1, v.key, e.events, e.events
    from (select account, date_bin('15 minutes', occurred_at, timestamptz '2024-01-01') as bucket, count(*) as events
        from event_key where workspace = $1 group by 1, 2) e, usage_meter_version v
    where v.workspace = $1 order by e.bucket, md5(e.account::text)"""


async def store_events(
    db: Database, workspace: int, events: int, moment: str = FEW_MOMENTS, received: datetime = USED_UNTIL
) -> None:
    """Give the workspace so many events instead of the usage that it was filled with; every meter counts each."""
    async with db.transaction(None) as connection:
        accounts = await connection.fetchval("select array_agg(key) from account where workspace = $1", workspace)
        schema = await connection.fetchval("select max(key) from event_schema_version where workspace = $1", workspace)
        indexes = await connection.fetch(_INDEXES)
        for table in ("usage_rollup", "usage_day"):
            await connection.execute(f"delete from {table} where workspace = $1", workspace, timeout=600)
        await connection.execute("alter table event_key drop constraint event_key_pkey")
        for row in indexes:
            await connection.execute(f"drop index {row['indexname']}")
    for first in range(1, events + 1, STEP):
        say(f"  events: {first - 1:,} of {events:,}")
        last = min(first + STEP - 1, events)
        async with db.transaction(None) as connection:
            await connection.execute(
                _EVENTS.format(moment=moment), first, last, workspace, accounts, received, schema, timeout=900
            )
    async with db.transaction(None) as connection:
        say("  events: indexes and rollups")
        await connection.execute("set local maintenance_work_mem = '1GB'; set local work_mem = '256MB'")
        await connection.execute(
            f"alter table event_key add primary key (id_hash) with (fillfactor = {GROWN})", timeout=1800
        )
        for row in indexes:
            await connection.execute(row["indexdef"], timeout=1800)
        await connection.execute(_ROLLUPS, workspace, timeout=1800)
        await connection.execute(DAYS, workspace, timeout=1800)
    async with db.transaction(None) as connection:
        await connection.execute("analyze", timeout=1800)
