"""The machine's pace: one that is shared has fast and slow minutes, and figures of a slow one say little of a program.

With `BURSAR_BENCH_PACE=0.25` a load begins only when an empty loop of five million rounds takes at most so many
seconds, and is measured again where the loop takes longer after it. The pace around each load goes to the error stream.
"""

import os
import time
from collections.abc import Callable
from typing import TypeVar

from benchmarks.world import say

T = TypeVar("T")

VARIABLE = "BURSAR_BENCH_PACE"
ROUNDS = 5_000_000
TRIES = 8
PATIENCE = 900.0
"""Seconds after which a load begins at whatever pace."""
PAUSE = 1.0
MORE = 1.15
"""How many times as long the loop may take after a load: the machine has just been busy."""


def pace() -> float:
    """Seconds of the loop: the least of three."""
    return min(_loop() for _ in range(3))


def _loop() -> float:
    began, total = time.perf_counter(), 0
    for number in range(ROUNDS):
        total += number
    return time.perf_counter() - began


def steadily(name: str, measure: Callable[[], T]) -> T:
    """What `measure` finds of a load, at a pace that was asked for; at any where none was."""
    limit = float(os.environ.get(VARIABLE, "0"))
    if not limit:
        return measure()
    deadline = time.monotonic() + PATIENCE
    for _ in range(TRIES):
        while (before := pace()) > limit and time.monotonic() < deadline:
            time.sleep(PAUSE)
        found = measure()
        after = pace()
        say(f"{name}: pace {before:.2f} before and {after:.2f} after")
        if after <= MORE * limit or time.monotonic() > deadline:
            break
    return found
