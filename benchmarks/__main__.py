"""`make bench`: every benchmark, its figures as JSON on standard output.

`python -m benchmarks 3 carrier payments` runs three rounds of these alone.
"""

import json
import os
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime

import uvloop

from benchmarks import billing, carrier, entitled, ingest, payments, reads
from benchmarks.world import folder, postgres
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


def billed(rounds: int) -> dict[str, object]:
    """The bill run on a PostgreSQL of its own."""
    with folder() as path, postgres(path) as dsn:
        return uvloop.run(billing.measure(dsn, rounds))


def read(rounds: int) -> dict[str, object]:
    """Single requests to a server of its own."""
    with folder() as path:
        return reads.measure(path, rounds)


def paid(rounds: int) -> dict[str, object]:
    """Payments to a server of its own."""
    with folder() as path:
        return payments.measure(path, rounds)


def carried(rounds: int, accounts: int = carrier.ACCOUNTS) -> dict[str, object]:
    """Requests at the carrier's door to a server of its own."""
    with folder() as path:
        return carrier.measure(path, rounds, accounts)


def decided(rounds: int) -> dict[str, object]:
    """Entitled events to a server of its own."""
    with folder() as path:
        return entitled.measure(path, rounds)


MILLION = 1_000_000
PIECES: dict[str, Callable[[int], object]] = {
    "ingest": ingest.measure,
    "reads": read,
    "payments": paid,
    "carrier": carried,
    "carrier_of_a_million": lambda rounds: carried(rounds, MILLION),
    "entitled_events": decided,
    "bill_run": billed,
}


if __name__ == "__main__":
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    chosen = sys.argv[2:] or list(PIECES)
    print(json.dumps({"machine": machine(), **{name: PIECES[name](rounds) for name in chosen}}, indent=2))
