"""Which grants are drawn, what is left, what may be changed: tables, and unit by unit against a naive drawer."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.core.errors import Invalid, WrongState
from bursar.core.period import Period
from bursar.purchases.grant_model import (
    Grant,
    Source,
    Standing,
    Stock,
    TooFewUnits,
    draw,
    edited,
    meets,
    standing,
    value_of,
    voided,
)

NOW = datetime(2024, 5, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def grant(
    key: int,
    granted: str | None = "10",
    *,
    used: str = "0",
    days: tuple[int, int] = (-1, 1),
    source: Source = "ENTITLEMENT",
    void: bool = False,
) -> Grant:
    effective = Period(NOW + days[0] * DAY, NOW + days[1] * DAY)
    units = None if granted is None else Decimal(granted)
    return Grant(key, f"g{key}", source, effective, units, Decimal(used), void)


def drawn(grants: list[Grant], needed: str) -> dict[int, Decimal]:
    return {entry.grant: entry.amount for entry in draw(grants, Decimal(needed), NOW)}


@pytest.mark.parametrize(
    ("grants", "needed", "expected"),
    [
        ([grant(1, days=(-1, 9)), grant(2, days=(-1, 2))], "4", {2: 4}),
        ([grant(1, days=(-1, 9)), grant(2, days=(-1, 2))], "14.5", {2: 10, 1: Decimal("4.5")}),
        ([grant(2), grant(1)], "4", {1: 4}),
        ([grant(1, days=(-3, 0)), grant(2)], "1", {2: 1}),
        ([grant(1, days=(0, 1))], "1", {1: 1}),
        ([grant(1, void=True, days=(-1, 1)), grant(2, days=(-1, 3))], "1", {2: 1}),
        ([grant(1, used="10"), grant(2, days=(-1, 3))], "1", {2: 1}),
        ([grant(1, None, source="OVERAGE", days=(-1, 1)), grant(2, days=(-1, 9))], "4", {2: 4}),
        ([grant(1, None, source="OVERAGE", days=(-1, 1)), grant(2, days=(-1, 9))], "400", {2: 10, 1: 390}),
        ([grant(1, used="10")], "0", {}),
    ],
    ids=["ends sooner", "over two", "older", "ended now", "begins now", "voided", "used up", "overage last",
         "overage without limit", "nothing needed"],
)  # fmt: skip
def test_whose_units_are_drawn(grants: list[Grant], needed: str, expected: dict[int, Decimal]) -> None:
    assert drawn(grants, needed) == expected


@pytest.mark.parametrize(
    ("grants", "needed", "left"),
    [
        ([], "1", None),
        ([], "0", None),
        ([grant(1, days=(1, 2)), grant(2, days=(-2, -1)), grant(3, void=True)], "1", None),
        ([grant(1), grant(2, used="9.5")], "10.500000000001", "10.5"),
        ([grant(1, used="10")], "1", "0"),
    ],
)
def test_units_are_drawn_whole_or_not_at_all(grants: list[Grant], needed: str, left: str | None) -> None:
    stock = Stock(1, grants)
    with pytest.raises(TooFewUnits) as caught:
        stock.draw(Decimal(needed), NOW)
    assert caught.value.left == (None if left is None else Decimal(left))
    assert stock.grants == grants


SOURCES: list[Source] = ["ENTITLEMENT", "PRICE_PLAN", "OVERAGE", "REFUND"]
GRANTS = st.lists(
    st.tuples(
        st.integers(0, 30),  # granted, in tenths
        st.integers(0, 30),  # used at most
        st.integers(-3, 2),  # begins, in days
        st.integers(1, 4),  # lasts
        st.sampled_from(SOURCES),
        st.booleans(),  # voided
        st.booleans(),  # without limit, of overage
    ),
    max_size=5,
)


@given(GRANTS, st.lists(st.integers(0, 40), max_size=6))
def test_draws_are_those_of_a_naive_drawer(
    made: list[tuple[int, int, int, int, Source, bool, bool]], needs: list[int]
) -> None:
    """The naive one lays every tenth of a unit in a row in drawing order and takes them one by one from its front."""
    grants, row = [], []
    for key, (granted, wanted, begins, lasts, source, void, endless) in enumerate(made):
        limit = None if endless and source == "OVERAGE" else granted
        used = wanted if limit is None else min(wanted, limit)
        units = None if limit is None else str(Decimal(limit) / 10)
        tenths = str(Decimal(used) / 10)
        grants.append(grant(key, units, used=tenths, days=(begins, begins + lasts), source=source, void=void))
        if not void and begins <= 0 < begins + lasts:
            left = 300 if limit is None else limit - used
            row += [(source == "OVERAGE", begins + lasts, key)] * left
    row.sort()
    any_in_force = any(entry.in_force(NOW) for entry in grants)
    stock = Stock(1, grants)
    for need in needs:
        if need > len(row) or not any_in_force:
            with pytest.raises(TooFewUnits):
                stock.draw(Decimal(need) / 10, NOW)
            continue
        taken, row = row[:need], row[need:]
        expected = {key: Decimal([k for _, _, k in taken].count(key)) / 10 for _, _, key in taken}
        assert {entry.grant: entry.amount for entry in stock.draw(Decimal(need) / 10, NOW)} == expected


def test_draws_follow_the_clock_and_what_is_set_aside_between_them() -> None:
    """Of one that ends in an hour and one that lasts: whose turn it is at each instant, less what is held by then."""
    soon = replace(grant(1, "10"), effective=Period(NOW - DAY, NOW + DAY / 24))
    stock = Stock(1, [grant(2, "20"), soon])
    told = [
        stock.draw(Decimal(3), NOW),
        stock.draw(Decimal(2), NOW),
        stock.reserve(Decimal(4), NOW),
        stock.draw(Decimal(1), NOW),
        stock.draw(Decimal(1), NOW),
        stock.draw(Decimal(2), NOW),
        stock.draw(Decimal(1), NOW - DAY / 2),
        stock.draw(Decimal(5), NOW + DAY / 12),
        stock.draw(Decimal(0), NOW),
        stock.draw(Decimal(5), NOW + DAY / 12),
    ]
    assert [[tuple(part) for part in draws] for draws in told] == [
        [(1, 3)], [(1, 2)], [(1, 4)], [(1, 1)], [(2, 1)], [(2, 2)], [(2, 1)], [(2, 5)], [], [(2, 5)],
    ]  # fmt: skip
    with pytest.raises(TooFewUnits) as caught:
        stock.draw(Decimal(7), NOW)
    assert caught.value.left == 6
    assert [tuple(part) for part in stock.draw(Decimal(6), NOW)] == [(2, 6)]


def test_what_an_account_has_now() -> None:
    now = standing(
        [
            grant(1, "10", used="4"),
            grant(2, "5.5", source="PRICE_PLAN"),
            grant(3, "7", days=(1, 2)),
            grant(4, "7", days=(-2, 0)),
            grant(5, "7", used="1", void=True),
            grant(6, "20", used="3", source="OVERAGE"),
        ],
        NOW,
    )
    assert (now.granted, now.balance) == (Decimal("15.5"), Decimal("11.5"))
    assert (now.overage_limit, now.used_overage) == (Decimal(20), Decimal(3))
    endless = standing([grant(1, "20", source="OVERAGE"), grant(2, None, used="2", source="OVERAGE")], NOW)
    assert endless == Standing(Decimal(0), Decimal(0), None, Decimal(2))
    assert standing([], NOW).overage_limit is None


SEATS = [grant(1, "10", used="4"), grant(2, "5.5", days=(1, 2))]
SWITCH = [grant(1, "0")]
ENDLESS = [grant(1), grant(2, None, source="OVERAGE")]
OVER = [grant(1, days=(-2, 0))]


@pytest.mark.parametrize(
    ("grants", "value"), [(SEATS, "6"), (SWITCH, "true"), (ENDLESS, "unlimited"), (OVER, "false"), ([], "false")]
)
def test_what_an_account_is_told(grants: list[Grant], value: str) -> None:
    assert value_of(grants, NOW) == value
    assert meets(grants, value, NOW)


@pytest.mark.parametrize(
    ("grants", "asked", "met"),
    [
        (SEATS, "6.000", True),
        (SEATS, "6.000000000001", False),
        (SEATS, "true", True),
        (SEATS, "false", False),
        (SEATS, "gold", False),
        (SWITCH, "0", True),
        (SWITCH, "1", False),
        (SWITCH, "false", False),
        (ENDLESS, "99999999999999999999999999", True),
        (OVER, "0", False),
        (OVER, "true", False),
    ],
)
def test_what_is_asked_for(grants: list[Grant], asked: str, met: bool) -> None:
    assert meets(grants, asked, NOW) is met


@pytest.mark.parametrize(
    ("of", "status"),
    [
        (grant(1), "ACTIVE"),
        (grant(1, days=(1, 2)), "ACTIVE"),
        (grant(1, days=(-2, 0)), "EXPIRED"),
        (grant(1, days=(-2, 0), void=True), "VOIDED"),
    ],
)
def test_status(of: Grant, status: str) -> None:
    assert of.status(NOW) == status


@pytest.mark.parametrize("of", [grant(1, days=(-2, 0)), grant(1, void=True)])
def test_what_is_over_stays(of: Grant) -> None:
    with pytest.raises(WrongState):
        edited(of, NOW + DAY, None, NOW)
    with pytest.raises(WrongState):
        voided(of, NOW)


def test_an_active_grant_is_edited_and_voided() -> None:
    old = grant(1, "10", used="4")
    assert edited(old, None, None, NOW) == old
    longer = edited(old, NOW + 5 * DAY, Decimal("4.000000000001"), NOW)
    assert (longer.effective, longer.granted) == (Period(NOW - DAY, NOW + 5 * DAY), Decimal("4.000000000001"))
    gone = voided(old, NOW)
    assert (gone.left, gone.used, gone.granted) == (Decimal(0), Decimal(4), Decimal(10))
    assert voided(replace(old, granted=None, source="OVERAGE"), NOW).left == 0


@pytest.mark.parametrize(
    ("of", "until", "granted", "field"),
    [
        (grant(1), NOW, None, "effectiveUntil"),
        (grant(1, days=(2, 3)), NOW + 2 * DAY, None, "effectiveUntil"),
        (grant(1, used="4"), None, "4", "granted"),
        (grant(1), None, "0", "granted"),
        (grant(1), None, "-1", "granted"),
        (grant(1), None, "NaN", "granted"),
        (grant(1), None, "1E+26", "granted"),
        (grant(1), None, "1.0000000000001", "granted"),
        (grant(1, None, source="OVERAGE"), None, "5", "granted"),
    ],
)
def test_edits_that_cannot_be(of: Grant, until: datetime | None, granted: str | None, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        edited(of, until, None if granted is None else Decimal(granted), NOW)
    assert caught.value.field == field
