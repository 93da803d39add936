"""Work of PostgreSQL that waits for whatever else wants the processors, as far as the system lets us say so."""

import os
import re
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

NICE = 10
"""A weight of a tenth: beside others it goes on slowly, and alone as fast as any."""
_PORT = 5432


def give_way(dsn: str, backend: int) -> bool:
    """Have a backend give way to other processes, by its process id; returns whether to ask again in a moment.

    Linux gives one session in a tenth of a second another weight, whoever asks. What is said is never taken back: only
    root may do that. It is said where PostgreSQL is reached by a socket of this system, and runs under the same account
    or we are root: so to the server's own one. A process that is no child of the PostgreSQL behind the socket is left
    alone; where only a file system is shared, its number may be somebody else's here.
    """
    folder = parse_qs(urlsplit(dsn).query).get("host", [""])[0]
    if sys.platform != "linux" or not folder.startswith("/"):
        return False
    try:
        lock = Path(folder, f".s.PGSQL.{urlsplit(dsn).port or _PORT}.lock").read_text()
        if _parent(backend) != int(lock.split("\n", 1)[0]):
            return False
        os.setpriority(os.PRIO_PROCESS, backend, NICE)
        # Linux may weigh sessions of processes instead of processes; a backend is a session of its own.
        session = Path(f"/proc/{backend}/autogroup")
        if session.exists():
            session.write_text(str(NICE))
    except BlockingIOError:
        return True
    except (OSError, ValueError):
        return False
    return False


def _parent(process: int) -> int:
    found = re.search(r"^PPid:\s*(\d+)", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0
