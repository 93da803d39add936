"""What a flush hands to PostgreSQL: new events as the bytes of a COPY, what they measured, sums of the balance."""

import struct
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

import msgspec

from bursar.core.cycles import BUCKET
from bursar.core.heavy import turn
from bursar.db.database import Connection
from bursar.db.queries import Queries
from bursar.usage.admission import Verdict
from bursar.usage.event import Event, number_of_digest, uuid_of_digest
from bursar.usage.states import TERM, State, Term

queries = Queries("bursar.usage")


class EventRow(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One event on its way into `event_key`."""

    workspace: int
    id_digest: bytes
    body_digest: bytes
    occurred: int
    """`event.timestamp` in microseconds since the year 2000."""
    catalog_version: int
    chunk: int
    position: int
    """Its place among all events of the chunk."""
    submission: int
    place: int
    """Its place in its request."""
    event: Event
    verdict: Verdict


COPY_FROM = 64
"""Rows from which COPY is faster than arrays in a statement."""
STRETCH = 500
"""Events that are packed, in a millisecond, before others have their turn."""
SORTED = 2000
"""Digests that are sorted in a part of one."""

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)
BUCKET_TICKS = BUCKET // _TICK
"""Microseconds of a bucket of the rollups."""

# PostgreSQL's binary COPY: a header, then per row the number of fields and each field behind its length (-1: null).
_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TAIL = b"\xff\xff"
_COLUMNS = ["id_hash", "body_hash", "account", "occurred_at", "position", "workspace", "chunk", "catalog_version",
            "event_schema", "received_at", "state", "reason"]  # fmt: skip
# What differs from event to event, and what a flush has in common for many of them: packed once, used again.
_OWN = struct.Struct(">h i16s i8s iq iq ii".replace(" ", ""))
_COMMON = struct.Struct(">ii iq iq ii iq ih i".replace(" ", ""))
_INT8, _INT4, _INT2 = struct.Struct(">iq"), struct.Struct(">ii"), struct.Struct(">ih")
_NULL = struct.pack(">i", -1)


async def copy(
    connection: Connection, rows: dict[bytes, EventRow], received_at: datetime, order: Sequence[bytes] | None = None
) -> list[Sequence[Any]]:
    """Add events whose ids are new, given by the digest of their id; a few are returned as columns of `admit` instead.

    `order`: digests in their order, those of `rows` among them, where somebody has sorted them already.

    Raises `asyncpg.UniqueViolationError` where another transaction has brought one of the ids meanwhile. Ids go in
    their order, so that two flushes cannot wait for each other in a circle.
    """
    if order is None:
        digests = await in_order(rows)
    else:
        digests = [digest for digest in order if digest in rows]
    if digests and len(digests) < COPY_FROM:
        return list(zip(*(_values(rows[digest]) for digest in digests), strict=True))
    if digests:
        await connection.copy_to_table(
            "event_key", source=_pieces(rows, digests, received_at), columns=_COLUMNS, format="binary"
        )
    return [()] * _VALUES


async def in_order(digests: Iterable[bytes]) -> list[bytes]:
    """Digests in their order; others may do something in between.

    A sort of parts that are in order takes what the sorts of the parts did not take of it.
    """
    found = list(digests)
    if len(found) > STRETCH:
        for at in range(0, len(found), SORTED):
            await turn()
            found[at : at + SORTED] = sorted(found[at : at + SORTED])
        await turn()
    found.sort()
    return found


async def _pieces(rows: dict[bytes, EventRow], digests: Sequence[bytes], received_at: datetime) -> AsyncIterator[bytes]:
    """Rows as PostgreSQL's binary COPY has them: it takes those in that are packed while others are."""
    packer = _Packer(received_at)
    head = _HEAD
    for at in range(0, len(digests), STRETCH):
        if len(digests) > STRETCH:
            await turn()
        tail = _TAIL if at + STRETCH >= len(digests) else b""
        some = [rows[digest] for digest in digests[at : at + STRETCH]]
        yield b"".join((head, packer.packed(some), tail))
        head = b""


class _Packer:
    """Makes bytes of rows, in the order of `_COLUMNS`."""

    def __init__(self, received_at: datetime) -> None:
        self._received = micros(received_at)
        self._ends: dict[tuple[int, int | None, int], bytes] = {}

    def packed(self, rows: Sequence[EventRow]) -> bytes:
        """The rows."""
        parts: list[bytes] = []
        ends, pack, add = self._ends, _OWN.pack, parts.append
        for row in rows:
            verdict = row.verdict
            if verdict.account is None or verdict.schema is None or verdict.reason:
                add(_sparse(row, self._received))
                continue
            # A flush has one chunk for each workspace, and judges all of its events by one version of its rules.
            kind = (row.chunk, verdict.schema, verdict.state)
            end = ends.get(kind)
            if end is None:
                end = ends[kind] = _common(row, verdict.schema, self._received)
            add(pack(12, 16, row.id_digest, 8, row.body_digest, 8, verdict.account, 8, row.occurred, 4, row.position))
            add(end)
        return b"".join(parts)


def _common(row: EventRow, schema: int, received: int) -> bytes:
    return _COMMON.pack(
        4, row.workspace, 8, row.chunk, 8, row.catalog_version, 4, schema, 8, received, 2, row.verdict.state, 0
    )  # fmt: skip


def micros(moment: datetime) -> int:
    """Microseconds since the year 2000, as PostgreSQL stores an instant."""
    return (moment - _EPOCH) // _TICK


def _sparse(row: EventRow, received: int) -> bytes:
    """A row in which something is null or has a reason."""
    verdict = row.verdict
    reason = (verdict.reason or "").encode()
    return b"".join(
        (
            struct.pack(">h", len(_COLUMNS)),
            struct.pack(">i16s", 16, row.id_digest),
            struct.pack(">i8s", 8, row.body_digest),
            _NULL if verdict.account is None else _INT8.pack(8, verdict.account),
            _INT8.pack(8, row.occurred),
            _INT4.pack(4, row.position),
            _INT4.pack(4, row.workspace),
            _INT8.pack(8, row.chunk),
            _INT8.pack(8, row.catalog_version),
            _NULL if verdict.schema is None else _INT4.pack(4, verdict.schema),
            _INT8.pack(8, received),
            _INT2.pack(2, verdict.state),
            struct.pack(f">i{len(reason)}s", len(reason), reason),
        )
    )


_VALUES = 11


def _values(row: EventRow) -> tuple[Any, ...]:
    """The row's part in the columns of `admit`, `_VALUES` of them."""
    verdict = row.verdict
    return (
        uuid_of_digest(row.id_digest),
        number_of_digest(row.body_digest),
        verdict.account,
        row.catalog_version,
        row.event.timestamp,
        row.chunk,
        row.workspace,
        verdict.schema,
        row.position,
        int(verdict.state),
        verdict.reason or "",
    )


SHARES = 8
"""Rows into which the sums of a large flush go, so that a reader need not look at those of most other accounts: by the
remainder of the account, which statements that read them take too (`% 8`)."""
SHARED_FROM = 500
"""Accounts and buckets of a workspace from which its sums are shared out."""

CELLS = 500
"""Accounts and buckets of which a part of a millisecond's work is made."""

Deltas = list[list[Any]]
"""Columns of `usage_delta`: workspace, share, and arrays of accounts, meter versions, buckets, events, quantities."""


class Sums:
    """What events add to the rollups."""

    def __init__(self) -> None:
        self._cells: dict[tuple[int, int | None, int], dict[int, tuple[int, Decimal]]] = {}
        self._sizes: dict[int, int] = defaultdict(int)
        """How many of the cells are of each workspace."""
        self._deltas: list[tuple[Any, ...]] = []

    def add(self, rows: Iterable[EventRow]) -> None:
        """Some more events."""
        cells = self._cells
        for row in rows:
            verdict = row.verdict
            measures = verdict.measures
            if not measures:
                continue
            place = (row.workspace, verdict.account, row.occurred // BUCKET_TICKS)
            cell = cells.get(place)
            if cell is None:
                cell = cells[place] = {}
                self._sizes[row.workspace] += 1
            for meter_version, quantity in measures:
                if meter_version in cell:
                    events, total = cell[meter_version]
                    cell[meter_version] = (events + 1, total + quantity)
                else:
                    cell[meter_version] = (1, quantity)

    def deltas(self) -> Deltas:
        """As a flush keeps them. Buckets are counted in quarters of an hour since the year 2000."""
        for _ in self.steps():
            pass
        return self.columns()

    def steps(self) -> Iterator[None]:
        """Make what `columns` gives, a part in each step; all of them are to be gone."""
        parts: dict[tuple[int, int | None], tuple[list[Any], ...]] = {}
        shared = {workspace for workspace, size in self._sizes.items() if size >= SHARED_FROM}
        cells = iter(self._cells.items())
        while some := list(islice(cells, CELLS)):
            yield
            for (workspace, account, bucket), cell in some:
                assert account is not None  # what is measured has one
                key = (workspace, account % SHARES if workspace in shared else None)
                part = parts.get(key)
                if part is None:
                    part = parts[key] = ([], [], [], [], [])
                accounts, versions, buckets, counts, quantities = part
                for meter_version, (events, total) in cell.items():
                    accounts.append(account)
                    versions.append(meter_version)
                    buckets.append(bucket)
                    counts.append(events)
                    quantities.append(total)
        made = 0
        for key, part in parts.items():
            if made >= CELLS:
                made = 0
                yield
            made += len(part[0])
            self._deltas.append((*key, *map(integers, part[:4]), array(part[4])))

    def columns(self) -> Deltas:
        """`deltas`, of what the steps made."""
        return columns(self._deltas, 7)

    def rollups(self) -> list[str]:
        """As `add_rollups` takes them, in key order; nothing where there is nothing to add."""
        # No two have the same key, so nothing behind it is ever compared.
        ordered = sorted(
            [
                (workspace, account, meter_version, bucket, *total)
                for (workspace, account, bucket), cell in self._cells.items()
                for meter_version, total in cell.items()
            ]
        )
        columns = list(zip(*ordered, strict=True))
        return [*map(integers, columns[:5]), *map(array, columns[5:])]


def summed(rows: Iterable[EventRow]) -> Sums:
    """The sums of events."""
    sums = Sums()
    sums.add(rows)
    return sums


def columns(rows: Sequence[Sequence[Any]], count: int) -> list[list[Any]]:
    """Rows as arguments of a statement: a list of values for each of `count` columns."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(count)]


def array(values: Iterable[int | str | Decimal]) -> str:
    """Numbers or hexadecimal texts as the text of an array.

    PostgreSQL reads it in less time than its driver takes to look at every element of a list.
    """
    return "{" + ",".join(map(str, values)) + "}"


def integers(values: Collection[int]) -> str:
    """As `array`, of integers, in half of the time."""
    return "{" + str(list(values))[1:-1] + "}"


def uuids(digests: Iterable[bytes]) -> str:
    """As `array`, of 16 bytes each."""
    return "{" + b"".join(digests).hex(",", 16) + "}"


@dataclass(slots=True)
class Tally:
    """The sums that a flush adds to the balance, per workspace and term."""

    received: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    terms: dict[int, dict[Term, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))

    def add(self, workspace: int, state: State, count: int) -> None:
        """So many more events that were received and ended in `state`."""
        self.received[workspace] += count
        self.terms[workspace][TERM[state]] += count

    def arguments(self, day: date, flusher: int) -> Sequence[Any]:
        """The arguments of `count`."""
        workspaces = sorted(self.received)
        return [
            workspaces,
            day,
            flusher,
            [self.received[workspace] for workspace in workspaces],
            *([self.terms[workspace][term] for workspace in workspaces] for term in Term),
        ]
