"""One effect and one answer per idempotency key, however often a request is sent.

The record is written in the transaction of the effect: both are there or neither is. A twin that comes meanwhile waits
for it, in this process by a lock and across processes by the record's own row. Only what succeeded is kept, for 30
days: a request that was refused changed nothing and may be sent again under its key. Answers are kept sealed under the
key itself, of which only a hash is stored: an answer may hold a token or people's data.
"""

import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bursar.core import crash
from bursar.core.errors import BursarError, Invalid
from bursar.db.database import Connection, Database
from bursar.db.queries import Queries
from bursar.db.turns import Turns

queries = Queries("bursar.db", "idempotency.sql")

KEPT = timedelta(days=30)
KEY_LIMIT = 255
PURGE_BATCH = 10_000
T = TypeVar("T")


class KeyReused(BursarError):
    """The idempotency key belongs to another request."""


class KeyTaken(BursarError):
    """The idempotency key was used by another request meanwhile; send this one again."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request under an idempotency key."""

    workspace: int
    operation: str
    account: str
    """The account's id in the path, else empty: each account has keys of its own."""
    key: str
    request: bytes
    """Digest of all that makes the request what it is."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer."""

    status: int
    media_type: str
    body: bytes
    replayed: bool = False


Work = Callable[[Database], Awaitable[Outcome]]
_turns = Turns()


def check_key(key: str) -> None:
    """Raise `Invalid` for what is not 1 to 255 printable ASCII characters."""
    if not 1 <= len(key) <= KEY_LIMIT or not key.isascii() or not key.isprintable():
        raise Invalid("Idempotency-Key", f"must be 1 to {KEY_LIMIT} printable ASCII characters")


async def once(db: Database, attempt: Attempt, wall: datetime, work: Work) -> Outcome:
    """The outcome of `work`, which runs unless it succeeded under this key before.

    `work` gets a `Database` of which every transaction is part of one, with the record. Raises `KeyReused` for another
    request under the key, and whatever `work` raises, in which case nothing is left of it.
    """
    async with _turns.of((attempt.workspace, attempt.operation, attempt.account, attempt.key)):

        async def together(connection: Connection) -> Outcome:
            if not await _take(connection, attempt, wall):
                return await _replay(connection, attempt)
            crash.point("key taken")
            outcome = await work(_Joined(db, connection))
            await _close(connection, attempt, outcome)
            crash.point("key answered")
            return outcome

        outcome = await db.run(attempt.workspace, together)
        crash.point("key committed")
        return outcome


async def once_repeatable(db: Database, attempt: Attempt, wall: datetime, work: Work) -> Outcome:
    """As `once`, for work that has transactions of its own and changes nothing when it is done again.

    The record follows in a transaction of its own. After a crash between, or beside a twin in another process, the work
    is done again; the first answer to be recorded is everybody's.
    """
    async with _turns.of((attempt.workspace, attempt.operation, attempt.account, attempt.key)):
        async with db.transaction(attempt.workspace) as connection:
            known = await connection.fetchval(
                queries.record_in_force, attempt.workspace, attempt.operation, attempt.account, _hash(attempt.key),
                wall - KEPT,
            )  # fmt: skip
            if known:
                return await _replay(connection, attempt)
        outcome = await work(db)
        crash.point("repeatable done")

        async def record(connection: Connection) -> Outcome:
            if not await _take(connection, attempt, wall):
                return await _replay(connection, attempt)
            await _close(connection, attempt, outcome)
            return outcome

        return await db.run(attempt.workspace, record)


async def once_recorded(
    db: Database, attempt: Attempt, wall: datetime, work: Callable[[], Awaitable[Outcome]], again: type[BursarError]
) -> Outcome:
    """As `once`, for work that has a transaction of its own and in it calls `take`, then `close` or `drop`.

    Where it says by an `again` that it was done before, it may have been by a twin in another process, or by one whose
    process died before it could answer: then the record is there, and its answer is everybody's.
    """
    async with _turns.of((attempt.workspace, attempt.operation, attempt.account, attempt.key)):
        known = await _recorded(db, attempt, wall)
        if known is not None:
            return known
        try:
            return await work()
        except (again, KeyTaken):
            known = await _recorded(db, attempt, wall)
            if known is None:
                raise
            return known


async def _recorded(db: Database, attempt: Attempt, wall: datetime) -> Outcome | None:
    async with db.transaction(attempt.workspace) as connection:
        known = await connection.fetchval(
            queries.record_in_force, attempt.workspace, attempt.operation, attempt.account, _hash(attempt.key),
            wall - KEPT,
        )  # fmt: skip
        return await _replay(connection, attempt) if known else None


async def take(connection: Connection, attempt: Attempt, wall: datetime) -> bool:
    """Take a key for the rest of the transaction, once whoever has it in hand has ended; whether it was to be had."""
    return await _take(connection, attempt, wall)


async def close(connection: Connection, attempt: Attempt, outcome: Outcome) -> None:
    """Record the answer under a key that was taken."""
    await _close(connection, attempt, outcome)


async def drop(connection: Connection, attempt: Attempt) -> None:
    """Give back a key that was taken: what was asked for under it was refused."""
    await connection.execute(
        queries.drop_record, attempt.workspace, attempt.operation, attempt.account, _hash(attempt.key)
    )


async def purge(connection: Connection, wall: datetime) -> int:
    """Remove records that are older than 30 days, up to `PURGE_BATCH`; returns how many."""
    return int((await connection.execute(queries.purge_records, wall - KEPT, PURGE_BATCH)).split()[-1])


async def _take(connection: Connection, attempt: Attempt, wall: datetime) -> bool:
    """Take the key, once whoever has it in hand has ended; whether it was to be had."""
    fresh = await connection.fetchval(
        queries.open_record, attempt.workspace, attempt.operation, attempt.account, _hash(attempt.key),
        attempt.request, wall, wall - KEPT,
    )  # fmt: skip
    return bool(fresh)


async def _replay(connection: Connection, attempt: Attempt) -> Outcome:
    row = await connection.fetchrow(
        queries.find_record, attempt.workspace, attempt.operation, attempt.account, _hash(attempt.key)
    )
    assert row is not None
    if row["request"] != attempt.request:
        raise KeyReused("Idempotency-Key: belongs to another request with another body or path; use a new key")
    sealed: bytes = row["answer"]
    body = AESGCM(_secret(attempt)).decrypt(sealed[:12], sealed[12:], None)
    return Outcome(row["status"], row["media_type"], body, replayed=True)


async def _close(connection: Connection, attempt: Attempt, outcome: Outcome) -> None:
    # The nonce may be fixed by the request: under one secret only one answer is ever sealed for it.
    nonce = hashlib.sha256(attempt.request + outcome.body).digest()[:12]
    sealed = nonce + AESGCM(_secret(attempt)).encrypt(nonce, outcome.body, None)
    await connection.execute(
        queries.close_record, attempt.workspace, attempt.operation, attempt.account, _hash(attempt.key),
        outcome.status, outcome.media_type, sealed,
    )  # fmt: skip


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _secret(attempt: Attempt) -> bytes:
    place = f"{attempt.workspace}:{attempt.operation}:{attempt.account}"
    return hmac.digest(attempt.key.encode(), place.encode(), "sha256")


class _Joined(Database):
    """A database of which all transactions are one that somebody else ends."""

    joined = True

    def __init__(self, db: Database, connection: Connection) -> None:
        super().__init__(db._pool, db._readers, db._lookups, db._dsn)
        self._joined = connection

    @asynccontextmanager
    async def transaction(
        self, workspace: int | None, *, steady: bool = False, first: str = ""
    ) -> AsyncIterator[Connection]:
        """The one transaction."""
        if first:
            await self._joined.execute(first)
        yield self._joined

    @asynccontextmanager
    async def reading(self, workspace: int) -> AsyncIterator[Connection]:
        """The one transaction: what it has written must be seen."""
        yield self._joined

    async def ask(self, workspace: int, work: Callable[[Connection], Awaitable[T]]) -> T:
        """`work` in the one transaction: what it has written must be seen."""
        return await work(self._joined)

    async def run(
        self,
        workspace: int | None,
        work: Callable[[Connection], Awaitable[T]],
        *,
        steady: bool = False,
        first: str = "",
    ) -> T:
        """`work` in the one transaction; where PostgreSQL breaks a deadlock, the whole is run again."""
        async with self.transaction(workspace, first=first) as connection:
            return await work(connection)
