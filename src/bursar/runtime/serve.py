"""The parent: it holds the data directory, runs PostgreSQL, keeps a server and a worker alive until told to stop."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from bursar import __version__
from bursar.core.caller import DEFAULT
from bursar.core.errors import BursarError
from bursar.http.yeti.lifetimes import Lifetimes
from bursar.runtime.child import PRIVATE_CALLBACKS, die_with_parent
from bursar.runtime.datadir import DataDir, default_data_dir
from bursar.runtime.farewell import Farewell
from bursar.runtime.postgres import Cluster, PostgresFailed, Say
from bursar.runtime.wall import wall

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Where server processes keep their counters, so that each can answer for all (named by the metrics library)."""
DRAIN_SECONDS = 6.0
STOP_SECONDS = 9.0
START_SECONDS = 60.0
START_PAUSE = 2.0
"""Seconds between two tries to start PostgreSQL again."""


class PortTaken(BursarError):
    """The address cannot be listened on."""


class ServerFailed(BursarError):
    """The server did not become ready."""


@dataclass
class Parent:
    """Everything that one `bursar serve` runs."""

    host: str
    port: int
    data_dir: Path | None
    url: str | None
    workers: int
    """Server processes that share the port."""
    rate_limit: int
    """Requests per minute and token; 0: no limit."""
    ingest_limit: int
    """Events per second that are let in; 0: as many as can be stored."""
    lifetimes: Lifetimes
    """Of the tokens of people who log in."""
    worker: bool
    private_callbacks: bool
    """Whether requests to subscribers may go to private addresses."""
    say: Say
    _stopping: bool = False
    _next_start: float = 0.0
    """When PostgreSQL is to be started again after that failed, in monotonic seconds."""
    _cluster: Cluster | None = None
    _metrics: Path | None = None
    _heads: Path | None = None
    _listeners: list[socket.socket] = field(default_factory=list)
    _children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises a `BursarError` where it cannot start."""
        for reason in (signal.SIGTERM, signal.SIGINT):
            signal.signal(reason, self._stop)
        self._listeners = listen(self.host, self.port, self.workers)
        port = self._listeners[0].getsockname()[1]
        try:
            self._take_place()
            # They read their code while PostgreSQL goes through its log, and begin when they are told where it is.
            for number in range(1, self.workers + 1):
                self._spawn(f"server {number}")
            if self.worker:
                self._spawn("worker")
            dsn, token = self._open_database()
            if token is not None:
                self.say(f"API token of the workspace '{DEFAULT}', shown only now: {token}")
            for kind in self._children:
                self._tell(kind, dsn)
            self._await_ready(port)
            if not self._stopping:
                self.say(f"Bursar {__version__} is ready at {_url(self.host, port)}")
            while not self._stopping:
                self._keep_alive(dsn)
                time.sleep(0.1)
        finally:
            farewells = [Farewell(listener) for listener in set(self._listeners)]
            for farewell in farewells:
                farewell.start()
            self._end()
            for farewell in farewells:
                farewell.stop()
            for listener in self._listeners:
                listener.close()
            if self._metrics is not None:
                shutil.rmtree(self._metrics, ignore_errors=True)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _take_place(self) -> None:
        """Hold the data directory and set its PostgreSQL going, unless that is somebody else's."""
        if self.url:
            self._metrics = Path(tempfile.mkdtemp(prefix="bursar-metrics-"))
            return
        place = DataDir(self.data_dir or default_data_dir())
        place.prepare()
        if not place.acquire():
            raise place.busy()
        self._metrics = place.path / "metrics"
        shutil.rmtree(self._metrics, ignore_errors=True)
        self._metrics.mkdir()
        self._heads = place.heads
        self._cluster = Cluster(place, self.say)
        self._cluster.begin()

    def _open_database(self) -> tuple[str, str | None]:
        """Where the database is, brought up to date, and the first token where one was drawn."""
        # Now, since it takes a seventh of a second, and PostgreSQL has set out meanwhile.
        import asyncio  # noqa: PLC0415

        from bursar.runtime.connect import bring_up_to_date, first_start  # noqa: PLC0415

        if self._cluster is not None:
            dsn = self._cluster.finish()
        else:
            assert self.url is not None
            dsn = self.url
        bring_up_to_date(dsn)
        return dsn, asyncio.run(first_start(dsn, wall()))

    def _spawn(self, kind: str) -> None:
        """Start a process, which waits for `_tell`."""
        parent = os.getpid()
        module, _, number = kind.partition(" ")
        life = self.lifetimes
        handles = [self._listeners[int(number) - 1].fileno()] if number else []
        settings = [*handles, self.rate_limit, self.ingest_limit, self.workers, life.admin, life.customer]
        arguments = list(map(str, settings if handles else []))
        if module == "worker":
            arguments += [str(self._heads)] if self._heads is not None else []
            arguments += [PRIVATE_CALLBACKS] if self.private_callbacks else []
        self._children[kind] = subprocess.Popen(
            [sys.executable, "-m", f"bursar.runtime.{module}", *arguments],
            stdin=subprocess.PIPE,
            pass_fds=handles,
            # A session of its own: Ctrl-C reaches the parent alone, which lets the children drain.
            start_new_session=True,
            env={**os.environ, METRICS_FOLDER: str(self._metrics)} if self.workers > 1 else None,
            preexec_fn=lambda: die_with_parent(signal.SIGKILL, parent),  # noqa: PLW1509 - one thread, one system call
        )

    def _tell(self, kind: str, dsn: str) -> None:
        """Tell a process where PostgreSQL is: by its input. Arguments are for all to see, and it may hold a secret."""
        handle = self._children[kind].stdin
        assert handle is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended, which is for others to notice
            handle.write(f"{dsn}\n".encode())
            handle.close()

    def _await_ready(self, port: int) -> None:
        import urllib.error  # noqa: PLC0415 - not before PostgreSQL has set out, as above
        import urllib.request  # noqa: PLC0415

        host = "127.0.0.1" if self.host in ("0.0.0.0", "") else self.host  # noqa: S104
        address = f"{_url(host, port)}/readyz"
        deadline = time.monotonic() + START_SECONDS
        while not self._stopping:
            try:
                with urllib.request.urlopen(address, timeout=2):  # noqa: S310 - our own address
                    return
            except (urllib.error.URLError, OSError):
                pass
            if (
                any(child.poll() is not None for kind, child in self._children.items() if kind != "worker")
                or time.monotonic() > deadline
            ):
                raise ServerFailed("the server process did not become ready; see its message above")
            time.sleep(0.05)

    def _keep_alive(self, dsn: str) -> None:
        if self._cluster is not None and not self._cluster.alive() and time.monotonic() >= self._next_start:
            self.say("PostgreSQL ended unexpectedly; starting it again")
            try:
                self._cluster.start()
            except (PostgresFailed, OSError) as error:
                # A full disk, for one: it is asked to come again until somebody has made room.
                self.say(f"{error}; trying again in {START_PAUSE:.0f} s")
                self._next_start = time.monotonic() + START_PAUSE
        for kind, child in list(self._children.items()):
            if child.poll() is not None and not self._stopping:
                self.say(f"the {kind} process ended unexpectedly ({child.returncode}); starting it again")
                time.sleep(0.2)
                self._spawn(kind)
                self._tell(kind, dsn)

    def _end(self) -> None:
        """Drain the children, then stop PostgreSQL: within ten seconds in all."""
        began = time.monotonic()
        for child in self._children.values():
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for child in self._children.values():
            try:
                child.wait(max(0.1, began + DRAIN_SECONDS - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if self._cluster is not None:
            self._cluster.stop(max(0.1, began + STOP_SECONDS - time.monotonic()))


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listen(host: str, port: int, count: int) -> list[socket.socket]:
    """Listening sockets for `count` processes on one port; 0 takes a free one. Raises `PortTaken`.

    On Linux each process has a socket of its own, among which the kernel spreads connections: of one that they share,
    whichever process wakes first takes all that wait.
    """
    alone = count == 1 or not sys.platform.startswith("linux")
    # Who may share a port may also share it with a server that is running already: so it is asked for alone first.
    first = _bind(host, port, share=False)
    if not alone:
        port = first.getsockname()[1]
        first.close()
        sockets = [_bind(host, port, share=True) for _ in range(count)]
    else:
        sockets = [first] * count
    for listener in sockets:
        listener.listen(2048)
        listener.set_inheritable(True)
    return sockets


def _bind(host: str, port: int, *, share: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if share:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    # Inherited by every connection. uvicorn does not know that a socket handed over is TCP and leaves it unset: an
    # answer in two parts would wait 40 ms for the first to be acknowledged.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
        if not share:
            listener.listen(1)  # SO_REUSEADDR lets two bind; only one may listen
    except (OSError, OverflowError) as error:
        listener.close()
        raise PortTaken(f"cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}") from None
    return listener
