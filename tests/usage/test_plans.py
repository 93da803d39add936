"""Statements that find a few rows among millions: by an index, for whatever parameters they were planned."""

import json
from typing import Any

import psycopg
import pytest

from bursar.usage.corrections import queries as corrections
from bursar.usage.quantities import queries

FOUND_BY = {
    queries.series_of_accounts: ["account", "account"],
    queries.event_counts_of_accounts: ["account"],
    queries.metered_events: ["account"],
    corrections.event_named: ["chunk", "id_hash"],
    corrections.events_of_span: ["account"],
    corrections.places_of_span: ["account"],
}
"""By which column each look at the table of events, or of what they add up to, is."""


@pytest.mark.parametrize("statement", FOUND_BY)
def test_rows_are_found_by_an_index_whatever_is_asked(dsn: str, statement: str) -> None:
    """PostgreSQL keeps one plan for all parameters once it has planned five times."""
    with psycopg.connect(dsn, options="-c search_path=bursar -c enable_seqscan=off") as connection:
        row = connection.execute(f"explain (generic_plan, format json) {statement}").fetchone()
    assert row is not None
    conditions = list(_conditions(row[0][0]["Plan"]))
    assert sorted(_column(condition) for condition in conditions) == FOUND_BY[statement], json.dumps(row[0], indent=1)


def _conditions(plan: dict[str, Any]) -> Any:
    """Of each look at one of those tables: what its index is asked for."""
    inner = plan.get("Plans", [])
    if plan.get("Relation Name") in ("event_key", "usage_rollup", "usage_day"):
        yield plan.get("Index Cond") or " ".join(one.get("Index Cond", "") for one in inner)
    for one in inner:
        yield from _conditions(one)


def _column(condition: str) -> str:
    """The column that narrows a look down."""
    return next((name for name in ("id_hash", "chunk", "account") if f"({name} =" in condition), condition)
