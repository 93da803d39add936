"""Rating against an oracle that lays down the quantity unit by unit, with limits, rebates and roundings in play."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.core.decimals import UNIT
from bursar.rating.card import Card
from bursar.rating.rate import formula, line, prorate, rate
from bursar.rating.slabs import Bounds, Charge, Model, PriceType, Slab
from tests.rating import counting
from tests.rating.counting import Shelf

D = Decimal
ORACLE = {
    PriceType.FLAT: "flat",
    PriceType.PER_UNIT: "per_unit",
    PriceType.PACKAGE: "package",
}


def numbers(low: int, high: int, places: int) -> st.SearchStrategy[Decimal]:
    """Decimals between two integers, with so many places."""
    return st.integers(low * 10**places, high * 10**places).map(lambda value: D(value).scaleb(-places))


LIMIT = st.none() | numbers(-50, 50, 1)


@st.composite
def cards(draw: st.DrawFn, places: int = 1, largest: int = 20, limits: bool = False) -> list[Slab]:
    """Up to ten slabs of any price type, rebates among them."""
    slabs = []
    for order, start in enumerate(sorted({D(0), *draw(st.sets(numbers(0, largest, places), max_size=9))}), start=1):
        kind = draw(st.sampled_from(PriceType))
        size = draw(numbers(0, largest, places).filter(bool)) if kind is PriceType.PACKAGE else None
        least, most = sorted((draw(numbers(-50, 50, places)), draw(numbers(-50, 50, places))))
        slab = Slab(order, start, kind, draw(numbers(-5, 9, places)), size)
        if limits:
            slab = Slab(
                order,
                start,
                kind,
                slab.rate,
                size,
                draw(st.sampled_from((None, least))),
                draw(st.sampled_from((None, most))),
            )
        slabs.append(slab)
    return slabs


def shelves(slabs: list[Slab]) -> list[Shelf]:
    def maybe(value: Decimal | None) -> Fraction | None:
        return None if value is None else Fraction(value)

    return [
        Shelf(
            Fraction(slab.start_after),
            ORACLE[slab.price_type],
            Fraction(slab.rate),
            maybe(slab.package_size),
            maybe(slab.minimum_rate),
            maybe(slab.maximum_rate),
        )
        for slab in slabs
    ]


def by_slab(charge: Charge, count: int) -> list[Fraction]:
    """The amount of every slab, zero for one that was not reached."""
    amounts = {entry.slab.order: Fraction(entry.amount) for entry in charge.slabs}
    return [amounts.get(order, Fraction(0)) for order in range(1, count + 1)]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(Model), cards(limits=True), numbers(-2, 30, 1), st.tuples(LIMIT, LIMIT))
def test_every_model_charges_what_counting_gives(
    model: Model, card: list[Slab], quantity: Decimal, limits: tuple[Decimal | None, Decimal | None]
) -> None:
    charge = rate(model, card, quantity)
    expected = counting.charge(model.value, shelves(card), Fraction(quantity), Fraction(1, 10))
    assert by_slab(charge, len(card)) == expected
    assert Fraction(charge.amount) == sum(expected)
    assert charge.quantity == quantity
    low, high = sorted(limits) if None not in limits else limits  # type: ignore[type-var]  # no None among those sorted
    within = sum(expected)
    if quantity > 0 and low is not None:
        within = max(within, Fraction(low))
    if quantity > 0 and high is not None:
        within = min(within, Fraction(high))
    bounds = Bounds(low, high)
    ready = Card(model, card, bounds)
    charged = ready.rate(quantity)
    assert by_slab(charged, len(card)) == expected
    assert (Fraction(charged.amount), Fraction(charged.adjustment)) == (within, within - sum(expected))
    for other in (quantity, D(0), *(slab.start_after for slab in card), card[-1].start_after + 1):
        assert ready.rate(other) == rate(model, card, other, bounds)


@settings(max_examples=100, deadline=None)
@given(cards(limits=True), numbers(0, 30, 1))
def test_graduated_is_its_slabs_each_as_a_card_of_its_own(card: list[Slab], quantity: Decimal) -> None:
    total = D(0)
    for slab, following in zip(card, [*card[1:], None], strict=True):
        part = (quantity if following is None else min(quantity, following.start_after)) - slab.start_after
        alone = Slab(1, D(0), slab.price_type, slab.rate, slab.package_size, slab.minimum_rate, slab.maximum_rate)
        total += rate(Model.GRADUATED, [alone], max(part, D(0))).amount
    assert rate(Model.GRADUATED, card, quantity).amount == total


@settings(max_examples=300, deadline=None)
@given(numbers(-9, 9, 12), numbers(0, 10**12, 12), numbers(0, 10**12, 12))
def test_a_product_is_rounded_once_half_even(price: Decimal, one: Decimal, two: Decimal) -> None:
    card = [Slab(1, D(0), PriceType.PER_UNIT, price)]
    first, second, both = (rate(Model.GRADUATED, card, quantity).amount for quantity in (one, two, one + two))
    assert Fraction(first) == counting.twelve(Fraction(price) * Fraction(one))
    # Additive but for the last decimal, where more of them than twelve come in.
    assert abs(first + second - both) <= UNIT


@pytest.mark.parametrize(
    ("quantity", "amount"),
    [("0.0000005", "0"), ("0.0000015", "2E-12"), ("0.0000025", "2E-12"), ("0.0000035", "4E-12"), ("1", "1E-6")],
)
def test_ties_go_to_the_even_digit(quantity: str, amount: str) -> None:
    assert rate(Model.GRADUATED, [Slab(1, D(0), PriceType.PER_UNIT, D("0.000001"))], D(quantity)).amount == D(amount)


@pytest.mark.parametrize(
    ("size", "quantity", "packages"),
    [
        ("10", "10", "1"),
        ("10", "10.000000000001", "2"),
        ("0.5", "1.25", "3"),
        ("0.1", "0.3", "3"),
        ("0.000000000003", "99999999999999999999999999.999999999999", "33333333333333333333333333333333333333"),
        ("0.000000000007", "99999999999999999999999999.999999999999", "14285714285714285714285714285714285715"),
    ],
)
def test_packages_are_counted_exactly(size: str, quantity: str, packages: str) -> None:
    (entry,) = rate(Model.VOLUME, [Slab(1, D(0), PriceType.PACKAGE, D("1E-12"), D(size))], D(quantity)).slabs
    assert entry.packages == D(packages)


def test_graduated_with_a_rebate_is_not_monotone() -> None:
    card = [Slab(1, D(0), PriceType.PER_UNIT, D(1)), Slab(2, D(100), PriceType.PER_UNIT, D("-0.5"))]
    assert [rate(Model.GRADUATED, card, D(quantity)).amount for quantity in (100, 200)] == [100, 50]


def test_graduated_is_not_additive_across_slabs_nor_volume() -> None:
    card = [Slab(1, D(0), PriceType.PER_UNIT, D(10)), Slab(2, D(10), PriceType.PER_UNIT, D(5))]
    assert rate(Model.GRADUATED, card, D(10)).amount * 2 == 200
    assert rate(Model.GRADUATED, card, D(20)).amount == 150
    assert rate(Model.VOLUME, card, D(6)).amount * 2 == 120
    assert rate(Model.VOLUME, card, D(12)).amount == 60


def test_a_formula_says_where_twelve_decimals_cut_it_short() -> None:
    card = [Slab(1, D(0), PriceType.PER_UNIT, D("0.000001"))]
    (entry,) = rate(Model.GRADUATED, card, D("0.0000015")).slabs
    assert formula(entry) == "0.0000015 x 0.000001 = 0.000000000002 (rounded to 12 decimals)"
    (entry,) = rate(Model.GRADUATED, card, D("1500")).slabs
    assert formula(entry) == "1500 x 0.000001 = 0.0015"


@settings(max_examples=100, deadline=None)
@given(cards(limits=True), numbers(0, 30, 1), st.sampled_from(Model))
def test_every_formula_ends_with_the_amount(card: list[Slab], quantity: Decimal, model: Model) -> None:
    for entry in rate(model, card, quantity).slabs:
        assert D(formula(entry).rsplit(" = ")[-1]) == entry.amount


@pytest.mark.parametrize(
    ("amount", "exponent", "rounded", "difference"),
    [
        ("0.001", 2, "0.00", "0.001"),
        ("0.999999999999", 0, "0", "0.999999999999"),
        ("10.999", 2, "10.99", "0.009"),
        ("10.999", 3, "10.999", "0"),
        ("-0.001", 2, "0.00", "-0.001"),
        ("-10.999", 2, "-10.99", "-0.009"),
        ("1.23456", 4, "1.2345", "0.00006"),
    ],
)
def test_a_line_rounds_toward_zero(amount: str, exponent: int, rounded: str, difference: str) -> None:
    found, taken = line(D(amount), exponent)
    assert str(found) == rounded
    assert taken == D(difference)


@settings(max_examples=300, deadline=None)
@given(numbers(-(10**9), 10**9, 12), st.integers(1, 366), st.integers(0, 366))
def test_proration_is_the_fraction_rounded_half_even(amount: Decimal, whole: int, part: int) -> None:
    share = prorate(amount, min(part, whole), whole)
    assert Fraction(share) == counting.twelve(Fraction(amount) * min(part, whole) / whole)
