"""Exact numbers: what is stored, how a line rounds, how an amount is split; fractions are the oracle."""

import decimal
import random
import threading
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.core import decimals
from bursar.core.decimals import UNIT, allocate, divide, fits, plain, round_line, show, to_scale

D = Decimal


def numbers(digits: int, places: int) -> st.SearchStrategy[Decimal]:
    """Decimals of up to so many digits, of which so many are decimal places."""
    return st.integers(-(10**digits) + 1, 10**digits - 1).map(lambda value: D(value).scaleb(-places))


def twelve(value: Fraction) -> Fraction:
    """Rounded to 12 decimals; Python rounds fractions half to even."""
    return Fraction(round(value * 10**12), 10**12)


stored = numbers(38, 12)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("0", True),
        ("-0", True),
        ("0E+999999", True),
        ("0E-999999", True),
        ("1.5", True),
        ("1.500000000000000000000", True),
        ("1E+25", True),
        ("-1E+25", True),
        ("99999999999999999999999999.999999999999", True),
        ("-99999999999999999999999999.999999999999", True),
        ("1E-12", True),
        ("1E+26", False),
        ("-1E+26", False),
        ("99999999999999999999999999.9999999999999", False),
        ("99999999999999999999999999." + "9" * 200, False),
        ("1E-13", False),
        ("1.0000000000001", False),
        ("1E+999999", False),
        ("1E-999999", False),
        ("1E+60", False),
        ("1E+61", False),
        ("1E-60", False),
        ("1E-61", False),
        ("9" * 100_000, False),
        ("0." + "0" * 100_000 + "1", False),
        ("NaN", False),
        ("sNaN", False),
        ("-NaN", False),
        ("Infinity", False),
        ("-Infinity", False),
    ],
)
def test_what_can_be_stored(text: str, answer: bool) -> None:
    assert fits(D(text)) is answer


@settings(max_examples=300, deadline=None)
@given(st.integers(-(10**45), 10**45), st.integers(-30, 30))
def test_fits_is_what_numeric_38_12_holds(coefficient: int, exponent: int) -> None:
    exact = Fraction(coefficient) * Fraction(10) ** exponent
    whole_units = exact * 10**12
    assert fits(D(coefficient).scaleb(exponent)) == (whole_units.denominator == 1 and abs(whole_units) < 10**38)


@settings(max_examples=300, deadline=None)
@given(stored, stored)
def test_products_and_quotients_are_rounded_once(a: Decimal, b: Decimal) -> None:
    assert Fraction(to_scale(a * b)) == twelve(Fraction(a) * Fraction(b))
    if b:
        assert Fraction(divide(a, b)) == twelve(Fraction(a) / Fraction(b))
        assert Fraction(divide(a * 31, b)) == twelve(Fraction(a) * 31 / Fraction(b))


@pytest.mark.parametrize(
    ("numerator", "denominator", "quotient"),
    [
        ("1", "3", "0.333333333333"),
        ("2", "3", "0.666666666667"),
        ("-2", "3", "-0.666666666667"),
        ("0.000000000001", "2", "0.000000000000"),
        ("0.000000000003", "2", "0.000000000002"),
        ("-0.000000000001", "2", "0.000000000000"),
        # A hair above and below a tie, further down than 28 digits reach.
        ("50000000000000.000000000001", "99999999999999999999999999.999999999999", "0.000000000001"),
        ("49999999999999.999999999999", "99999999999999999999999999.999999999999", "0.000000000000"),
    ],
)
def test_divide(numerator: str, denominator: str, quotient: str) -> None:
    assert format(divide(D(numerator), D(denominator)), "f") == quotient


def test_divide_by_zero() -> None:
    with pytest.raises(decimal.DivisionByZero):
        divide(D(1), D(0))
    with pytest.raises(decimal.InvalidOperation):
        divide(D(0), D(0))


@pytest.mark.parametrize(
    ("amount", "exponent", "rounded"),
    [
        ("1.999", 2, "1.99"),
        ("-1.999", 2, "-1.99"),
        ("0.009999999999", 2, "0.00"),
        ("-0.009999999999", 2, "0.00"),
        ("-0", 2, "0.00"),
        ("1234.9", 0, "1234"),
        ("1.2345", 3, "1.234"),
        ("5", 4, "5.0000"),
        ("99999999999999999999999999.999999999999", 2, "99999999999999999999999999.99"),
    ],
)
def test_round_line(amount: str, exponent: int, rounded: str) -> None:
    assert str(round_line(D(amount), exponent)) == rounded


@settings(max_examples=300, deadline=None)
@given(stored, st.integers(0, 4))
def test_round_line_never_leaves_zero(amount: Decimal, exponent: int) -> None:
    units = abs(Fraction(amount)) * 10**exponent // 1
    assert abs(Fraction(round_line(amount, exponent))) * 10**exponent == units
    assert round_line(amount, exponent) == -round_line(-amount, exponent)


class TestAllocate:
    @pytest.mark.parametrize(
        ("total", "weights", "exponent", "parts"),
        [
            ("100", ["1", "1", "1"], 2, ["33.34", "33.33", "33.33"]),
            ("-100", ["1", "1", "1"], 2, ["-33.34", "-33.33", "-33.33"]),
            ("0.02", ["1", "1", "1"], 2, ["0.01", "0.01", "0.00"]),
            ("0.01", ["0", "1"], 2, ["0.00", "0.01"]),
            ("10", ["0", "0"], 2, ["10.00", "0.00"]),
            ("0", ["1", "2"], 2, ["0.00", "0.00"]),
            ("100", ["1", "2"], 0, ["33", "67"]),
            ("7", ["0.5", "0.25", "0.25"], 0, ["3", "2", "2"]),
            ("5", ["3"], 2, ["5.00"]),
            ("-0.01", ["1", "2"], 2, ["0.00", "-0.01"]),
            ("10", ["1E-20", "3E-20"], 2, ["2.50", "7.50"]),  # finer than what is stored
            ("10", ["1E+20", "3E+20"], 2, ["2.50", "7.50"]),
        ],
    )
    def test_table(self, total: str, weights: list[str], exponent: int, parts: list[str]) -> None:
        assert [str(part) for part in allocate(D(total), [D(weight) for weight in weights], exponent)] == parts

    def test_ten_thousand_splits(self) -> None:
        """The parts add up, and none is a unit or more from its exact share."""
        draw = random.Random(20240229)
        for _ in range(10_000):
            exponent = draw.choice((0, 2, 3))
            total = D(draw.randint(-(10 ** draw.randint(0, 15)), 10**15)).scaleb(-exponent)
            places = draw.randint(0, 12)
            weights = [D(draw.randint(0, 10 ** draw.randint(0, 14))).scaleb(-places) for _ in range(draw.randint(1, 9))]
            parts = allocate(total, weights, exponent)
            assert sum(map(Fraction, parts)) == Fraction(total)
            whole = sum(map(Fraction, weights))
            for part, weight in zip(parts, weights, strict=True):
                share = Fraction(total) * Fraction(weight) / whole if whole else None
                assert share is None or abs(Fraction(part) - share) < Fraction(1, 10**exponent)
                assert not whole or weight or not part
                assert not (part.is_zero() and part.is_signed())

    @settings(max_examples=200, deadline=None)
    @given(st.integers(0, 10**6), st.lists(st.integers(0, 50), min_size=1, max_size=8))
    def test_no_other_split_is_closer(self, units: int, weights: list[int]) -> None:
        """Largest remainder: moving one unit between any two parts never brings the two nearer to their shares."""
        parts = [int(part) for part in allocate(D(units), [D(weight) for weight in weights], 0)]
        whole = sum(weights)
        if not whole:
            return
        off = [part - Fraction(units * weight, whole) for part, weight in zip(parts, weights, strict=True)]
        for i, one in enumerate(off):
            for j, other in enumerate(off):
                if i != j:
                    assert abs(one) + abs(other) <= abs(one - 1) + abs(other + 1)

    @pytest.mark.parametrize(
        ("total", "weights", "reason"),
        [
            ("1", [], "nothing to allocate to"),
            ("1", ["-1", "2"], "not negative"),
            ("1", ["Infinity"], "finite"),
            ("1", ["NaN"], "finite"),
            ("1.005", ["1", "1"], "is not rounded to 2 decimals"),
        ],
    )
    def test_what_cannot_be_split(self, total: str, weights: list[str], reason: str) -> None:
        with pytest.raises(ValueError, match=reason):
            allocate(D(total), [D(weight) for weight in weights], 2)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1.500", "1.5"),
        ("1E+3", "1000"),
        ("1000", "1000"),
        ("-20.0", "-20"),
        ("0.000", "0"),
        ("-0.00", "0"),
        ("1E-12", "0.000000000001"),
        ("0.0000001", "0.0000001"),
        ("99999999999999999999999999.999999999999", "99999999999999999999999999.999999999999"),
    ],
)
def test_show(value: str, text: str) -> None:
    assert show(D(value)) == text
    assert plain(D(value)) == D(value)


@settings(max_examples=300, deadline=None)
@given(stored)
def test_plain_keeps_the_number_and_drops_the_zeros(value: Decimal) -> None:
    assert plain(value) == value
    _, digits, exponent = plain(value).as_tuple()
    assert isinstance(exponent, int)
    assert exponent <= 0
    assert exponent == 0 or digits[-1] != 0


def test_the_context_is_exact_here_and_in_new_threads() -> None:
    found: list[Decimal] = []
    wide = D("99999999999999999999999999.999999999999")
    thread = threading.Thread(target=lambda: found.append(wide * wide + UNIT))
    thread.start()
    thread.join()
    expected = Fraction(10**38 - 1, 10**12) ** 2 + Fraction(UNIT)
    assert [Fraction(value) for value in (*found, wide * wide + UNIT)] == [expected, expected]


def test_named_functions_are_exact_under_any_context() -> None:
    """A thread that began before the exact context was installed still has one of 28 digits."""
    with decimal.localcontext(decimal.Context(prec=28)):
        wide = D("99999999999999999999999999.123456789012345")
        assert str(to_scale(wide)) == "99999999999999999999999999.123456789012"
        assert str(round_line(wide, 2)) == "99999999999999999999999999.12"
        assert (
            str(divide(D("99999999999999999999999999.999999999999"), D(1))) == "99999999999999999999999999.999999999999"
        )
        assert str(plain(D("99999999999999999999999999.120"))) == "99999999999999999999999999.12"
    assert decimals.SCALE == 12
