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
from urllib.parse import urlsplit

import pytest

from tests.postgres import open_folder
from tests.runtime.program import Program, command, postmaster, program
from tests.runtime.test_faults import event, family
from tests.runtime.test_kill import (
    PATIENCE,
    Sender,
    nothing_lost_or_doubled,
    prepare,
    started,
    until_all_are_acknowledged,
)

STANDSTILL = max(1.0, float(os.environ.get("BURSAR_STANDSTILL", "0")))
"""Seconds for which a process stands still."""
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


def test_what_is_cut_off_is_not_there_and_what_is_answered_to_nobody_counts_once() -> None:
    with open_folder() as folder, program(folder) as running:
        token = prepare(running, folder)
        whole = request(token, [f"cut-{n}" for n in range(50)])
        for end in range(0, len(whole), 300):
            stream = connect(running)
            stream.sendall(whole[:end])
            (hang_up if end % 600 else socket.socket.close)(stream)
        balance = running.call("GET", "/bursar/v1/ingest/balance", token=token)
        assert balance["received"] == 0, "nothing of a request that did not come"

        sent = 0
        for number in range(36):
            names = [f"lost-{number}-{n}" for n in range(20)]
            stream = connect(running)
            stream.sendall(request(token, names))
            time.sleep(number % 12 / 1000)  # before it was read, in the middle of its flush, after its commit
            hang_up(stream)
            while True:
                with contextlib.suppress(urllib.error.HTTPError):
                    running.call("POST", "/ingestBatch", {"events": [event(name) for name in names]}, token=token)
                    break
            sent += len(names)
        balance = running.call("GET", "/bursar/v1/ingest/balance", token=token)
        assert balance["metered"] == sent
        assert balance["received"] == sent + balance["duplicate"]
        assert balance["duplicate"] > 0, "no answer was lost after its commit"
        assert command("verify", "--data-dir", str(folder))["holds"] is True
        assert running.failures() == [], "a client that hangs up is no failure of ours"


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


def test_whoever_stands_still_loses_and_doubles_nothing() -> None:
    """PostgreSQL with all its processes, then the server's process, then everything, in the middle of ingest."""
    with open_folder() as folder:
        target, senders = started(folder)
        running = target["program"]
        servers = [pid for pid in family(running.process.pid) if _is_server(pid)]
        assert servers
        for stopped in (family(postmaster(folder)), servers, [*family(postmaster(folder)), *servers]):
            until_all_are_acknowledged(senders)
            with standing(stopped):
                time.sleep(STANDSTILL)
            until_all_are_acknowledged(senders)
        nothing_lost_or_doubled(target, senders)
        assert running.terminate() < 10
        assert command("verify", "--data-dir", str(folder))["holds"] is True
        assert running.failures() == []


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
