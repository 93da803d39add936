"""What must always hold of events and usage."""

from collections import defaultdict
from datetime import datetime
from decimal import Decimal

from bursar.catalog.named_licenses import SCHEMA
from bursar.core.cycles import bucket_start
from bursar.core.errors import BursarError
from bursar.db.database import Connection
from bursar.db.queries import Queries
from bursar.db.verify import Check
from bursar.usage import bodies, listings
from bursar.usage import license_names as names
from bursar.usage.event import id_hash
from bursar.usage.judged import Rules
from bursar.usage.states import TERM, State, Term

queries = Queries("bursar.usage")
body_queries = Queries("bursar.usage", "bodies.sql")

_CHUNKS = 50


async def _workspaces(connection: Connection) -> list[int]:
    return [row["key"] for row in await connection.fetch(queries.workspaces)]


async def _balance(connection: Connection) -> list[str]:
    problems = []
    for workspace in await _workspaces(connection):
        counted = await connection.fetchrow(queries.balance, workspace)
        assert counted is not None
        kept: dict[Term, int] = defaultdict(int)
        for row in await connection.fetch(queries.state_counts, workspace):
            kept[TERM[State(row["state"])]] += row["events"]
        problems += [
            f"workspace {workspace}: {counted[term.value]} events counted as {term.value}, {kept[term]} kept"
            for term in Term
            if counted[term.value] != kept[term]
        ]
        if counted["received"] != sum(kept.values()):
            problems.append(f"workspace {workspace}: {counted['received']} events received, {sum(kept.values())} kept")
    return problems


async def _bodies_kept(connection: Connection) -> list[str]:
    return [
        f"workspace {workspace}: chunk {row['chunk']} lacks the bodies of {row['events']} events"
        for workspace in await _workspaces(connection)
        for row in await connection.fetch(queries.lost_bodies, workspace)
    ]


async def _listed(connection: Connection) -> list[str]:
    return [
        f"workspace {workspace}: lists of their accounts lack {row['events']} events of chunk {row['chunk']}"
        for workspace in await _workspaces(connection)
        for row in await connection.fetch(listings.queries.not_listed, workspace)
    ]


async def _rollups_equal_events(connection: Connection) -> list[str]:
    problems: list[str] = []
    for workspace in await _workspaces(connection):
        raw = await measured_again(connection, workspace, problems)
        for row in await connection.fetch(queries.rollups, workspace):
            events, quantity = raw.pop((row["account"], row["meter_version"], row["bucket"]), (0, Decimal(0)))
            if (row["events"], row["quantity"]) != (events, quantity):
                problems.append(
                    f"workspace {workspace}: account {row['account']}, meter version {row['meter_version']}, "
                    f"{row['bucket']}: rolled up {row['quantity']} of {row['events']} events, "
                    f"the events say {quantity} of {events}"
                )
        problems += [
            f"workspace {workspace}: no rollup for {key}, the events say {value}" for key, value in raw.items()
        ]
    return problems[:20]


async def _days_equal_rollups(connection: Connection) -> list[str]:
    return [
        f"workspace {workspace}: account {row['account']}, meter version {row['meter_version']}: {row['kept']} on "
        f"{row['day']:%Y-%m-%d}, {row['quantity']} in its quarters of an hour"
        for workspace in await _workspaces(connection)
        for row in await connection.fetch(queries.wrong_days, workspace)
    ]


async def measured_again(
    connection: Connection, workspace: int, problems: list[str]
) -> dict[tuple[int, int, datetime], tuple[int, Decimal]]:
    """Events and quantity per (account, meter version, bucket), from the bodies alone."""
    rules = await Rules.load(connection, workspace)
    totals: dict[tuple[int, int, datetime], tuple[int, Decimal]] = {}
    last = 0
    while numbers := [
        row["chunk"] for row in await connection.fetch(body_queries.chunks_after, workspace, last, 2**62, _CHUNKS)
    ]:
        last = numbers[-1]
        chunks = await bodies.read(connection, workspace, numbers)
        rows = await connection.fetch(queries.keys_of_chunks, workspace, numbers)
        await rules.prepare(connection, (row["account"] for row in rows))
        for row in rows:
            try:
                judged = rules.judged(row, chunks[row["chunk"]][row["position"]])
                measures = [(view, meter.quantity(judged.data)) for view, meter in judged.meters]
            except BursarError as error:
                place = f"event {row['chunk']}.{row['position']}"
                problems.append(f"workspace {workspace}: {place} cannot be measured again: {error.message}")
                continue
            event = judged.event
            if event.timestamp != row["occurred_at"] or id_hash(workspace, event.id or "") != row["id_hash"]:
                problems.append(f"workspace {workspace}: event {event.id} is not what its key says")
            for view, quantity in measures:
                if quantity is not None:
                    key = (row["account"], view.version, bucket_start(row["occurred_at"]))
                    events, total = totals.get(key, (0, Decimal(0)))
                    totals[key] = (events + 1, total + quantity)
    return totals


async def _named(connection: Connection) -> list[str]:
    rows = await connection.fetch(names.queries.wrong_names, SCHEMA)
    return [f"workspace {r['workspace']}: what is kept of names is not what event {r['event']} says" for r in rows]


CHECKS: list[Check] = [
    Check("I2", "every event of a name that gets or loses a licence is kept as such", _named),
    Check("I1", "every acknowledged event is kept with its body", _bodies_kept),
    Check("I1", "every event is found by its account", _listed),
    Check("I2", "in = metered + unmetered + duplicate + rejected + pending + reverted", _balance),
    Check("I12", "rollups equal the raw events", _rollups_equal_events),
    Check("I12", "rollups of days equal those of their quarters of an hour", _days_equal_rollups),
]
