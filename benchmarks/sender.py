"""Sends prepared bodies to `/ingestBatch` for some seconds; prints how many were answered, and the seconds."""

import asyncio
import json
import sys
import time
from pathlib import Path

import uvloop


async def _worker(host: str, port: int, token: str, bodies: list[bytes], state: dict[str, int], until: float) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    head = f"POST /ingestBatch HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\ncontent-length: "
    while time.perf_counter() < until and state["next"] < len(bodies):
        body = bodies[state["next"]]
        state["next"] += 1
        writer.write(f"{head}{len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 202"), answer
        length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        state["done"] += 1
    writer.close()


async def main(host: str, port: int, token: str, path: str, connections: int, seconds: float) -> None:
    """Send until the time or the bodies are used up."""
    content = Path(path).read_bytes()
    bodies: list[bytes] = []
    place = 0
    while place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        bodies.append(content[place + 4 : place + 4 + length])
        place += 4 + length
    state = {"next": 0, "done": 0}
    began = time.perf_counter()
    await asyncio.gather(*(_worker(host, port, token, bodies, state, began + seconds) for _ in range(connections)))
    print(json.dumps([state["done"], time.perf_counter() - began]))


if __name__ == "__main__":
    host, port, token, path, connections, seconds = sys.argv[1:]
    uvloop.run(main(host, int(port), token, path, int(connections), float(seconds)))
