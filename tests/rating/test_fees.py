"""Fixed fees against calendars counted by hand."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.rating.fees import falls_in, fee


@pytest.mark.parametrize(
    ("recurring", "interval", "offset", "charged"),
    [
        (True, 1, 0, "xxxxxxxx"),
        (True, 1, 3, "...xxxxx"),
        (True, 2, 0, "x.x.x.x."),
        (True, 2, 1, ".x.x.x.x"),
        (True, 3, 5, ".....x.."),
        (True, 12, 0, "x......."),
        (False, 1, 0, "x......."),
        (False, 1, 2, "..x....."),
    ],
)
def test_in_which_cycles_a_fee_is_charged(recurring: bool, interval: int, offset: int, charged: str) -> None:
    found = [falls_in(n, recurring=recurring, interval=interval, offset=offset) for n in range(8)]
    assert "".join("x" if one else "." for one in found) == charged


@pytest.mark.parametrize(
    ("rate", "days", "of_days", "prorated", "opens", "expected"),
    [
        ("30", 31, 31, True, True, "30"),
        ("30", 10, 31, True, True, "9.677419354839"),
        ("30", 10, 31, True, False, "9.677419354839"),
        ("30", 1, 30, True, True, "1"),
        ("100", 29, 29, True, False, "100"),
        ("30", 10, 31, False, True, "30"),
        ("30", 10, 31, False, False, None),
        ("30", 31, 31, False, False, None),
        ("0", 3, 31, True, True, "0"),
    ],
)
def test_what_is_due_of_a_fee(
    rate: str, days: int, of_days: int, prorated: bool, opens: bool, expected: str | None
) -> None:
    found = fee(Decimal(rate), days, of_days, prorated=prorated, opens_cycle=opens)
    assert found == (None if expected is None else Decimal(expected))


@given(st.decimals(0, 10**6, places=6), st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_the_parts_of_a_cut_cycle_add_up(rate: Decimal, parts: list[int]) -> None:
    whole = sum(parts)
    found = [fee(rate, days, whole, prorated=True, opens_cycle=False) or Decimal(0) for days in parts]
    for part, days in zip(found, parts, strict=True):
        assert abs(Fraction(part) - Fraction(rate) * days / whole) <= Fraction(1, 2 * 10**12)
    assert abs(sum(map(Fraction, found)) - Fraction(rate)) <= Fraction(len(parts), 2 * 10**12)
