"""`make bench`: every benchmark, its figures as JSON on standard output."""

import json
import os
import platform
import sys
from datetime import UTC, datetime

from benchmarks import ingest
from bursar import __version__


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
    }


if __name__ == "__main__":
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print(json.dumps({"machine": machine(), "ingest": ingest.measure(rounds)}, indent=2))
