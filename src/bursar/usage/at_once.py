"""A small flush in one statement: the gate, what it guards, all that is stored, and the commit with it.

`flush` takes five round trips, each of which costs as much as ten events or so. Most flushes need nothing but their
inserts: their events are judged here by what was read before, and the statement stores them only where the workspace
still stands as it did, which it looks at behind the gate. Whatever is not as usual goes the other way.
"""

import struct
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import attrgetter

from bursar.db.database import Connection
from bursar.db.queries import Queries
from bursar.usage import bodies
from bursar.usage.flush import Receipt, Submission, judged
from bursar.usage.rows import EventRow, integers, summed, uuids
from bursar.usage.states import TERM, Term
from bursar.usage.views import Views

queries = Queries("bursar.usage", "at_once.sql")

MOST = 250
"""Events of a flush that is carried out at once. To copy more into the table takes less time."""


def fits(submissions: Sequence[Submission]) -> bool:
    """Whether a flush is so small, and so usual, that it may be carried out at once."""
    if not 0 < sum(len(one.parsed.events) for one in submissions) <= MOST:
        return False
    workspace = submissions[0].workspace
    return not any(one.skip_known or one.keyed or one.workspace != workspace for one in submissions)


async def flush_at_once(
    connection: Connection, views: Views, submissions: Sequence[Submission], wall: datetime, flusher: int
) -> list[Receipt] | None:
    """Admit `submissions`, and commit; None, and nothing is stored, where they have to go the other way.

    One receipt each, in their order. `connection` has no transaction, and is set up as for `flush`.
    Raises `asyncpg.UniqueViolationError` where one of the ids is taken.
    """
    workspace = submissions[0].workspace
    tenant = views.known(workspace, set().union(*(one.parsed.accounts for one in submissions)), wall)
    if tenant is None:
        return None
    rows, chunks = await judged({workspace: tenant}, submissions, range(len(submissions)))
    receipts = [Receipt() for _ in submissions]
    for row in rows:
        if row.verdict.state < 0 or row.verdict.license is not None:
            return None
        receipts[row.submission].states[row.verdict.state] += 1
    ordered = sorted(rows, key=attrgetter("id_digest"))
    ids = [row.id_digest for row in ordered]
    deltas = summed(rows).deltas()
    if len(set(ids)) < len(ids) or len(deltas[0]) > 1:
        return None
    (chunk,) = chunks
    stored: bool = await connection.fetchval(
        queries.admit_at_once,
        workspace,
        tenant.version,
        integers({one.token for one in submissions if one.token is not None}),
        wall,
        *_columns(ordered),
        wall.date(),
        flusher,
        *_counts(receipts),
        *(column[0] if column else None for column in deltas[2:]),
        chunk.events,
        *bodies.compressed(chunks),
    )
    return receipts if stored else None


def _columns(rows: Sequence[EventRow]) -> list[str]:
    """Columns of events, as texts of arrays."""
    return [
        uuids([row.id_digest for row in rows]),
        integers([row.verdict.account or 0 for row in rows]),
        integers([row.occurred for row in rows]),
        integers(struct.unpack(f">{len(rows)}q", b"".join([row.body_digest for row in rows]))),
        integers([row.position for row in rows]),
        integers([row.verdict.schema or 0 for row in rows]),
        integers([int(row.verdict.state) for row in rows]),
    ]


def _counts(receipts: Iterable[Receipt]) -> tuple[int, int]:
    """How many events are metered, and how many are not."""
    counts: dict[Term, int] = defaultdict(int)
    for receipt in receipts:
        for state, count in receipt.states.items():
            counts[TERM[state]] += count
    return counts[Term.METERED], counts[Term.UNMETERED]
