"""The ceiling of ingest: a server process whose flush is nothing but COPY into a bare table with the same unique key.

`python -m benchmarks.bare DSN FD`: HTTP, tokens, decoding and the queue are those of the server; what is left out is
everything that makes an event count: names, schemas, meters, repeats, rollups, bodies, the balance of events.
"""

import asyncio
import struct
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import uvloop

from bursar.http.limits import Limiter
from bursar.http.yeti.lifetimes import Lifetimes
from bursar.runtime import collector, logs, server
from bursar.runtime.child import told
from bursar.usage.event import id_digest
from bursar.usage.flush import Receipt, Submission
from bursar.usage.flusher import Flusher
from bursar.usage.pipeline import Pipeline
from bursar.usage.rows import micros
from bursar.usage.states import State

TABLE = "bench_event"
MAKE = (
    f"drop table if exists {TABLE}",
    f"create table {TABLE} (id_hash uuid primary key, workspace int not null, occurred_at timestamptz not null,"
    " received_at timestamptz not null, account bigint not null, number bigint not null)",
)
_ROW = struct.Struct(">h i16s ii iq iq iq iq".replace(" ", ""))
_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TAIL = b"\xff\xff"


class Bare(Pipeline):
    """Admission that keeps what it gets and does nothing with it."""

    def start(self) -> None:
        """Begin to flush, without folding: that would be what the server beside has left."""
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._flushers)]

    def _flusher(self) -> Flusher:
        return _Copier(self._db, self._clock, None, self._caution)


class _Copier(Flusher):
    async def commit(self, submissions: list[Submission]) -> list[Receipt]:
        """Copy what was sent."""
        received = micros(datetime.now(UTC))
        parts = [_HEAD]
        receipts = []
        for submission in submissions:
            workspace = submission.workspace
            for place, event in submission.parsed.events:
                digest = id_digest(workspace, event.id or "")
                occurred = micros(event.timestamp)
                parts.append(_ROW.pack(6, 16, digest, 4, workspace, 8, occurred, 8, received, 8, 1, 8, place))
            states = {State.COMPLETED_EVENT_METERED: len(submission.parsed.events)}
            receipts.append(Receipt(states))
        parts.append(_TAIL)
        async with self.session.transaction() as connection:
            await connection.copy_to_table(TABLE, source=_once(b"".join(parts)), format="binary")
        return receipts


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


if __name__ == "__main__":
    logs.configure()
    collector.settle()
    vars(server)["Pipeline"] = Bare
    uvloop.run(server.serve(told(), int(sys.argv[1]), Limiter(0), Lifetimes(600, 600), 1))
