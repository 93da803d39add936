"""A client and an operator who do not give up, at a program that dies wherever it has not died yet."""

import contextlib
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection
from http.client import HTTPException
from pathlib import Path
from typing import Any

from bursar.core import crash
from tests.runtime.program import BURSAR, TOKEN, Program

PATIENCE = 120.0


class Story:
    """A client and an operator who do not give up: requests are sent again, a dead server is started again."""

    def __init__(self, folder: Path, marks: Path, points: Collection[str]) -> None:
        """Die at each of `points` once; those that have a mark in the folder `marks` already are passed over."""
        marks.mkdir()
        for name in crash.POINTS.keys() - {*points}:
            (marks / name).touch()
        self.folder = folder
        self.marks = marks
        self.environment = {**os.environ, "BURSAR_CRASH_DIR": str(marks)}
        self.token = TOKEN
        self.meter = ""
        self.starts = 0
        self.running = self._start()

    def _start(self) -> Program:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self.starts += 1
            running = Program(self.folder, "--workers", "1", "--allow-private-callbacks", environment=self.environment)
            with contextlib.suppress(AssertionError):  # it died under way: its next start goes on
                running.ready()
                return running
        raise AssertionError("it does not start")

    def died_everywhere(self) -> bool:
        """Whether it has died at each of its points."""
        return {path.name for path in self.marks.iterdir()} == {*crash.POINTS}

    def command(self, *arguments: str) -> Any:
        """What a command prints; one that was killed is run again."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            done = subprocess.run(
                [*BURSAR, *arguments, "--data-dir", str(self.folder), "--json"],
                capture_output=True, text=True, timeout=60, check=False, env=self.environment,
            )  # fmt: skip
            if done.returncode == 0:
                return json.loads(done.stdout)
            assert done.returncode == -9, done.stderr
        raise AssertionError("it is killed again and again")

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        key: str | None = None,
        media_type: str = "application/json",
        refused: str | None = None,
    ) -> Any:
        """The answer of a request that is sent until it has one; None for a refusal that names `refused`."""
        headers = {"authorization": f"Bearer {self.token}", "content-type": media_type}
        if key is not None:
            headers["idempotency-key"] = key
        data = None if body is None else json.dumps(body).encode()
        deadline = time.monotonic() + PATIENCE
        while True:
            request = urllib.request.Request(self.running.url + path, data, headers, method=method)
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    return json.loads(answer.read())
            except urllib.error.HTTPError as error:
                if error.code != 503:
                    said = error.read().decode()
                    if refused is not None and refused in said:
                        return None
                    raise AssertionError((method, path, said)) from error
            except (HTTPException, OSError, ValueError):
                pass
            assert time.monotonic() < deadline, f"{method} {path}: nobody answers"
            time.sleep(0.1)


def until(what: Callable[[], bool]) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)
