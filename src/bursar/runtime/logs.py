"""Where log lines go: one JSON object a line on standard error, written by a thread of its own."""

import contextlib
import queue
import sys
import threading

import structlog

WAITING = 10_000
"""Lines that may wait to be written; more are dropped and counted."""


class _Writer:
    """Takes lines without ever waiting: a reader of the log that hangs must not hold up requests."""

    def __init__(self) -> None:
        self._lines: queue.Queue[str] = queue.Queue(WAITING)
        self._dropped = 0
        threading.Thread(target=self._write, daemon=True, name="log").start()

    def msg(self, line: str) -> None:
        """Hand one line over."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    debug = info = warning = error = critical = exception = msg

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            if self._dropped:
                line += f'\n{{"event": "log_lines_dropped", "level": "warning", "count": {self._dropped}}}'
                self._dropped = 0
            with contextlib.suppress(OSError, ValueError):  # whoever read the log has gone
                print(line, file=sys.stderr, flush=True)


def configure() -> None:
    """Log as this module says, from now on in this process."""
    writer = _Writer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Plain tracebacks: no values of variables, which may be people's data.
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=True,
    )
