"""The keep of event bodies: a narrow port, and its PostgreSQL adapter.

`append` writes what was received under its chunk number, once, as a flush does by what `columns` gives it; `read` gives
back the events of chunks in the order in which they came. Which events of an account lie where is told by `event_key`
and the lists of accounts, never by this port.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
import zstandard

from bursar.db.database import Connection
from bursar.db.queries import Queries
from bursar.usage.event import raws_of

queries = Queries("bursar.usage", "bodies.sql")

_LEVEL = 1
# One for the process, in whose loop alone bodies are compressed: to make it takes longer than a small body.
_compressor = zstandard.ZstdCompressor(level=_LEVEL)
_pack = msgspec.msgpack.Encoder()
_unpack = msgspec.msgpack.Decoder(list[bytes])


@dataclass(slots=True)
class Chunk:
    """The request bodies of one workspace in one flush."""

    number: int
    workspace: int
    events: int
    bodies: list[bytes]


PARTITIONS_AHEAD = 7
"""Days for which partitions are made ahead."""


async def make_partitions(connection: Connection, wall: datetime) -> None:
    """Make the partitions of today and the coming days, in a transaction of their own. Safe to run twice.

    Raises `asyncpg.LockNotAvailableError` while a backup holds the table: there is time until they are needed.
    """
    await connection.execute(queries.wait_briefly)
    for ahead in range(PARTITIONS_AHEAD + 1):
        await connection.fetchval(queries.make_partition, wall.date() + timedelta(days=ahead))


def compressed(chunks: list[Chunk]) -> list[bytes]:
    """The content of chunks as it is kept."""
    return [_compressor.compress(_pack.encode(chunk.bodies)) for chunk in chunks]


def columns(chunks: list[Chunk], contents: list[bytes] | None = None) -> list[list[Any]]:
    """Chunks as the last statement of a flush takes them along, for which `append` would be a round trip of its own.

    `contents` are what `compressed` made of them, where that is known.
    """
    return [
        [chunk.number for chunk in chunks],
        [chunk.workspace for chunk in chunks],
        [chunk.events for chunk in chunks],
        compressed(chunks) if contents is None else contents,
    ]


async def append(connection: Connection, received_at: datetime, chunks: list[Chunk]) -> None:
    """Keep chunks."""
    await connection.execute(queries.insert_bodies, received_at, *columns(chunks))


async def read(connection: Connection, workspace: int, numbers: Iterable[int]) -> dict[int, list[bytes]]:
    """The events of chunks by chunk number, each as it was sent."""
    rows = await connection.fetch(queries.read_bodies, workspace, sorted(set(numbers)))
    return {row["chunk"]: unpack(row["content"]) for row in rows}


def unpack(content: bytes) -> list[bytes]:
    """The events of one kept chunk."""
    bodies = _unpack.decode(zstandard.ZstdDecompressor().decompress(content))
    return [raw for body in bodies for raw in raws_of(body)]
