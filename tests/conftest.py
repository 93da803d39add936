"""Fixtures: a real PostgreSQL, a running server, workspaces with their clients."""

import asyncio
import compileall
import itertools
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import uvicorn
from hypothesis import settings
from togai_client.api_client import ApiClient
from togai_client.configuration import Configuration

import bursar
from bursar.accounts.tokens import create_token
from bursar.accounts.workspaces import caller_of, create_workspace, set_clock
from bursar.core.caller import Caller
from bursar.db.database import API_ROLE, Database
from bursar.db.verify import Check
from bursar.runtime import logs
from bursar.runtime.server import application
from tests.conformance import Plugin, recorded
from tests.postgres import fresh_database, server_dsn

PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of our own servers, which speak no TLS: one that may have to reads a list of authorities first, each time
for 60 ms."""

_numbers = itertools.count(1)


# How long an example takes is the machine's affair.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # What waits for processes goes first: others work meanwhile, and none of it is left alone at the end.
    items.sort(key=lambda item: "runtime" not in item.path.parts)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # What goes wrong only now and then is done again and again: `make chaos` asks for twenty times.
    times = int(os.environ.get("BURSAR_AGAIN", "1"))
    if times > 1 and metafunc.definition.get_closest_marker("again"):
        metafunc.fixturenames.append("time_")
        metafunc.parametrize("time_", range(times))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "again: is repeated BURSAR_AGAIN times")
    config.pluginmanager.register(Plugin())
    if not hasattr(config, "workerinput"):
        # Where the environment keeps Python from it, each of some hundred processes would compile them anew.
        compileall.compile_dir(bursar.__path__[0], quiet=1)
    logs.configure()


@pytest.fixture(scope="session")
def dsn() -> Iterator[str]:
    with server_dsn() as server, fresh_database(server) as database:
        yield database


@pytest.fixture(scope="session")
async def database(dsn: str) -> AsyncIterator[Database]:
    db = await Database.open(dsn)
    yield db
    await db.close()


async def new_workspace(
    db: Database, *, sandbox: bool = True, clock: datetime | None = None, currency: str = "USD", timezone: str = "UTC"
) -> tuple[Caller, str, str]:
    """A workspace of its own: its caller, a token, its name."""
    wall = datetime.now(UTC)
    name = f"test-{next(_numbers)}"
    async with db.transaction(None) as connection:
        workspace = await create_workspace(
            connection, wall, "test", name, sandbox=sandbox, currency=currency, timezone=timezone
        )
        caller = caller_of(workspace, wall, "test")
        if clock is not None:
            workspace = await set_clock(connection, caller, clock)
            caller = caller_of(workspace, wall, "test")
        token, _ = await create_token(connection, caller, "test")
    return caller, token, name


@pytest.fixture
async def caller(database: Database) -> Caller:
    made, _, _ = await new_workspace(database)
    return made


async def broken(db: Database, caller: Caller, checks: Iterable[Check]) -> list[str]:
    """What does not hold in a workspace: row-level security leaves out what other tests have left behind."""
    async with db.transaction(caller.workspace) as connection:
        return [problem for check in checks for problem in await check.run(connection)]


async def broken_after(db: Database, caller: Caller, checks: Iterable[Check], damage: str, *arguments: object) -> Any:
    """What does not hold in a workspace, by check, after a superuser's statement past every trigger; it is undone."""
    found: dict[Check, list[str]] = {}
    async with db.transaction(None) as connection:
        await connection.execute("savepoint sound; set local session_replication_role = replica")
        changed = await connection.execute(damage, *arguments)
        assert not changed.endswith(" 0"), "there is nothing to damage"
        await connection.execute(f"set local role {API_ROLE}; set local bursar.workspace = {caller.workspace:d}")
        for check in checks:
            found[check] = await check.run(connection)
        await connection.execute("rollback to sound")
    return found


@dataclass
class Tenant:
    """A workspace on the running server."""

    url: str
    token: str
    name: str
    caller: Caller
    http: httpx.Client
    togai: ApiClient


@dataclass
class Server:
    """A server on a port of its own, in a thread of the tests, over real sockets."""

    dsn: str
    url: str
    database: Database
    """Apart from the server's own."""
    loop: asyncio.AbstractEventLoop
    tenants: list[Tenant] = field(default_factory=list)

    def run(self, work: Any) -> Any:
        """The result of `work(database)`, on connections that the tests of a process share."""
        return asyncio.run_coroutine_threadsafe(work(self.database), self.loop).result()

    def broken(self, tenant: Tenant, checks: Iterable[Check]) -> list[str]:
        """What does not hold in a workspace."""
        found: list[str] = self.run(lambda db: broken(db, tenant.caller, checks))
        return found

    def workspace(self, **options: Any) -> Tenant:
        """A workspace with a token and its clients."""
        caller, token, name = self.run(lambda db: new_workspace(db, **options))
        configuration = Configuration(host=self.url, access_token=token)
        tenant = Tenant(
            url=self.url,
            token=token,
            name=name,
            caller=caller,
            http=httpx.Client(
                base_url=self.url, headers={"authorization": f"Bearer {token}"}, timeout=30, verify=PLAIN
            ),
            togai=ApiClient(configuration),
        )
        self.tenants.append(tenant)
        return tenant


def _in_thread(work: Any) -> Any:
    """The result of `work` in a thread of its own: it starts an event loop where one may be running already."""
    result: list[Any] = []
    failure: list[BaseException] = []

    def call() -> None:
        try:
            result.append(work())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


@pytest.fixture(scope="session")
def server(dsn: str) -> Iterator[Server]:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or each answer waits 40 ms for an acknowledgement
    port = listener.getsockname()[1]
    ready, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        async with application(dsn) as app:
            config = uvicorn.Config(recorded(app), loop="uvloop", http="httptools", log_level="warning", lifespan="off")
            running = uvicorn.Server(config)
            task = asyncio.create_task(running.serve([listener]))
            ready.set()
            while not stop.is_set():
                await asyncio.sleep(0.05)
            running.should_exit = True
            await task

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(100)
    loop = asyncio.new_event_loop()
    works = threading.Thread(target=loop.run_forever)
    works.start()
    database = asyncio.run_coroutine_threadsafe(Database.open(dsn, size=2), loop).result()
    made = Server(dsn, f"http://127.0.0.1:{port}", database, loop)
    yield made
    for tenant in made.tenants:
        tenant.http.close()
    made.run(lambda database: database.close())
    loop.call_soon_threadsafe(loop.stop)
    works.join()
    loop.close()
    stop.set()
    thread.join(20)


@pytest.fixture
def tenant(server: Server) -> Tenant:
    return server.workspace()
