"""Answers that go out in one piece: uvicorn writes head and body of each apart, and each write is sent at once."""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Together:
    """A transport that sends what was written in one turn of the loop by one call of the system; else as it was."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send `data` before the loop comes round again, or with what `send` sends."""
        if not self._parts:
            self._loop.call_soon(self.send)
        self._parts.append(data)

    def close(self) -> None:
        """Send what was written, then end."""
        self.send()
        self._transport.close()

    def send(self) -> None:
        """Send what was written."""
        if self._parts:
            parts, self._parts = self._parts, []
            self._transport.write(b"".join(parts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol over such transports."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """A client has come."""
        super().connection_made(cast("asyncio.Transport", Together(transport)))

    def on_response_complete(self) -> None:
        """An answer is whole: it goes out in this round of the loop."""
        cast("Together", self.transport).send()
        super().on_response_complete()
