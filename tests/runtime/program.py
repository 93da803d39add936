"""The program as a user runs it: `bursar serve` in a process of its own, and commands beside it."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bursar.runtime.cli import main

TOKEN = "test-token-of-the-first-start"
BURSAR = [sys.executable, "-m", "bursar.runtime.cli"]


def outcome(*arguments: str) -> tuple[object, str, str]:
    """What a command exits with and says, run in this process: starting Python anew takes longer than most of them."""
    out, err = io.StringIO(), io.StringIO()
    with patch.object(sys, "argv", ["bursar", *arguments]):
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                main()
        except SystemExit as ended:
            return ended.code, out.getvalue(), err.getvalue()
    raise AssertionError("a command ends by exiting")


def command(*arguments: str, status: int = 0) -> Any:
    """The JSON that a command prints."""
    code, out, err = outcome(*arguments, "--json")
    assert code == status, (arguments, code, out, err)
    return json.loads(out) if out else err


class Program:
    """A running `bursar serve`, of one server process where the options do not ask for more."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        token: str | None = TOKEN,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        environment = {key: value for key, value in environment.items() if key not in ("BURSAR_TOKEN", "DATABASE_URL")}
        if token is not None:
            environment["BURSAR_TOKEN"] = token
        if "--workers" not in options:
            options = (*options, "--workers", "1")
        self.process = subprocess.Popen(
            [*BURSAR, "serve", "--port", "0", "--data-dir", str(folder), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            start_new_session=True,
        )
        self.said: list[str] = []
        self.url = ""

    def ready(self) -> str:
        """Wait for the ready line; returns the address."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.rstrip())
            if " is ready at " in line:
                self.url = line.rsplit(" ", 1)[1].strip()
                threading.Thread(target=self._listen, daemon=True).start()
                return self.url
        raise AssertionError(f"not ready: {self.said}")

    def _listen(self) -> None:
        """Read on to the end: nobody's log stops being read because the program has started."""
        assert self.process.stdout is not None
        self.said.extend(line.rstrip() for line in self.process.stdout)

    def failures(self) -> list[str]:
        """What it logged of requests that met something unexpected."""
        return [line for line in self.said if "request_failed" in line]

    def call(self, method: str, path: str, body: Any = None, *, token: str = TOKEN) -> Any:
        """The JSON answer; raises where there is none."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def terminate(self) -> float:
        """SIGTERM; returns the seconds until it ended, which it must with 0."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(15) == 0
        return time.monotonic() - began

    def kill(self) -> None:
        """SIGKILL of the parent."""
        self.process.kill()
        self.process.wait(10)


@contextmanager
def program(folder: Path, *options: str, token: str | None = TOKEN) -> Iterator[Program]:
    """A server that is ready, ended at the latest with the block."""
    running = Program(folder, *options, token=token)
    try:
        running.ready()
        yield running
    finally:
        if running.process.poll() is None:
            running.process.send_signal(signal.SIGTERM)
            running.process.wait(15)


def postmaster(folder: Path) -> int:
    """The pid of the PostgreSQL of a data directory."""
    return int((folder / "postgresql" / "postmaster.pid").read_text().splitlines()[0])


def alive(pid: int) -> bool:
    """Whether a process lives."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
