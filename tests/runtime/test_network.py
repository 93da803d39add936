"""The network between the server and its PostgreSQL: cut, gone silent, healed."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.postgres import fresh_database, open_folder
from tests.runtime.program import TOKEN, program
from tests.runtime.test_faults import LIMIT, outcome

HEALED_WITHIN = 50.0


class Wire:
    """A TCP port that leads to PostgreSQL's socket, while nobody disturbs it."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._flows = threading.Event()
        self._flows.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if not self._flows.is_set() and self._refuses:
                    near.close()
                    continue
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._target)
                self._pairs.append((near, far))
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(65_536):
                self._flows.wait()
                sink.sendall(content)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    _refuses = False

    @contextlib.contextmanager
    def broken(self, *, cut: bool) -> Iterator[None]:
        """Nothing comes through; where `cut`, connections are closed and new ones refused, else all is silence."""
        self._refuses = cut
        self._flows.clear()
        if cut:
            for pair in self._pairs:
                for end in pair:
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
            self._pairs.clear()
        try:
            yield
        finally:
            self._flows.set()

    def close(self) -> None:
        """End everything."""
        self._listener.close()
        for pair in self._pairs:
            for end in pair:
                end.close()


@contextlib.contextmanager
def wired(server: str) -> Iterator[tuple[Wire, str]]:
    """A wire to a database of its own, and the DSN by way of it."""
    with fresh_database(server) as dsn:
        parts = urlsplit(dsn)
        folder = parse_qs(parts.query).get("host")
        if folder is None:
            pytest.skip("the PostgreSQL of these tests is not reached by a socket of its own")
        wire = Wire(f"{folder[0]}/.s.PGSQL.5432")
        try:
            yield wire, f"postgresql://{parts.username}@127.0.0.1:{wire.port}{parts.path}?sslmode=disable"
        finally:
            wire.close()


def test_a_cut_or_silent_network_is_503_in_time_and_heals(dsn: str) -> None:
    with wired(dsn) as (wire, url), open_folder() as folder, program(folder, "--database-url", url) as running:
        customer = {"id": "acme", "name": "ACME", "primaryEmail": "a@example.com", "address": {}}
        requests = [("GET", "/customers", None), ("POST", "/customers", customer), ("GET", "/readyz", None)]
        assert outcome(running, TOKEN, "GET", "/customers")[0] == 200
        for cut in (True, False):
            with wire.broken(cut=cut):
                for _ in range(2):
                    with ThreadPoolExecutor(len(requests)) as pool:
                        answers = list(pool.map(lambda request: outcome(running, TOKEN, *request), requests))
                    assert [status for status, _ in answers] == [503] * len(requests), cut
                    assert max(seconds for _, seconds in answers) < LIMIT, cut
                    assert outcome(running, TOKEN, "GET", "/livez")[0] == 200
            deadline = time.monotonic() + HEALED_WITHIN
            while outcome(running, TOKEN, "GET", "/customers")[0] != 200:
                assert time.monotonic() < deadline, "it did not heal"
                time.sleep(0.1)
        assert running.failures() == []
        status, _ = outcome(running, TOKEN, "POST", "/customers", customer)
        assert status in (200, 400), "made now, or by one of the requests that had no answer"
        assert [entry["id"] for entry in running.call("GET", "/customers")["data"]] == ["acme"]
