"""Statements that find a few rows among millions: by an index, for whatever parameters they were planned."""

import json
from typing import Any

import psycopg
import pytest

from bursar.usage.corrections import queries as corrections
from bursar.usage.listings import queries as listings
from bursar.usage.quantities import queries

FOUND_BY = {
    queries.series_of_accounts: ["account", "account"],
    corrections.event_named: ["chunk", "id_hash"],
    listings.event_counts_of_accounts: ["account", "id_hash"],
    listings.metered_events: ["account", "id_hash"],
    listings.events_of_span: ["account", "id_hash"],
    listings.events_of_account: ["account", "id_hash"],
    listings.chunks_reached: ["account"],
    listings.ticks_reached: ["account"],
    listings.ticks_begun: ["account"],
}
"""By which column each look at the table of events, or of what they add up to, is."""

SOME = """
with listed as (
    insert into event_listing (workspace, account, events, first_tick, last_tick, first_chunk, last_chunk, ticks, ids)
    select 1, n % 50, 1, n, n, n / 7, n / 7, array[n], array[gen_random_uuid()] from generate_series(1, 3000) n
    returning *
)
insert into event_key (id_hash, body_hash, account, catalog_version, occurred_at, received_at, chunk, workspace,
    position, state)
select ids[1], 1, account, 1, now(), now(), last_chunk, 1, 1, 1 from listed
"""
"""Events of some accounts: of a table that holds nothing any plan is as good."""


@pytest.mark.parametrize("statement", FOUND_BY)
def test_rows_are_found_by_an_index_whatever_is_asked(dsn: str, statement: str) -> None:
    """PostgreSQL keeps one plan for all parameters once it has planned five times."""
    with psycopg.connect(dsn, options="-c search_path=bursar -c enable_seqscan=off") as connection:
        connection.execute(SOME)
        connection.execute("analyze event_key")
        connection.execute("analyze event_listing")
        row = connection.execute(f"explain (generic_plan, format json) {statement}").fetchone()
        connection.rollback()
    assert row is not None
    conditions = list(_conditions(row[0][0]["Plan"]))
    assert sorted(_column(condition) for condition in conditions) == FOUND_BY[statement], json.dumps(row[0], indent=1)


def _conditions(plan: dict[str, Any]) -> Any:
    """Of each look at one of those tables: what its index is asked for."""
    inner = plan.get("Plans", [])
    if plan.get("Relation Name") in ("event_key", "event_listing", "usage_rollup", "usage_day"):
        yield plan.get("Index Cond") or " ".join(one.get("Index Cond", "") for one in inner)
    for one in inner:
        yield from _conditions(one)


def _column(condition: str) -> str:
    """The column that narrows a look down."""
    return next((name for name in ("id_hash", "chunk", "account") if f"({name} =" in condition), condition)
