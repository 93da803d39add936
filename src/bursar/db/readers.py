"""Connections for reads of one statement, which take one round trip: there is no transaction to begin and to end.

Each cannot write. Those for requests are in their role and in a workspace, which stays until another is asked for. So
row-level security binds every statement here as it does in a transaction. A connection on which anything goes wrong is
closed, never used again: none is ever in doubt about its workspace. Others, for what comes before a workspace is known,
are in none and keep the role that they came with.
"""

import asyncio
from collections.abc import Mapping

import asyncpg

Row = asyncpg.Record


class Readers:
    """At most `size` connections, opened as they are needed."""

    def __init__(self, dsn: str, settings: Mapping[str, str], role: str | None, *, size: int, timeout: float) -> None:
        """`role` is that of requests; None for connections outside any workspace.

        `timeout`, in seconds, bounds connecting, as patience does, and, with a little more, every statement.
        """
        self._dsn = dsn
        self._settings = {**settings, "default_transaction_read_only": "on"}
        self._role = role
        self._size = size
        self._timeout = timeout
        self._free = asyncio.Semaphore(size)
        self._open = 0
        self._idle: list[tuple[int | None, asyncpg.Connection[Row]]] = []
        """Those that nobody uses, with their workspaces; the one that was used last stands at the end."""

    async def fetch(
        self, workspace: int | None, patience: float, statement: str, *arguments: object, timeout: float | None = None
    ) -> list[Row]:
        """The rows of a statement, which sees this workspace's alone; None where they are in none.

        `patience` bounds, in seconds, the wait for a connection and for it to be in the workspace; `timeout` the
        statement, where it is to end earlier than others.
        """
        if self._free.locked():
            await asyncio.wait_for(self._free.acquire(), patience)
        else:
            await self._free.acquire()
        try:
            connection = self._take(workspace)
            if connection is None:
                connection = await self._connected(workspace, patience)
            try:
                rows: list[Row] = await connection.fetch(statement, *arguments, timeout=timeout)
            except BaseException:
                self._drop(connection)
                raise
            self._idle.append((workspace, connection))
            return rows
        finally:
            self._free.release()

    async def close(self) -> None:
        """Wait for what runs, then close every connection."""
        for _ in range(self._size):
            await self._free.acquire()
        while self._idle:
            await self._idle.pop()[1].close()
        self._open = 0
        for _ in range(self._size):
            self._free.release()

    def _take(self, workspace: int | None) -> "asyncpg.Connection[Row] | None":
        """An idle connection that is in the workspace, the one that was used last."""
        for place in range(len(self._idle) - 1, -1, -1):
            if self._idle[place][0] == workspace:
                connection = self._idle.pop(place)[1]
                if not connection.is_closed():
                    return connection
                self._open -= 1
        return None

    async def _connected(self, workspace: int | None, patience: float) -> "asyncpg.Connection[Row]":
        """A new connection, or where there are as many as there may be, the one that has been idle for longest."""
        alive = [entry for entry in self._idle if not entry[1].is_closed()]
        self._open -= len(self._idle) - len(alive)
        self._idle = alive
        if self._open >= self._size:
            connection = self._idle.pop(0)[1]
            wall = ""
        else:
            self._open += 1
            wall = "" if self._role is None else f"set role {self._role}; "
            try:
                connection = await asyncpg.connect(
                    self._dsn,
                    server_settings=self._settings,
                    command_timeout=self._timeout + 0.4,
                    timeout=min(self._timeout, patience),
                )
            except BaseException:
                self._open -= 1
                raise
        try:
            if workspace is not None:
                await connection.execute(f"{wall}set bursar.workspace = {workspace:d}", timeout=patience)
        except BaseException:
            self._drop(connection)
            raise
        return connection

    def _drop(self, connection: "asyncpg.Connection[Row]") -> None:
        self._open -= 1
        connection.terminate()
