"""`make bench`: benchmarks, their figures as JSON on standard output.

`python -m benchmarks [--rounds N] [PART ...]` measures the parts that are named, in that order; all short ones where
none is.
With `--quick` it measures ingest and decisions once, a second each: about a minute, to see whether a change costs much.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import uvloop

from benchmarks import billing, carrier, entitled, imports, ingest, payments, pressure, reads, stored_events
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


class Part(NamedTuple):
    """Something to measure."""

    measure: Callable[[int], dict[str, object]]
    """Figures of so many rounds."""
    rounds: int = 1
    """How often it is measured unless somebody says: what is compared with a ceiling needs more than one."""


MILLION = 1_000_000
PARTS = {
    "ingest": Part(ingest.measure, 5),
    "imports": Part(imports.measure, 3),
    "reads": Part(read),
    "payments": Part(paid),
    "carrier": Part(carried),
    "carrier_of_a_million": Part(lambda rounds: carried(rounds, MILLION)),
    "entitled_events": Part(decided),
    "bill_run": Part(billed),
    "pressure": Part(pressure.measure),
    "stored_events": Part(stored_events.measure, 3),
}


def measured(name: str, rounds: int | None) -> dict[str, object]:
    """The figures of a part, with how long they took."""
    part, began = PARTS[name], time.monotonic()
    return part.measure(rounds or part.rounds) | {"seconds_to_measure": round(time.monotonic() - began)}


LONG = ("carrier_of_a_million", "pressure", "stored_events")
"""Parts that are measured only by their names: what they need takes many minutes to make or to bear."""
QUICK: dict[str, Callable[[], dict[str, object]]] = {
    "ingest": lambda: ingest.measure(1, 1.0),
    "entitled_events": lambda: decided(1, 1.0),
}


class Asked(NamedTuple):
    """What a command line asks for."""

    rounds: int | None
    """How often each part is measured; None: as often as it says."""
    parts: list[str]
    quick: bool = False


def asked(arguments: Sequence[str] | None = None) -> Asked:
    """Rounds and parts that a command line asks for. Ends with 2 and a line that names the parts for an unknown one."""
    parser = argparse.ArgumentParser("python -m benchmarks", epilog="Example: python -m benchmarks --rounds 3 reads")
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all short ones where none is named"
    )
    parser.add_argument("--rounds", type=int, help="how often each part is measured; medians are printed")
    parser.add_argument("--quick", action="store_true", help=f"measure {' and '.join(QUICK)} once, a second a load")
    options = parser.parse_args(arguments)
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part is called {', '.join(unknown)}; the parts are {', '.join(PARTS)}")
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds must be 1 or more")
    if options.quick and options.parts:
        parser.error("--quick measures what it measures: name no part beside it")
    parts = list(dict.fromkeys(options.parts)) or [part for part in PARTS if part not in LONG]
    return Asked(options.rounds, list(QUICK) if options.quick else parts, options.quick)


if __name__ == "__main__":
    wanted = asked()
    found = {part: QUICK[part]() if wanted.quick else measured(part, wanted.rounds) for part in wanted.parts}
    print(json.dumps({"machine": machine(), **found}, indent=2))
