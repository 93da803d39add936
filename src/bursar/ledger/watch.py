"""The watch over a wallet: when it falls below the low threshold of its account, or rises above the high one."""

from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum


class State(IntEnum):
    """What has been told of a wallet and not been cleared since."""

    NONE = 0
    LOW = 1
    HIGH = 2


class Crossing(IntEnum):
    """What there is to tell."""

    LOW_CLEARED = 1
    HIGH_CLEARED = 2
    LOW_REACHED = 3
    HIGH_REACHED = 4


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Between which balances nothing is told; None: no bound there. Both set, `low` is below `high`."""

    low: Decimal | None = None
    high: Decimal | None = None


def step(state: State, balance: Decimal, bounds: Thresholds) -> tuple[State, tuple[Crossing, ...]]:
    """The state after a wallet has come to `balance`, and what is to be told, in order.

    A threshold is reached strictly beyond it, and cleared strictly on its other side: at a balance equal to it, what
    has been told stays told. From low to high in one step, the one is cleared and the other reached.
    """
    low, high = bounds.low, bounds.high
    below = low is not None and balance < low
    above = high is not None and balance > high
    told: list[Crossing] = []
    if state is State.LOW:
        if low is not None and balance <= low:
            return state, ()
        told.append(Crossing.LOW_CLEARED)
    elif state is State.HIGH:
        if high is not None and balance >= high:
            return state, ()
        told.append(Crossing.HIGH_CLEARED)
    if below:
        return State.LOW, (*told, Crossing.LOW_REACHED)
    if above:
        return State.HIGH, (*told, Crossing.HIGH_REACHED)
    return State.NONE, tuple(told)
