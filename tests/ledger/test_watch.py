"""The watch over a wallet, against a second telling of the contract that looks the way a job would."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.ledger.watch import Crossing, State, Thresholds, step

NONE, LOW, HIGH = State.NONE, State.LOW, State.HIGH
LOW_CLEARED, HIGH_CLEARED = Crossing.LOW_CLEARED, Crossing.HIGH_CLEARED
LOW_REACHED, HIGH_REACHED = Crossing.LOW_REACHED, Crossing.HIGH_REACHED

CASES: list[tuple[State, str, str | None, str | None, State, tuple[Crossing, ...]]] = [
    # state, balance, low, high -> state, told
    (NONE, "5", None, None, NONE, ()),
    (NONE, "5", "1", "9", NONE, ()),
    (NONE, "1", "1", "9", NONE, ()),
    (NONE, "9", "1", "9", NONE, ()),
    (NONE, "0.999999999999", "1", "9", LOW, (LOW_REACHED,)),
    (NONE, "9.000000000001", "1", "9", HIGH, (HIGH_REACHED,)),
    (LOW, "0", "1", "9", LOW, ()),
    (LOW, "1", "1", "9", LOW, ()),
    (LOW, "1.000000000001", "1", "9", NONE, (LOW_CLEARED,)),
    (LOW, "10", "1", "9", HIGH, (LOW_CLEARED, HIGH_REACHED)),
    (LOW, "0", None, "9", NONE, (LOW_CLEARED,)),
    (LOW, "10", None, "9", HIGH, (LOW_CLEARED, HIGH_REACHED)),
    (LOW, "0", None, None, NONE, (LOW_CLEARED,)),
    (HIGH, "10", "1", "9", HIGH, ()),
    (HIGH, "9", "1", "9", HIGH, ()),
    (HIGH, "8.999999999999", "1", "9", NONE, (HIGH_CLEARED,)),
    (HIGH, "0", "1", "9", LOW, (HIGH_CLEARED, LOW_REACHED)),
    (HIGH, "10", "1", None, NONE, (HIGH_CLEARED,)),
    (HIGH, "10", "11", None, LOW, (HIGH_CLEARED, LOW_REACHED)),
    (HIGH, "10", None, None, NONE, (HIGH_CLEARED,)),
    (NONE, "-5", "-4", None, LOW, (LOW_REACHED,)),
]


def bounds(low: str | None, high: str | None) -> Thresholds:
    return Thresholds(None if low is None else Decimal(low), None if high is None else Decimal(high))


@pytest.mark.parametrize(("state", "balance", "low", "high", "after", "told"), CASES)
def test_cases(
    state: State, balance: str, low: str | None, high: str | None, after: State, told: tuple[Crossing, ...]
) -> None:
    assert step(state, Decimal(balance), bounds(low, high)) == (after, told)


def job(state: str, balance: int, low: int | None, high: int | None) -> tuple[str, list[str]]:
    """As a job every minute does it: select, then check."""
    selected = (
        (state == "LOW" and (low is None or balance > low))
        or (state == "HIGH" and (high is None or balance < high))
        or (state == "NONE" and ((low is not None and balance < low) or (high is not None and balance > high)))
    )
    if not selected:
        return state, []
    low_reached = low is not None and balance < low
    high_reached = high is not None and balance > high
    told = []
    if state == "LOW" and not low_reached:
        told.append("LOW_CLEARED")
    if state == "HIGH" and not high_reached:
        told.append("HIGH_CLEARED")
    if state != "LOW" and low_reached:
        told.append("LOW_REACHED")
    elif state != "HIGH" and high_reached:
        told.append("HIGH_REACHED")
    return ("LOW" if low_reached else "HIGH" if high_reached else "NONE"), told


small = st.integers(-3, 3)


@given(st.lists(st.tuples(small, st.none() | small, st.none() | small), max_size=12))
def test_a_wallet_over_time_is_told_of_as_by_a_job_that_never_sleeps(
    steps: list[tuple[int, int | None, int | None]],
) -> None:
    state, expected = State.NONE, "NONE"
    for balance, low, high in steps:
        if low is not None and high is not None and low >= high:
            continue
        state, told = step(
            state,
            Decimal(balance),
            Thresholds(None if low is None else Decimal(low), None if high is None else Decimal(high)),
        )
        expected, wanted = job(expected, balance, low, high)
        assert (state.name, [one.name for one in told]) == (expected, wanted)
