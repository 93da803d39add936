"""Real receivers on this machine: an HTTP server that keeps what it is told, and an SMTP server."""

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword


def hearing(told: list[tuple[str, str]], answer: Callable[[int], int] = lambda _: 204) -> str:
    """The URL of a server that appends `(webhook-id, body)`, and answers its n-th request (from 1) with a status."""
    lock = threading.Lock()

    class Hears(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with lock:
                told.append((self.headers["webhook-id"], body.decode()))
                status = answer(len(told))
            self.send_response(status)
            if status in (301, 302, 307):
                self.send_header("location", "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hears)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/hook"


@dataclass
class Post:
    """An SMTP server that keeps the mails it gets; `refused` are addresses that it does not take."""

    mails: list[tuple[str, Message]] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    logins: list[str] = field(default_factory=list)
    password: str | None = None
    port: int = 0

    def start(self) -> int:
        """Begin to listen on a port of its own."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        self._controller = Controller(
            self, hostname="127.0.0.1", port=port, ready_timeout=10,
            authenticator=self._authenticate if self.password else None,
            auth_required=self.password is not None, auth_require_tls=False,
        )  # fmt: skip
        self._controller.start()
        return port

    def stop(self) -> None:
        """End it."""
        self._controller.stop()

    def _authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append(data.login.decode())
        return AuthResult(success=data.password.decode() == self.password)

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.mails += [(address, message_from_bytes(envelope.content)) for address in envelope.rcpt_tos]
        return "250 OK"
