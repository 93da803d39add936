"""Transports that send what belongs together at once."""

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.responses import Response

from bursar.runtime.together import Protocol, Together

BODY = os.urandom(3_000_000)


async def test_what_is_written_before_the_end_arrives_in_order() -> None:
    ends: list[int] = []

    class Talker(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            together = Together(transport)
            for part in (b"head ", b"body ", BODY):
                together.write(part)
            assert transport.get_write_buffer_size() == 0
            asyncio.get_running_loop().call_soon(self._end, together)

        def _end(self, together: Together) -> None:
            together.write(b" tail")
            together.close()
            ends.append(1)

    server = await asyncio.get_running_loop().create_server(Talker, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await reader.read(-1) == b"head body " + BODY + b" tail"
        writer.close()
    assert ends == [1]


@asynccontextmanager
async def _serving(app: Any) -> AsyncIterator[tuple[str, int]]:
    config = uvicorn.Config(app, port=0, http=Protocol, lifespan="off", log_level="warning")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()
    finally:
        server.should_exit = True
        await task


async def test_a_server_answers_over_them() -> None:
    async with _serving(Response(BODY)) as (host, port):
        reader, writer = await asyncio.open_connection(host, port)
        for last in (b"keep-alive", b"close"):
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: " + last + b"\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(len(BODY)) == BODY
        assert await reader.read(1) == b""
        writer.close()


async def test_an_answer_that_is_whole_waits_for_nothing_that_the_loop_is_to_do() -> None:
    answered, before = threading.Event(), list[bool]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asyncio.get_running_loop().call_soon(lambda: before.append(answered.wait(5)))
        await Response(b"whole")(scope, receive, send)

    def ask(host: str, port: int) -> bytes:
        with socket.create_connection((host, port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            answer = b""
            while not answer.endswith(b"whole"):
                answer += client.recv(4096)
        answered.set()
        return answer

    async with _serving(app) as (host, port):
        assert (await asyncio.to_thread(ask, host, port)).startswith(b"HTTP/1.1 200")
    assert before == [True]
