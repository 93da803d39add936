"""A process that admits rows of a file for an import which another process runs; see `import_hands`."""

import asyncio
import os
import signal
import sys

import msgspec
import uvloop

from bursar.core import crash
from bursar.core.errors import BursarError
from bursar.db.database import Database
from bursar.runtime import collector, logs
from bursar.runtime.child import die_with_parent
from bursar.runtime.import_admitting import Outcome, admit, pipeline
from bursar.usage.pipeline import Pipeline

LENGTH = 4
"""Bytes that say how long a message is, before each."""
AHEAD = 1 << 22
"""Bytes that are read ahead."""


class Order(msgspec.Struct):
    """Where rows go: the first line that it reads."""

    parent: int
    """Pid of the process that runs the import."""
    dsn: str
    workspace: int
    backfill: bool


class Rows(msgspec.Struct):
    """A message that it reads: events to let in."""

    number: int
    events: list[bytes]
    sound: bool


class Told(msgspec.Struct):
    """A message that it writes: what became of the rows with that number; without one, that it is ready."""

    number: int | None = None
    outcome: Outcome | None = None
    problem: str | None = None
    """Why there is no outcome."""


def framed(message: msgspec.Struct) -> bytes:
    """A message behind its length."""
    content = msgspec.msgpack.encode(message)
    return len(content).to_bytes(LENGTH, "big") + content


async def read(stream: asyncio.StreamReader) -> bytes:
    """The next message. Raises `asyncio.IncompleteReadError` where there is none."""
    return await stream.readexactly(int.from_bytes(await stream.readexactly(LENGTH), "big"))


async def _work(order: Order) -> None:
    stream = asyncio.StreamReader(limit=AHEAD)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), sys.stdin.buffer)
    decode = msgspec.msgpack.Decoder(Rows).decode
    db = await Database.open(order.dsn, size=4, timeout=300)
    running: set[asyncio.Task[None]] = set()
    try:
        async with pipeline(db) as through:
            _say(Told())
            while True:
                try:
                    rows = decode(await read(stream))
                except asyncio.IncompleteReadError:
                    break
                task = asyncio.create_task(_admit(through, order, rows))
                running.add(task)
                task.add_done_callback(running.discard)
    finally:
        await db.close()


async def _admit(through: Pipeline, order: Order, rows: Rows) -> None:
    try:
        outcome = await admit(through, order.workspace, rows.events, sound=rows.sound, backfill=order.backfill)
    except Exception as error:  # noqa: BLE001 - told to the process that asked, which ends this one
        _say(Told(rows.number, problem=error.message if isinstance(error, BursarError) else repr(error)))
    else:
        _say(Told(rows.number, outcome))


def _say(told: Told) -> None:
    sys.stdout.buffer.write(framed(told))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    logs.configure()
    crash.arm(os.environ.get("BURSAR_CRASH_DIR"))
    # Not through a buffer, which would take what comes behind the line as well.
    line = bytearray()
    while not line.endswith(b"\n"):
        line += os.read(0, 1) or b"\n"
    order = msgspec.json.decode(line, type=Order)
    die_with_parent(signal.SIGKILL, order.parent)
    collector.settle()
    uvloop.run(_work(order))
