"""Faults that meet ingest: senders cut off, answers lost, servers that stand still, disks that are full."""

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.postgres import open_folder
from tests.runtime.program import Program, command, postmaster, program
from tests.runtime.test_faults import event, family
from tests.runtime.test_kill import (
    PATIENCE,
    SENDERS,
    Sender,
    nothing_lost_or_doubled,
    prepare,
    until_all_are_acknowledged,
)

STANDSTILL = max(1.0, float(os.environ.get("BURSAR_STANDSTILL", "0")))
"""Seconds for which a process stands still."""
PAUSES = (0, 0.002, 0.004, 0.008, 0.02, 0.2)
"""Seconds until a sender dies: before its request is read, in the middle of its flush, after its commit."""
DISK = 320
"""MB of the small disk."""
ROOM = 8
"""MB left on it when events begin to come."""


def request(token: str, names: list[str]) -> bytes:
    body = json.dumps({"events": [event(name) for name in names]}).encode()
    head = (
        f"POST /ingestBatch HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def connect(running: Program) -> socket.socket:
    url = urlsplit(running.url)
    return socket.create_connection((url.hostname, url.port), timeout=10)


def hang_up(stream: socket.socket) -> None:
    """End a connection at once, as a client that died: whatever is on its way is thrown away."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()


class Place(NamedTuple):
    """A running server, and who may send."""

    folder: Path
    running: Program
    token: str

    def balance(self) -> Any:
        return self.running.call("GET", "/bursar/v1/ingest/balance", token=self.token)

    def holds(self) -> None:
        assert command("verify", "--data-dir", str(self.folder))["holds"] is True
        assert self.running.failures() == [], "a client that hangs up, or an outage, is no failure of ours"


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with open_folder() as folder, program(folder) as running:
        yield Place(folder, running, prepare(running, folder))


def test_what_is_cut_off_is_not_there_and_what_is_answered_to_nobody_counts_once(place: Place) -> None:
    before = place.balance()
    whole = request(place.token, [f"cut-{n}" for n in range(50)])
    for end in range(0, len(whole), 300):
        stream = connect(place.running)
        stream.sendall(whole[:end])
        (hang_up if end % 600 else socket.socket.close)(stream)
    assert place.balance() == before, "nothing of a request that did not come"

    sent = 0
    for number in range(36):
        names = [f"lost-{number}-{n}" for n in range(20)]
        stream = connect(place.running)
        stream.sendall(request(place.token, names))
        time.sleep(PAUSES[number % len(PAUSES)])
        hang_up(stream)
        while True:
            with contextlib.suppress(urllib.error.HTTPError):
                body = {"events": [event(name) for name in names]}
                place.running.call("POST", "/ingestBatch", body, token=place.token)
                break
        sent += len(names)
    after = place.balance()
    assert after["metered"] == before["metered"] + sent
    assert after["received"] - before["received"] == sent + after["duplicate"] - before["duplicate"]
    assert after["duplicate"] > before["duplicate"], "no answer was lost after its commit"
    place.holds()


@contextlib.contextmanager
def standing(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def test_whoever_stands_still_loses_and_doubles_nothing(place: Place) -> None:
    """PostgreSQL with all its processes, then the server's process, then everything, in the middle of ingest."""
    before = place.balance()["metered"]
    target: dict[str, Any] = {"program": place.running, "token": place.token, "stop": False}
    senders = [Sender(number, target) for number in range(SENDERS)]
    for sender in senders:
        sender.start()
    servers = [pid for pid in family(place.running.process.pid) if _is_server(pid)]
    assert servers
    database = family(postmaster(place.folder))
    for stopped in (database, servers, [*database, *servers]):
        until_all_are_acknowledged(senders)
        with standing(stopped):
            time.sleep(STANDSTILL)
        until_all_are_acknowledged(senders)
    nothing_lost_or_doubled(target, senders, others=before)
    place.holds()


def _is_server(pid: int) -> bool:
    return b"bursar.runtime.server" in Path(f"/proc/{pid}/cmdline").read_bytes()


@contextlib.contextmanager
def small_disk() -> Iterator[Path]:
    """A disk of `DISK` MB."""
    with open_folder() as folder:
        place = folder / "disk"
        place.mkdir()
        options = f"size={DISK}m,mode=0755"
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "none", str(place)], capture_output=True, check=False
        )
        if mounted.returncode:
            pytest.skip("only root can make a small disk")
        try:
            yield place
        finally:
            subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_503_and_heals_once_there_is_room() -> None:
    with small_disk() as disk:
        running = Program(disk)
        running.ready()
        token = prepare(running, disk)
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        with (disk / "others").open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, free - (ROOM << 20))
        target = {"program": running, "token": token, "stop": False}
        senders = [Sender(number, target) for number in range(2)]
        for sender in senders:
            sender.start()
        try:
            answer = _until_refused(running, token)
            assert (answer.code, answer.headers["retry-after"]) == (503, "1")
            _until_it_stays_full(senders)
            with (disk / "more").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
                while filler.write(bytes(1 << 12)):
                    pass
            os.kill(postmaster(disk), signal.SIGKILL)
            _until_it_says(running, "trying again")
            assert running.process.poll() is None, running.said
            assert running.call("GET", "/livez", token=token)
            with pytest.raises(urllib.error.HTTPError):
                running.call("POST", "/ingestBatch", {"events": [event("full")]}, token=token)
            subprocess.run(["mount", "-o", "remount,size=2g", str(disk)], check=True)
            until_all_are_acknowledged(senders)
            nothing_lost_or_doubled(target, senders, others=1)
        finally:
            target["stop"] = True
        assert running.terminate() < 10
        assert command("verify", "--data-dir", str(disk))["holds"] is True
        assert running.failures() == []


def _until_refused(running: Program, token: str) -> urllib.error.HTTPError:
    """The answer to the first events for which there is no room."""
    deadline = time.monotonic() + PATIENCE
    number = 0
    while time.monotonic() < deadline:
        number += 1
        try:
            running.call("POST", "/ingestBatch", {"events": [event("full")]}, token=token)
        except urllib.error.HTTPError as error:
            return error
        time.sleep(0.05)
    raise AssertionError("the disk was not full")


def _until_it_says(running: Program, words: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not any(words in line for line in running.said):
        assert time.monotonic() < deadline, running.said
        time.sleep(0.05)


def _until_it_stays_full(senders: list[Sender]) -> None:
    """Wait until nobody has got anything acknowledged for a second."""
    deadline = time.monotonic() + PATIENCE
    before: list[int] = []
    since = time.monotonic()
    while time.monotonic() - since < 1:
        now = [sender.acknowledged for sender in senders]
        if now != before:
            before, since = now, time.monotonic()
        assert time.monotonic() < deadline, "the disk was not full"
        time.sleep(0.05)
