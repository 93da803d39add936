"""The pool and the transaction: the only ways for a room to reach PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import asyncpg

from bursar.core.errors import Unavailable
from bursar.db.niceness import give_way
from bursar.db.readers import Readers

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

SCHEMA = "bursar"
LETTERS = "bursar_local.letters"
"""The collation that tells letters of all scripts from each other without regard to case: lists are searched by it.

It stands in a schema of its own, which no backup holds: another version of PostgreSQL makes it in another way.
"""
SOON = 2.2
"""Seconds for PostgreSQL to take us in, and again to begin: a request hears within both that it is away."""
API_ROLE = "bursar_api"
"""The role that is bound to one workspace by row-level security."""
EXTENSIONS = ("btree_gist",)
"""Extensions of PostgreSQL that the tables need; a backup brings them along."""
READERS = 8
"""Connections for reads of one statement, beside the pool."""
LOOKUPS = 4
"""Connections for what comes before a workspace is known. Who asks the same at once shares an answer."""
KEPT = 10_000_000
"""Statements after which a connection is made anew: one of groups would be every half minute, with all its plans."""
GENTLE_ATTEMPTS = 10
GENTLE_PAUSE = 0.15
"""Seconds behind which Linux gives another session its weight; several may want one as a server starts."""
SESSION = {"search_path": SCHEMA, "timezone": "UTC", "application_name": "bursar"}

Row = asyncpg.Record
Connection: TypeAlias = "asyncpg.Connection[Row] | PoolConnectionProxy[Row]"
"""A connection inside a transaction. Rooms pass it on; only this module opens or ends one."""

T = TypeVar("T")
_Question: TypeAlias = tuple[str, tuple[Hashable, ...]]

# InternalClientError is what asyncpg raises for a statement after the server's farewell came between two statements.
_OUTAGES = (OSError, asyncpg.InternalClientError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError,
            asyncpg.AdminShutdownError, asyncpg.CrashShutdownError, asyncpg.TooManyConnectionsError,
            asyncpg.InterfaceError, asyncpg.DiskFullError, asyncpg.QueryCanceledError, TimeoutError)  # fmt: skip
_ONE_INSTANT = "isolation level repeatable read, read only"
_STEADY = "; set local enable_seqscan = off; set local plan_cache_mode = force_generic_plan"
_RETRYABLE = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


class _Connection(asyncpg.Connection[Row] if TYPE_CHECKING else asyncpg.Connection):  # type: ignore[misc]
    def get_reset_query(self) -> str:
        # A pooled connection carries no session state, so there is nothing to reset: a round trip saved per use.
        return ""


class Database:
    """A pool of connections to one PostgreSQL, and the transactions made with it."""

    joined = False
    """Whether all its transactions are one that somebody else ends."""

    def __init__(self, pool: "asyncpg.Pool[Row]", readers: Readers, lookups: Readers, dsn: str) -> None:
        self._pool = pool
        self._readers = readers
        self._lookups = lookups
        self._dsn = dsn
        self._answering: dict[_Question, asyncio.Future[None]] = {}
        self._following: dict[_Question, asyncio.Future[Row | None]] = {}

    @classmethod
    async def open(cls, dsn: str, *, size: int = 10, timeout: float = 4.0) -> "Database":
        """Connect. `timeout` is in seconds and bounds waiting for a free connection and every statement alike."""
        settings = {**SESSION, "statement_timeout": f"{1000 * timeout:.0f}"}
        pool = await asyncpg.create_pool(
            dsn,
            min_size=0,
            max_size=size,
            max_queries=KEPT,
            connection_class=_Connection,
            server_settings=settings,
            command_timeout=timeout + 0.4,
            timeout=timeout,
        )
        readers = Readers(dsn, settings, API_ROLE, size=min(size, READERS), timeout=timeout)
        lookups = Readers(dsn, settings, None, size=min(size, LOOKUPS), timeout=timeout)
        return cls(pool, readers, lookups, dsn)

    @property
    def dsn(self) -> str:
        """Where it is, for a process of one's own that works on it."""
        return self._dsn

    @property
    def size(self) -> int:
        """How many transactions there can be at once."""
        return self._pool.get_max_size()

    async def close(self) -> None:
        """Wait for what runs, then close every connection."""
        await self._lookups.close()
        await self._readers.close()
        await self._pool.close()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """A pooled connection; one on which a statement ran out of time or met an outage is dropped.

        Asking a PostgreSQL that hangs to cancel the statement would take as long again. One that merely is slow ends
        the statement by its own timeout. And one that is being shut down by a crash says so in the middle of a
        statement, after which it answers nothing, not even a rollback.
        """
        try:
            async with self._pool.acquire(timeout=SOON) as connection:
                try:
                    yield connection
                except BaseException as error:
                    if _lost(error):
                        connection.terminate()
                    raise
        except _OUTAGES as error:
            raise Unavailable("the database cannot be reached right now; try again shortly") from error

    async def lookup(self, statement: str, *arguments: object) -> Row | None:
        """The first row of one statement outside any workspace: for what comes before one is known (token, login)."""
        async with self._connection() as connection:
            return await connection.fetchrow(statement, *arguments, timeout=SOON)

    async def shared_lookup(self, statement: str, *arguments: Hashable) -> Row | None:
        """As `lookup`, read-only, once for all who ask the same while the last one who asked it is being answered.

        Nobody gets an answer that was begun before they asked, so what was committed by then is in it.
        """
        question = (statement, arguments)
        following = self._following.get(question)
        if following is None:
            before = self._answering.get(question)
            if before is None:
                return await self._answer(question)
            following = asyncio.ensure_future(self._next_answer(question, before))
            following.add_done_callback(_heard)
            self._following[question] = following
        return await asyncio.shield(following)

    async def _next_answer(self, question: "_Question", before: "asyncio.Future[None]") -> Row | None:
        await asyncio.wait([before])
        # It begins: whoever asks from here on shares the next answer.
        del self._following[question]
        return await self._answer(question)

    async def _answer(self, question: "_Question") -> Row | None:
        mine = self._answering[question] = asyncio.get_running_loop().create_future()
        try:
            rows = await self._lookups.fetch(None, SOON, question[0], *question[1], timeout=SOON)
            return rows[0] if rows else None
        except _OUTAGES as error:
            raise Unavailable("the database cannot be reached right now; try again shortly") from error
        finally:
            mine.set_result(None)
            if self._answering.get(question) is mine:
                del self._answering[question]

    @asynccontextmanager
    async def transaction(
        self, workspace: int | None, *, steady: bool = False, first: str = ""
    ) -> AsyncIterator[Connection]:
        """One transaction on behalf of `workspace` (None: for all of them, as the worker and commands do).

        On behalf of a workspace it sees that workspace's rows alone: row-level security is the second wall. Commits
        when the block ends, rolls back when it raises. Raises `Unavailable` when PostgreSQL cannot be reached.

        `steady`: for few statements that look rows up by index and come very often. Each is planned once for a
        connection, for any parameters, and its plan does not go through tables, however small they were by then.
        `first`: a statement without parameters, for locks, that is sent along with BEGIN.
        """
        also = f"{_STEADY if steady else ''}{f'; {first}' if first else ''}"
        async with self._connection() as connection, _begun(connection, workspace, also=also, waits=bool(first)):
            yield connection

    @asynccontextmanager
    async def reading(self, workspace: int) -> AsyncIterator[Connection]:
        """As `transaction`, but read-only and of a single instant: what one statement found, the next one finds too."""
        async with self._connection() as connection, _begun(connection, workspace, _ONE_INSTANT):
            yield connection

    async def ask(self, workspace: int, work: Callable[[Connection], Awaitable[T]]) -> T:
        """What `work` reads on behalf of `workspace`: with one statement, in one round trip and without a transaction.

        Work that turns out to need several is done again from the start, as in `reading`: it must only read. Either way
        it sees that workspace's rows alone. Raises `Unavailable` when PostgreSQL cannot be reached.
        """
        try:
            return await work(cast("Connection", _Single(self._readers, workspace)))
        except _Several:
            async with self.reading(workspace) as connection:
                return await work(connection)
        except _OUTAGES as error:
            raise Unavailable("the database cannot be reached right now; try again shortly") from error

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """One read-only transaction over all workspaces that sees a single instant, whatever is committed meanwhile."""
        async with self._connection() as connection, _begun(connection, None, _ONE_INSTANT):
            yield connection

    async def run(
        self,
        workspace: int | None,
        work: Callable[[Connection], Awaitable[T]],
        *,
        steady: bool = False,
        first: str = "",
    ) -> T:
        """`work` in a transaction, again from the start (three times in all) where PostgreSQL broke a deadlock."""
        for attempt in range(3):
            try:
                async with self.transaction(workspace, steady=steady, first=first) as connection:
                    return await work(connection)
            except _RETRYABLE:
                if attempt == 2:
                    raise
                await asyncio.sleep(0.01 * (attempt + 1))
        raise AssertionError("unreachable")

    def session(self, *setup: str, gentle: bool = False) -> "Session":
        """A connection outside the pool that keeps state of its own, made by the statements of `setup`.

        `gentle`: what PostgreSQL does for it gives way to others, where it runs on this machine.
        """
        return Session(self._dsn, setup, gentle=gentle)


class _Several(Exception):
    """A second statement where there may be one: of another instant than the first."""


class _Single:
    """Stands for a connection in work that reads with one statement."""

    __slots__ = ("_readers", "_workspace")

    def __init__(self, readers: Readers, workspace: int) -> None:
        self._readers: Readers | None = readers
        self._workspace = workspace

    async def fetch(self, statement: str, *arguments: object) -> list[Row]:
        """As a connection's."""
        readers, self._readers = self._readers, None
        if readers is None:
            raise _Several
        return await readers.fetch(self._workspace, SOON, statement, *arguments)

    async def fetchrow(self, statement: str, *arguments: object) -> Row | None:
        """As a connection's."""
        rows = await self.fetch(statement, *arguments)
        return rows[0] if rows else None

    async def fetchval(self, statement: str, *arguments: object) -> Any:
        """As a connection's."""
        row = await self.fetchrow(statement, *arguments)
        return None if row is None else row[0]


class Session:
    """One connection that keeps session state (settings, prepared statements): for the flushers.

    Connects when first used, and again after PostgreSQL was away.
    """

    def __init__(self, dsn: str, setup: tuple[str, ...], *, gentle: bool = False) -> None:
        self._dsn = dsn
        self._setup = setup
        self._gentle = gentle
        self._connection: asyncpg.Connection[Row] | None = None

    @asynccontextmanager
    async def transaction(self, first: str = "") -> AsyncIterator[Connection]:
        """One transaction over all workspaces. Raises `Unavailable` when PostgreSQL cannot be reached.

        `first`: a statement without parameters, for locks, that is sent along with BEGIN.
        """
        async with (
            self.alone() as connection,
            _begun(connection, None, also=f"; {first}" if first else "", waits=True),
        ):
            yield connection

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[Connection]:
        """The connection, for statements each of which is a transaction. Raises as `transaction`."""
        try:
            yield await self._open()
        except _OUTAGES as error:
            if self._connection is not None:
                self._connection.terminate()
                self._connection = None
            raise Unavailable("the database cannot be reached right now; try again shortly") from error

    async def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _open(self) -> "asyncpg.Connection[Row]":
        if self._connection is None or self._connection.is_closed():
            connection = await asyncpg.connect(self._dsn, server_settings=SESSION, command_timeout=30, timeout=4.0)
            for statement in self._setup:
                await connection.execute(statement)
            self._connection = connection
            if self._gentle:
                await _give_way(self._dsn, connection.get_server_pid())
        return self._connection


async def _give_way(dsn: str, backend: int) -> None:
    for _ in range(GENTLE_ATTEMPTS):
        if not give_way(dsn, backend):
            return
        await asyncio.sleep(GENTLE_PAUSE)


@asynccontextmanager
async def _begun(
    connection: Connection, workspace: int | None, kind: str = "", *, also: str = "", waits: bool = False
) -> AsyncIterator[None]:
    """A transaction whose role and workspace are set in the round trip of its BEGIN, which sends `also` along.

    `waits`: that may wait for a lock, as long as any statement. Where it fails, PostgreSQL has begun nevertheless.
    """
    wall = "" if workspace is None else f"; set local role {API_ROLE}; set local bursar.workspace = {workspace:d}"
    try:
        await connection.execute(f"begin {kind}{wall}{also}", timeout=None if waits else SOON)
        yield
    except BaseException as error:
        # Where it is lost the connection is dropped, and the transaction with it.
        if not _lost(error) and not connection.is_closed():
            await connection.execute("rollback")
        raise
    await connection.execute("commit")


@asynccontextmanager
async def part(connection: Connection) -> AsyncIterator[None]:
    """A part of a transaction that is undone by itself where it raises."""
    await connection.execute("savepoint part")
    try:
        yield
    except BaseException as error:
        if not _lost(error) and not connection.is_closed():
            await connection.execute("rollback to savepoint part; release savepoint part")
        raise
    await connection.execute("release savepoint part")


def _lost(error: BaseException) -> bool:
    """Whether a connection on which `error` came up may be in the middle of something."""
    return isinstance(error, asyncio.CancelledError) or outage(error)


def outage(error: BaseException) -> bool:
    """Whether `error` says that PostgreSQL is away, rather than that a statement was wrong."""
    return isinstance(error, _OUTAGES)


def _heard(done: "asyncio.Future[Row | None]") -> None:
    """Look at an outcome that nobody may wait for any more, so that it is not reported as forgotten."""
    if not done.cancelled():
        done.exception()
