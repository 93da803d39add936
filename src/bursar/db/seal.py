"""The chain over the audit trail: each link is a hash of the one before and of a committed row.

Writers never wait for it: a row enters the chain after its transaction has committed, in a transaction of the sealer,
one sealer at a time. Changing, removing, reordering or inserting rows or links breaks the chain at that place. Whoever
may write every table could cut links off its end and set the head back: against that a head is kept elsewhere, and
`unreached` compares.
"""

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg

from bursar.core import crash
from bursar.db.database import Connection, Database, Row
from bursar.db.queries import Queries
from bursar.db.verify import Check

queries = Queries("bursar.db")

BATCH = 5_000
ORIGIN = bytes(32)
"""What stands before the first link."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Head:
    """The last link of a workspace's chain."""

    number: int
    hash: bytes


def link(before: bytes, number: int, row: Mapping[str, object] | Row) -> bytes:
    """The hash of a link: SHA-256 of the hash before it, its number and the row, each field behind its length."""
    recorded = row["recorded_at"]
    assert isinstance(recorded, datetime)
    fields = [
        before,
        str(number).encode(),
        str(row["workspace"]).encode(),
        str((recorded - _EPOCH) // timedelta(microseconds=1)).encode(),
        *(str(row[name]).encode() for name in ("actor", "action", "kind", "object", "detail")),
    ]
    return hashlib.sha256(b"".join(len(field).to_bytes(4, "big") + field for field in fields)).digest()


async def waiting(connection: Connection) -> bool:
    """Whether there are rows to seal; costs no write."""
    return bool(await connection.fetchval(queries.sealing_waits))


async def seal(connection: Connection, *, whole: bool = False) -> int:
    """Seal up to `BATCH` committed rows of all workspaces, in the order of their keys; returns how many.

    A transaction that commits late has rows with lower keys than some that are sealed: they come next. What lies below
    the floor is not looked at again, unless `whole`: it follows once every transaction that ran when a mark was set has
    ended, and what they left has been sealed. A transaction that has drawn a key and has no number of its own yet would
    be overlooked, which takes a process that is stopped between two instructions: looking at the whole finds such rows.
    """
    turn = await connection.fetchrow(queries.lock_sealer)
    assert turn is not None
    rows = await connection.fetch(queries.unsealed_rows, 0 if whole else turn["floor_key"], BATCH)
    if not rows:
        return 0
    heads = await read_heads(connection, {row["workspace"] for row in rows})
    links: list[tuple[int, int, int, bytes]] = []
    for row in rows:
        before = heads.get(row["workspace"], Head(0, ORIGIN))
        head = Head(before.number + 1, link(before.hash, before.number + 1, row))
        heads[row["workspace"]] = head
        links.append((row["workspace"], head.number, row["key"], head.hash))
    await connection.execute(queries.insert_seals, *map(list, zip(*links, strict=True)))
    crash.point("links made")
    await connection.execute(
        queries.save_heads,
        list(heads),
        [head.number for head in heads.values()],
        [head.hash for head in heads.values()],
    )
    if turn["settled"] and len(rows) < BATCH:
        await connection.execute(queries.move_floor, max(turn["next_floor_key"], rows[-1]["key"]))
    return len(rows)


async def seal_rest(db: Database) -> None:
    """Seal everything that has been committed and is not sealed. A broken chain is left as it is."""
    with contextlib.suppress(asyncpg.UniqueViolationError):  # a head was set back: `CHECKS` says so
        while True:
            async with db.transaction(None) as connection:
                if not await seal(connection, whole=True):
                    return


async def read_heads(connection: Connection, workspaces: Iterable[int] | None = None) -> dict[int, Head]:
    """The heads of the chains of these workspaces, or of all."""
    rows = await connection.fetch(queries.audit_heads, None if workspaces is None else list(workspaces))
    return {row["workspace"]: Head(row["number"], row["hash"]) for row in rows}


async def unreached(connection: Connection, workspace: int, kept: Head) -> str | None:
    """What is wrong where a chain does not go through a head that was kept elsewhere."""
    found = await connection.fetchval(queries.hash_at, workspace, kept.number)
    if found is None:
        return f"the chain ends before link {kept.number}, which was seen: links were cut off"
    if found != kept.hash:
        return f"link {kept.number} is not the one that was seen: the chain was made anew"
    return None


async def _unbroken(connection: Connection) -> list[str]:
    problems: list[str] = []
    heads = await read_heads(connection)
    for row in await connection.fetch(queries.chained_workspaces):
        problems += await _broken(connection, row["workspace"], heads.get(row["workspace"]))
    return problems[:_PROBLEMS]


async def _broken(connection: Connection, workspace: int, head: Head | None) -> list[str]:
    problems: list[str] = []
    at = Head(0, ORIGIN)
    while len(problems) < _PROBLEMS:
        rows = await connection.fetch(queries.links, workspace, at.number, BATCH)
        if not rows:
            break
        for row in rows:
            number = at.number + 1
            if row["number"] != number:
                problems.append(f"links {number} to {row['number'] - 1} are missing")
            elif row["audit_key"] is not None and row["recorded_at"] is None:
                problems.append(f"the audit row of link {number} was removed")
            elif row["workspace"] != workspace or link(at.hash, number, row) != row["hash"]:
                problems.append(f"link {number} does not match its audit row and the link before: one was changed")
            at = Head(row["number"], row["hash"])
    if head is None or head != at:
        problems.append(f"the chain ends with link {at.number}, its head says {head.number if head else 0}")
    return [f"workspace {workspace}: {problem}" for problem in problems]


CHECKS = [Check("I11", "the audit trail is chained without a break", _unbroken)]
