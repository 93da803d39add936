"""What processes have used of the processor: on a shared machine it says more than how many events went through."""

import contextlib
import os
from pathlib import Path

SERVERS = ("bursar.runtime.server", "benchmarks.bare")


def spent_by(pid: int) -> dict[str, float]:
    """Seconds of CPU that the servers under a process have used so far, and PostgreSQL under it."""
    tick = os.sysconf("SC_CLK_TCK")
    spent = {"server": 0.0, "postgres": 0.0}
    for kind, entry in _family(pid):
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            # With those of children that have ended.
            spent[kind] += sum(map(int, fields[11:15])) / tick
    return spent


def memory_of(pid: int, field: str = "VmHWM") -> int:
    """The most that any server process under a process has had, in megabytes; with `VmRSS` what it has now."""
    most = 0
    for kind, entry in _family(pid):
        if kind == "server":
            with contextlib.suppress(OSError):
                fields = dict(line.split(":", 1) for line in (entry / "status").read_text().splitlines())
                most = max(most, int(fields[field].split()[0]) // 1024)
    return most


def _family(pid: int) -> list[tuple[str, Path]]:
    """Servers and processes of PostgreSQL under a process: which of them, and their places in /proc."""
    found: dict[int, tuple[int, str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                found[int(entry.name)] = (parent, (entry / "cmdline").read_bytes().decode(errors="replace"))
    family = []
    for process, (_, command) in found.items():
        ancestor = process
        while ancestor != pid and ancestor in found:
            ancestor = found[ancestor][0]
        kind = "postgres" if "postgres" in command.split("\0")[0] else "server"
        if ancestor == pid and (kind == "postgres" or any(server in command for server in SERVERS)):
            family.append((kind, Path("/proc", str(process))))
    return family
