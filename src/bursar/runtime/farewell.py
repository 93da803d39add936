"""While the servers drain: whoever still comes to the port is told to come again, instead of being cut off."""

import contextlib
import socket
import threading
import time

_ANSWER = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\nconnection: close\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
)
_BODY = b'{"message":"the server is being stopped; try again shortly"}'
_PATIENCE_SECONDS = 1.0
_READ = 65_536


class Farewell:
    """Answers 503 on a listening socket from `start` to `stop`, in a thread."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        """Begin to turn people away."""
        self._thread.start()

    def stop(self) -> None:
        """Turn the last ones away."""
        self._stopping.set()
        self._thread.join(2 * _PATIENCE_SECONDS)

    def _work(self) -> None:
        self._listener.settimeout(0.05)
        while True:
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                if self._stopping.is_set():
                    return
                continue
            except OSError:
                return
            threading.Thread(target=_turn_away, args=(connection,), daemon=True).start()


def _turn_away(connection: socket.socket) -> None:
    """Answer, then read on until the other side has understood: closing with bytes unread would cut the answer off."""
    with connection, contextlib.suppress(OSError):
        connection.settimeout(_PATIENCE_SECONDS)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        if not connection.recv(_READ):
            return
        connection.sendall(_ANSWER % (len(_BODY), _BODY))
        connection.shutdown(socket.SHUT_WR)
        while time.monotonic() < deadline and connection.recv(_READ):
            pass
