"""Prices against tables, a slow oracle in fractions, and the laws that each model keeps or breaks."""

from decimal import Decimal
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.core.decimals import allocate
from bursar.rating.rate import formula, line, prorate, rate, true_up
from bursar.rating.slabs import Bounds, Model, PriceType, Slab

D = Decimal
FLAT, UNIT, PACK = PriceType.FLAT, PriceType.PER_UNIT, PriceType.PACKAGE


def slabs(*rows: tuple[str, PriceType, str] | tuple[str, PriceType, str, str]) -> list[Slab]:
    return [Slab(i + 1, D(r[0]), r[1], D(r[2]), D(r[3]) if len(r) > 3 else None) for i, r in enumerate(rows)]


FREE_THEN_PAID = slabs(("0", UNIT, "0"), ("1000", UNIT, "0.01"))
PACKS = slabs(("0", PACK, "5", "100"), ("1000", PACK, "4", "100"))
MIXED = slabs(("0", FLAT, "10"), ("10", UNIT, "2"), ("20", PACK, "7", "4"))

TABLE = [
    (Model.GRADUATED, FREE_THEN_PAID, "0", "0"),
    (Model.GRADUATED, FREE_THEN_PAID, "1000", "0"),
    (Model.GRADUATED, FREE_THEN_PAID, "1000.000000000001", "0.00000000000001"),
    (Model.GRADUATED, FREE_THEN_PAID, "1001", "0.01"),
    (Model.GRADUATED, FREE_THEN_PAID, "2500", "15"),
    (Model.GRADUATED, PACKS, "1", "5"),
    (Model.GRADUATED, PACKS, "100", "5"),
    (Model.GRADUATED, PACKS, "101", "10"),
    (Model.GRADUATED, PACKS, "1000", "50"),
    (Model.GRADUATED, PACKS, "1001", "54"),
    (Model.GRADUATED, MIXED, "0", "0"),
    (Model.GRADUATED, MIXED, "0.5", "10"),
    (Model.GRADUATED, MIXED, "10", "10"),
    (Model.GRADUATED, MIXED, "15", "20"),
    (Model.GRADUATED, MIXED, "20", "30"),
    (Model.GRADUATED, MIXED, "20.1", "37"),
    (Model.GRADUATED, MIXED, "25", "44"),
    (Model.GRADUATED, MIXED, "-5", "0"),
    (Model.VOLUME, FREE_THEN_PAID, "1000", "0"),
    (Model.VOLUME, FREE_THEN_PAID, "1001", "10.01"),
    (Model.VOLUME, PACKS, "1000", "50"),
    (Model.VOLUME, PACKS, "1001", "44"),
    (Model.VOLUME, MIXED, "0", "0"),
    (Model.VOLUME, MIXED, "10", "10"),
    (Model.VOLUME, MIXED, "11", "22"),
    (Model.VOLUME, MIXED, "21", "42"),
]


@pytest.mark.parametrize(("model", "rows", "quantity", "amount"), TABLE)
def test_table(model: Model, rows: list[Slab], quantity: str, amount: str) -> None:
    charge = rate(model, rows, D(quantity))
    assert charge.amount == D(amount).quantize(D("1e-12"))
    assert charge.quantity == D(quantity)


def test_bounds_of_a_slab() -> None:
    bounded = [Slab(1, D(0), UNIT, D(1), minimum_rate=D(5), maximum_rate=D(8))]
    assert [rate(Model.GRADUATED, bounded, D(q)).amount for q in (0, 1, 6, 9)] == [0, 5, 6, 8]
    assert [rate(Model.GRADUATED, bounded, D(q)).slabs[0].bound for q in (1, 6, 9)] == ["minimum", None, "maximum"]


@pytest.mark.parametrize(
    ("low", "high", "quantity", "amount", "bound", "adjustment"),
    [
        ("5", "8", 0, "0", None, "0"),
        ("5", "8", -1, "0", None, "0"),
        ("5", "8", 1, "5", "minimum", "4"),
        ("5", "8", 5, "5", None, "0"),
        ("5", "8", 8, "8", None, "0"),
        ("5", "8", 9, "8", "maximum", "-1"),
        (None, "8", 1, "1", None, "0"),
        ("5", None, 100, "100", None, "0"),
        ("5", "5", 100, "5", "maximum", "-95"),
        (None, "0", 3, "0", "maximum", "-3"),
    ],
)
def test_bounds_of_a_card(
    low: str | None, high: str | None, quantity: int, amount: str, bound: str | None, adjustment: str
) -> None:
    bounds = Bounds(None if low is None else D(low), None if high is None else D(high))
    for model in Model:
        charge = rate(model, slabs(("0", UNIT, "1")), D(quantity), bounds)
        assert (charge.amount, charge.bound, charge.adjustment) == (D(amount), bound, D(adjustment))


def test_slabs_are_bounded_before_their_card() -> None:
    """Each of two slabs charges at least 3; together at most 5."""
    rows = [Slab(n, D(10 * n - 10), UNIT, D("0.1"), minimum_rate=D(3)) for n in (1, 2)]
    charge = rate(Model.GRADUATED, rows, D(11), Bounds(maximum=D(5)))
    assert [slab.amount for slab in charge.slabs] == [3, 3]
    assert (charge.amount, charge.bound, charge.adjustment) == (D(5), "maximum", D(-1))


def test_formulas_say_what_was_done() -> None:
    texts = [formula(charge) for charge in rate(Model.GRADUATED, MIXED, D(25)).slabs]
    assert texts == ["flat 10 = 10", "10 x 2 = 20", "2 packages of 4 x 7 = 14"]


# What the models do not keep: each was somebody's wrong assumption once.
def test_volume_may_fall_as_quantity_rises() -> None:
    cheaper = slabs(("0", UNIT, "2"), ("10", UNIT, "1"))
    assert rate(Model.VOLUME, cheaper, D(11)).amount < rate(Model.VOLUME, cheaper, D(10)).amount


def test_flat_and_package_do_not_add_up() -> None:
    for rows in (slabs(("0", FLAT, "3")), slabs(("0", PACK, "3", "10"))):
        together = rate(Model.GRADUATED, rows, D(2)).amount
        assert rate(Model.GRADUATED, rows, D(1)).amount * 2 > together


quantities = st.decimals(min_value=0, max_value=10**6, places=6, allow_nan=False, allow_infinity=False)
rates = st.decimals(min_value=0, max_value=1000, places=6, allow_nan=False, allow_infinity=False)


@st.composite
def tables(draw: st.DrawFn) -> list[Slab]:
    steps = draw(st.lists(st.decimals(min_value=D("0.001"), max_value=5000, places=3), max_size=5))
    starts = [D(0)]
    for step in steps:
        starts.append(starts[-1] + step)
    result = []
    for index, start in enumerate(starts):
        kind = draw(st.sampled_from(PriceType))
        size = draw(st.decimals(min_value=D("0.01"), max_value=500, places=2)) if kind is PACK else None
        result.append(Slab(index + 1, start, kind, draw(rates), size))
    return result


def oracle_slab(slab: Slab, quantity: Fraction) -> Fraction:
    if slab.price_type is FLAT:
        return Fraction(slab.rate)
    if slab.price_type is UNIT:
        return Fraction(slab.rate) * quantity
    assert slab.package_size is not None
    return Fraction(slab.rate) * ceil(quantity / Fraction(slab.package_size))


def oracle(model: Model, rows: list[Slab], quantity: Fraction) -> Fraction:
    """The amount, in fractions, by the definition of each model: slow and plain."""
    total = Fraction(0)
    for index, slab in enumerate(rows):
        low = Fraction(slab.start_after)
        high = Fraction(rows[index + 1].start_after) if index + 1 < len(rows) else None
        holds_whole = low < quantity and (high is None or quantity <= high)
        if model is Model.VOLUME:
            total += oracle_slab(slab, quantity) if holds_whole else 0
            continue
        if quantity > low:
            top = quantity if high is None or quantity < high else high
            total += oracle_slab(slab, top - low)
    return total


@settings(deadline=None)
@given(tables(), quantities, st.sampled_from(Model))
def test_every_model_equals_the_oracle(rows: list[Slab], quantity: Decimal, model: Model) -> None:
    assert Fraction(rate(model, rows, quantity).amount) == oracle(model, rows, Fraction(quantity))


@settings(deadline=None)
@given(tables(), quantities, quantities)
def test_graduated_is_monotone(rows: list[Slab], one: Decimal, two: Decimal) -> None:
    low, high = sorted((one, two))
    assert rate(Model.GRADUATED, rows, low).amount <= rate(Model.GRADUATED, rows, high).amount


@settings(deadline=None)
@given(rates, quantities, quantities)
def test_one_slab_per_unit_is_additive(price: Decimal, one: Decimal, two: Decimal) -> None:
    rows = [Slab(1, D(0), UNIT, price)]
    parts = rate(Model.GRADUATED, rows, one).amount + rate(Model.GRADUATED, rows, two).amount
    assert parts == rate(Model.GRADUATED, rows, one + two).amount


@settings(deadline=None)
@given(tables(), quantities)
def test_graduated_is_the_sum_of_its_slabs(rows: list[Slab], quantity: Decimal) -> None:
    charge = rate(Model.GRADUATED, rows, quantity)
    assert charge.amount == sum((slab.amount for slab in charge.slabs), D(0))
    assert sum((slab.quantity for slab in charge.slabs), D(0)) == quantity


@settings(deadline=None)
@given(st.lists(st.decimals(min_value=-(10**9), max_value=10**9, places=12), max_size=20), st.sampled_from((0, 2, 3)))
def test_rounded_lines_and_what_was_taken_add_up(amounts: list[Decimal], exponent: int) -> None:
    pairs = [line(amount, exponent) for amount in amounts]
    assert sum((a + b for a, b in pairs), D(0)) == sum(amounts, D(0))
    for amount, (rounded, taken) in zip(amounts, pairs, strict=True):
        assert abs(rounded) <= abs(amount)
        assert abs(taken) < D(1).scaleb(-exponent)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(-(10**12), 10**12),
    st.lists(st.decimals(min_value=0, max_value=10**6, places=4), min_size=1, max_size=12),
    st.sampled_from((0, 2, 3)),
)
def test_parts_of_a_split_amount_are_the_whole(units: int, weights: list[Decimal], exponent: int) -> None:
    total = D(units).scaleb(-exponent)
    parts = allocate(total, weights, exponent)
    assert sum(parts, D(0)) == total
    whole = sum(map(Fraction, weights))
    if whole:
        for part, weight in zip(parts, weights, strict=True):
            assert abs(Fraction(part) - Fraction(total) * Fraction(weight) / whole) < Fraction(1, 10**exponent)


def test_commitment_and_proration() -> None:
    assert [true_up(D(subtotal), D(100)) for subtotal in (30, 100, 130)] == [D(70), D(0), D(0)]
    assert prorate(D(100), 10, 30) == D("33.333333333333")
    assert prorate(D(100), 30, 30) == 100
