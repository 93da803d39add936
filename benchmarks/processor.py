"""What processes have used of the processor: on a shared machine it says more than how many events went through."""

import contextlib
import os
from pathlib import Path

SERVERS = ("bursar.runtime.server", "benchmarks.bare")


def spent_by(pid: int) -> dict[str, float]:
    """Seconds of CPU that the servers under a process have used so far, and PostgreSQL under it."""
    tick = os.sysconf("SC_CLK_TCK")
    found: dict[int, tuple[int, str, float]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
                # With those of children that have ended.
                found[int(entry.name)] = (int(fields[1]), command, sum(map(int, fields[11:15])) / tick)
    spent = {"server": 0.0, "postgres": 0.0}
    for process, (_, command, seconds) in found.items():
        ancestor = process
        while ancestor != pid and ancestor in found:
            ancestor = found[ancestor][0]
        kind = "postgres" if "postgres" in command.split("\0")[0] else "server"
        if ancestor == pid and (kind == "postgres" or any(server in command for server in SERVERS)):
            spent[kind] += seconds
    return spent
