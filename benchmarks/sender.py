"""Sends events over kept connections for some seconds; prints how many were answered, the seconds and the slowness.

`python -m benchmarks.sender HOST PORT TOKEN BATCH CONNECTIONS SECONDS RATE DUPLICATES PREFIX EVENTS`: bodies of BATCH
events each are made before the first is sent, EVENTS events at most; with a RATE in requests per second each is sent at
its time, and its latency is from when it was due. DUPLICATES: every how manieth event repeats an id of long before; 0:
none. What is told to come again is sent again by another connection, and takes as long as that takes.
"""

import asyncio
import json
import re
import statistics
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import cast

import uvloop

from benchmarks.requester import LEAD

ACCOUNTS = 200
BACK = 40_000
"""Events after which an id comes again."""
AGAIN = 0.05
"""Seconds after which what was told to come again is sent again."""
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


def bodies(batch: int, prefix: str, events: int, duplicates: int) -> list[bytes]:
    """Requests' bodies: `events` events of the two hours before now, by the accounts' ids and aliases in turn."""
    start = datetime.now(UTC) - timedelta(hours=2)
    times = [(start + timedelta(seconds=second)).isoformat(timespec="seconds") for second in range(7200)]
    made = []
    for number in range(events):
        place = number - BACK if duplicates and number % duplicates == 0 and number >= BACK else number
        account = (place * 31) % ACCOUNTS
        name = f"account-{account}" if place % 2 else f"alias-{account}"
        made.append(
            f'{{"schemaName":"call","id":"{prefix}-{place}","timestamp":"{times[place % 7200]}","accountId":"{name}",'
            f'"attributes":[{{"name":"tokens","value":"{place % 997}.5"}}],"dimensions":{{"model":"large"}}}}'
        )
    if batch == 1:
        return [f'{{"event":{one}}}'.encode() for one in made]
    return [f'{{"events":[{",".join(made[at : at + batch])}]}}'.encode() for at in range(0, events, batch)]


class Load:
    """What all connections work off."""

    def __init__(self, address: tuple[str, int], requests: list[bytes], seconds: float, rate: float) -> None:
        self.address = address
        self.tasks: set[asyncio.Task[object]] = set()
        self.requests = requests
        self.rate = rate
        self.began = time.perf_counter()
        self.until = self.began + seconds
        self.sent = 0
        self.count = 0
        self.marks: list[float] = []
        self.ended = self.began
        self.open = 0
        self.again = 0
        """Requests that were sent again."""
        self.done = asyncio.get_running_loop().create_future()

    def take(self) -> tuple[float, bytes] | None:
        """The next request and when it is due."""
        if self.sent >= len(self.requests):
            return None
        due = self.began + self.sent / self.rate if self.rate else time.perf_counter()
        if due >= self.until:
            return None
        self.sent += 1
        return due, self.requests[self.sent - 1]

    def answered(self, due: float) -> None:
        """Keep how long one took."""
        self.ended = time.perf_counter()
        self.count += 1
        if not self.rate or due >= self.began + LEAD:
            self.marks.append(1000 * (self.ended - due))


class Connection(asyncio.Protocol):
    """One connection: a request, its answer, the next."""

    def __init__(self, load: Load, again: tuple[float, bytes] | None = None) -> None:
        self.load = load
        self.due, self.request = again or (0.0, b"")
        self.refused = False
        self.buffer = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast("asyncio.Transport", transport)
        if self.request:
            self.transport.write(self.request)
        else:
            self.load.open += 1
            self._next()

    def data_received(self, data: bytes) -> None:
        """Take an answer or a part of one."""
        self.buffer += data
        head, end, body = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return
        length = _LENGTH.search(head)
        if length is None or len(body) < int(length[1]):
            return
        if head.startswith(b"HTTP/1.1 503"):
            self.refused = True
            self.transport.close()
            return
        if not head.startswith(b"HTTP/1.1 202"):
            self._fail(self.buffer.decode(errors="replace"))
            return
        self.buffer = b""
        self.load.answered(self.due)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        """The last one ends the load."""
        if self.refused or isinstance(exc, ConnectionResetError):  # it was closed with a body on its way
            self.load.again += 1
            asyncio.get_running_loop().call_later(AGAIN, self._again)
            return
        self.load.open -= 1
        if exc is not None:
            self._fail(repr(exc))
        elif not self.load.open and not self.load.done.done():
            self.load.done.set_result(None)

    def _again(self) -> None:
        loop = asyncio.get_running_loop()
        again = loop.create_connection(lambda: Connection(self.load, (self.due, self.request)), *self.load.address)
        self.load.tasks.add(task := loop.create_task(again))
        task.add_done_callback(self.load.tasks.discard)

    def _fail(self, message: str) -> None:
        if not self.load.done.done():
            self.load.done.set_exception(RuntimeError(message))

    def _next(self) -> None:
        taken = self.load.take()
        if taken is None:
            self.transport.close()
            return
        self.due, self.request = taken
        pause = self.due - time.perf_counter()
        if pause > 0:
            asyncio.get_running_loop().call_later(pause, self.transport.write, self.request)
        else:
            self.transport.write(self.request)


async def main(host: str, port: int, connections: int, seconds: float, rate: float, requests: list[bytes]) -> None:
    """Send until the time or the requests are used up."""
    load = Load((host, port), requests, seconds, rate)
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(loop.create_connection(lambda: Connection(load), host, port) for _ in range(connections)))
    await load.done
    if load.again:
        print(f"{load.again} requests were told to come again", file=sys.stderr)
    cuts = statistics.quantiles(load.marks, n=100, method="inclusive")
    print(json.dumps([load.count, load.ended - load.began, cuts[49], cuts[98]]))


if __name__ == "__main__":
    host, port, token, batch, connections, seconds, rate, duplicates, prefix, events = sys.argv[1:]
    path = "/ingest" if batch == "1" else "/ingestBatch"
    head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\ncontent-length: "
    made = bodies(int(batch), prefix, int(events), int(duplicates))
    requests = [f"{head}{len(body)}\r\n\r\n".encode() + body for body in made]
    uvloop.run(main(host, int(port), int(connections), float(seconds), float(rate), requests))
