"""`make bench`: benchmarks, their figures as JSON on standard output.

`python -m benchmarks [--rounds N] [PART ...]` measures the parts that are named, in that order; all where none is.
With `--quick` it measures ingest and decisions once, a second each: about a minute, to see whether a change costs much.
"""

import argparse
import json
import os
import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import uvloop

from benchmarks import billing, carrier, entitled, imports, ingest, payments, pressure, reads
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


def decided(rounds: int, seconds: float = entitled.SECONDS) -> dict[str, object]:
    """Entitled events to a server of its own."""
    with folder() as path:
        return entitled.measure(path, rounds, seconds)


MILLION = 1_000_000
PARTS: dict[str, Callable[[int], dict[str, object]]] = {
    "ingest": ingest.measure,
    "imports": imports.measure,
    "reads": read,
    "payments": paid,
    "carrier": carried,
    "carrier_of_a_million": lambda rounds: carried(rounds, MILLION),
    "entitled_events": decided,
    "bill_run": billed,
    "pressure": pressure.measure,
}


LONG = ("carrier_of_a_million", "pressure")
"""Parts that are measured only by their names: what they need takes many minutes to make or to bear."""
QUICK: dict[str, Callable[[], dict[str, object]]] = {
    "ingest": lambda: ingest.measure(1, 1.0),
    "entitled_events": lambda: decided(1, 1.0),
}


class Asked(NamedTuple):
    """What a command line asks for."""

    rounds: int
    parts: list[str]
    quick: bool = False


def asked(arguments: Sequence[str] | None = None) -> Asked:
    """Rounds and parts that a command line asks for. Ends with 2 and a line that names the parts for an unknown one."""
    parser = argparse.ArgumentParser("python -m benchmarks", epilog="Example: python -m benchmarks --rounds 3 reads")
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all short ones where none is named"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each part is measured; medians are printed")
    parser.add_argument("--quick", action="store_true", help=f"measure {' and '.join(QUICK)} once, a second a load")
    options = parser.parse_args(arguments)
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part is called {', '.join(unknown)}; the parts are {', '.join(PARTS)}")
    if options.rounds < 1:
        parser.error("--rounds must be 1 or more")
    if options.quick and options.parts:
        parser.error("--quick measures what it measures: name no part beside it")
    parts = list(dict.fromkeys(options.parts)) or [part for part in PARTS if part not in LONG]
    return Asked(options.rounds, list(QUICK) if options.quick else parts, options.quick)


if __name__ == "__main__":
    wanted = asked()
    found = {part: QUICK[part]() if wanted.quick else PARTS[part](wanted.rounds) for part in wanted.parts}
    print(json.dumps({"machine": machine(), **found}, indent=2))
