"""Edits of schedules as pure decisions, against days painted one by one."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bursar.catalog.definitions import (
    CardRates,
    Commitment,
    CurrencyRate,
    CycleDefinition,
    FeeCard,
    PlanDetails,
    SlabDefinition,
    SlabRate,
    UsageCard,
)
from bursar.catalog.overrides import overridden
from bursar.catalog.plans import PlanChange, PlanVersion
from bursar.core.errors import Invalid
from bursar.core.period import FOREVER, Period
from bursar.purchases.edits import DRY, UNWRITTEN, Off, On, edited
from bursar.purchases.model import AccountFacts, Segment
from tests.purchases.test_model import segment

ACCOUNT = AccountFacts(7, "acme", "ACME", "ACTIVE", "USD", "UTC", None)
FIRST = date(2024, 1, 1)
MONTHLY = CycleDefinition("MONTHLY", 3)


def instant(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def rates(**amounts: Any) -> list[CurrencyRate]:
    return [CurrencyRate(currency, Decimal(amount)) for currency, amount in amounts.items()]


def card(name: str, **amounts: Any) -> UsageCard:
    prices = [CardRates(currency, [SlabRate(1, Decimal(amount))]) for currency, amount in amounts.items()]
    return UsageCard(name, 1, f"um.{name}", "TIERED", [SlabDefinition(1, Decimal(0), "PER_UNIT")], prices)


def plan(name: str, cycle: CycleDefinition = MONTHLY) -> PlanVersion:
    details = PlanDetails(
        ["USD", "EUR"],
        cycle,
        [card("tokens", USD=2, EUR=3)],
        Commitment("Least", rates(USD=10, EUR=11)),
        fees=[FeeCard("support", 5, "addon.support", rates(USD=20, EUR=21), prorated=True)],
    )
    moment = instant(FIRST)
    return PlanVersion(
        3, 4, f"pp.{name}", name, "BILLING", None, "ACTIVE", 2, 1, "sch.v", details, ("USD",), moment, moment
    )


PLANS = {name: plan(name) for name in "abc"}
_day = st.integers(0, 40)
_edits = st.lists(
    st.tuples(_day, st.integers(1, 20), st.sampled_from(["a", "b", "c"]), st.booleans(), st.booleans()), max_size=6
)


@given(_edits)
def test_every_day_is_as_the_last_edit_that_reached_it_says(edits: list[tuple[int, int, str, bool, bool]]) -> None:
    held: list[Segment] = [segment(instant(FIRST), instant(FIRST + timedelta(days=30)), plan="pp.z")]
    painted: dict[int, tuple[str, int]] = dict.fromkeys(range(30), ("pp.z", 1))
    for number, (first, days, name, on, named) in enumerate(edits, 1):
        period = Period(instant(FIRST + timedelta(days=first)), instant(FIRST + timedelta(days=first + days)))
        edit = On(period, PLANS[name], retain=False) if on else Off(period, f"pp.{name}" if named else None)
        held = edited(ACCOUNT, held, edit, number)
        for day in range(first, first + days):
            if on:
                painted[day] = (f"pp.{name}", -number)
            elif not named or painted.get(day, ("",))[0] == f"pp.{name}":
                painted.pop(day, None)
    found = {
        day: [(s.price_plan_id, s.schedule) for s in held if instant(FIRST + timedelta(days=day)) in s.period]
        for day in range(70)
    }
    assert {day: one[0] for day, one in found.items() if one} == painted
    assert all(len(one) <= 1 for one in found.values())
    assert held == sorted(held, key=lambda s: s.period)
    untouched = [s for s in held if s.key != UNWRITTEN]
    assert untouched in ([], [segment(instant(FIRST), instant(FIRST + timedelta(days=30)), plan="pp.z")])


def test_what_is_yet_to_be_made_says_so() -> None:
    first = On(Period(instant(FIRST), FOREVER), PLANS["a"], retain=False)
    (made,) = edited(ACCOUNT, [], first, 1)
    assert (made.key, made.schedule, made.schedule_id, made.account) == (UNWRITTEN, -1, DRY, 7)
    assert (made.anchor, made.version_number, made.grace_days) == (instant(FIRST), 2, 3)


def test_cycles_are_retained_from_an_edit_before() -> None:
    begun = instant(date(2024, 1, 10))
    odd = plan("odd", CycleDefinition("MONTHLY", 0, anniversary=True))
    held = edited(ACCOUNT, [], On(Period(begun, FOREVER), odd, retain=False), 1)
    later = Period(instant(date(2024, 2, 20)), FOREVER)
    held = edited(ACCOUNT, held, On(later, PLANS["a"], retain=True), 2)
    assert [(s.price_plan_id, s.calendar.day, s.grace_days) for s in held] == [("pp.odd", "10", 0), ("pp.a", "10", 3)]
    weekly = overridden(PLANS["a"], PlanChange(cycle=CycleDefinition("WEEKLY", 1)))
    with pytest.raises(Invalid, match="retainStartOffsets"):
        edited(ACCOUNT, held, On(later, weekly, retain=True), 3)


WEEKLY = CycleDefinition("WEEKLY", 1)
OTHER = [card("calls", USD=1, EUR=1)]
BASE = PLANS["a"].details
ONLY_USD = {
    "currencies": ["USD"],
    "usage": [card("tokens", USD=2)],
    "commitment": Commitment("Least", rates(USD=10)),
    "fees": [FeeCard("support", 5, "addon.support", rates(USD=20), prorated=True)],
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (PlanChange(cycle=WEEKLY), {"cycle": WEEKLY}),
        (PlanChange(usage=OTHER), {"usage": OTHER}),
        (PlanChange(usage=[]), {"usage": []}),
        (PlanChange(fees=[]), {"fees": []}),
        (
            PlanChange(commitment=Commitment("More", rates(USD=99, EUR=98))),
            {"commitment": Commitment("More", rates(USD=99, EUR=98))},
        ),
        (PlanChange(currencies=["USD"]), ONLY_USD),
        (
            PlanChange(currencies=["USD"], usage=[card("calls", USD=7)], fees=[]),
            {**ONLY_USD, "usage": [card("calls", USD=7)], "fees": []},
        ),
    ],
)
def test_given_parts_take_the_place_of_the_plans(change: PlanChange, said: dict[str, Any]) -> None:
    """Each part of the plan is what the table says, else what the plan says."""
    made = overridden(PLANS["a"], change)
    for part in ("currencies", "cycle", "usage", "commitment", "fees", "ongoing_updates"):
        assert getattr(made.details, part) == said.get(part, getattr(BASE, part)), part
    assert made.override == change
    assert made.active_currencies == ("USD",)
    assert plan("a").details == BASE, "the plan stays as it is"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (PlanChange(currencies=["GBP"]), r"pricePlanDetailsOverride\.supportedCurrencies\[0\]"),
        (PlanChange(currencies=["USD", "USD"]), r"pricePlanDetailsOverride\.supportedCurrencies"),
        (PlanChange(usage=[card("calls", USD=1)]), r"pricePlanDetailsOverride\.usageRateCards\[0\]\.rateValues"),
        (PlanChange(cycle=CycleDefinition("MONTHLY", -1)), r"pricePlanDetailsOverride\.pricingCycleConfig\.grace"),
        (PlanChange(commitment=Commitment("x", rates(USD=1))), r"pricePlanDetailsOverride\.minimumCommitment"),
    ],
)
def test_what_cannot_be_billed_cannot_be_overridden(change: PlanChange, field: str) -> None:
    with pytest.raises(Invalid, match=field):
        overridden(PLANS["a"], change)


def test_nothing_left_to_bill() -> None:
    bare = overridden(PLANS["a"], PlanChange(usage=[], fees=[]))
    assert bare.details.commitment is not None
    no_floor = replace(PLANS["a"], details=structs.replace(BASE, commitment=None))
    with pytest.raises(Invalid, match="pricePlanDetailsOverride"):
        overridden(no_floor, PlanChange(usage=[], fees=[]))
