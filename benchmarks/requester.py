"""Sends requests over kept connections for some seconds; prints how many were answered, the seconds and the slowness.

Reads from standard input: `{"requests": [[method, path, body], ...], "headers": {...}, "status": 201}`. Requests are
sent in a circle. With a rate, each is sent at its time, however long others take: latency is from when it was due, but
for the millisecond at most by which the timers of this process are late.
What is due in the first half second, when connections are opened and statements planned, is answered and not measured.
"""

import asyncio
import json
import statistics
import sys
import time
from typing import Any

import uvloop

TICK = 0.001
"""Seconds by which a timer is late with nobody to blame."""
LEAD = 0.5
"""Seconds of a load at a rate before what is measured."""


def _wire(host: str, headers: dict[str, str], method: str, path: str, body: str) -> bytes:
    content = body.encode()
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"content-length: {len(content)}", "", ""]).encode() + content


class _Load:
    """What all connections work off."""

    def __init__(self, requests: list[bytes], status: int, seconds: float, rate: float) -> None:
        self.requests = requests
        self.expected = f"HTTP/1.1 {status}".encode()
        self.began = time.perf_counter()
        self.until = self.began + seconds
        self.rate = rate
        self.sent = 0
        self.answered = 0
        self.marks: list[float] = []

    async def work(self, host: str, port: int) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        while True:
            number = self.sent
            due = self.began + number / self.rate if self.rate else time.perf_counter()
            if due >= self.until:
                break
            self.sent += 1
            pause = due - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
                due = min(max(due, time.perf_counter()), due + TICK)
            writer.write(self.requests[number % len(self.requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(self.expected):
                raise AssertionError(head + await reader.read(2000))
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            self.answered += 1
            if not self.rate or due >= self.began + LEAD:
                self.marks.append(1000 * (time.perf_counter() - due))
        writer.close()


async def main(host: str, port: int, connections: int, seconds: float, rate: float, work: dict[str, Any]) -> None:
    """Send until the time is over. `rate` is in requests per second; 0: as many as are answered."""
    requests = [_wire(host, work["headers"], *entry) for entry in work["requests"]]
    load = _Load(requests, work["status"], seconds, rate)
    await asyncio.gather(*(load.work(host, port) for _ in range(connections)))
    cuts = statistics.quantiles(load.marks, n=100, method="inclusive")
    print(json.dumps([load.answered, time.perf_counter() - load.began, cuts[49], cuts[98]]))


if __name__ == "__main__":
    host, port, connections, seconds, rate = sys.argv[1:]
    uvloop.run(main(host, int(port), int(connections), float(seconds), float(rate), json.load(sys.stdin)))
