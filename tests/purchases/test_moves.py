"""Who moves to which plan from when, against days painted one by one."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bursar.catalog.definitions import Commitment, CurrencyRate, CycleDefinition, PlanDetails
from bursar.catalog.plans import PlanChange, PlanVersion
from bursar.core.errors import Invalid, WrongState
from bursar.core.period import FOREVER, Period
from bursar.purchases.edits import UNWRITTEN
from bursar.purchases.model import AccountFacts, MigrationMode, Segment
from bursar.purchases.moves import Move, moved, refuse_move
from tests.purchases.test_model import segment

ACCOUNT = AccountFacts(1, "acme", "ACME", "ACTIVE", "USD", "UTC", None)
MONTHLY = CycleDefinition("MONTHLY", 3)
TENTH = CycleDefinition("MONTHLY", 5, day="10")
WEEKLY = CycleDefinition("WEEKLY", 1)
HALF = PlanChange(commitment=Commitment("Half", [CurrencyRate("USD", Decimal("0.5"))]))
FIRST = date(2024, 1, 1)


def at(month: int, day: int, hour: int = 0) -> datetime:
    return datetime(2024, month, day, hour, tzinfo=UTC)


def plan(identifier: str, version: int = 1, cycle: CycleDefinition = MONTHLY, *, ongoing: bool = True) -> PlanVersion:
    least = Commitment("Least", [CurrencyRate("USD", Decimal(1))])
    details = PlanDetails(["USD"], cycle, [], least, ongoing_updates=ongoing)
    return PlanVersion(
        key_of(identifier), key_of(identifier) * 100 + version, identifier, identifier, "BILLING", None, "ACTIVE",
        version, 1, f"sch.{version}", details, ("USD",), at(1, 1), at(1, 1),
    )  # fmt: skip


def key_of(identifier: str) -> int:
    return {"pp.a": 1, "pp.b": 2}[identifier]


def on(start: datetime, end: datetime, identifier: str, version: int, key: int, schedule: int) -> Segment:
    made = segment(start, end, plan=identifier, key=key)
    return replace(made, schedule=schedule, version=key_of(identifier) * 100 + version, version_number=version)


CYCLES: dict[int, CycleDefinition | None] = {101: MONTHLY, 102: MONTHLY, 201: MONTHLY}
HELD = [on(at(1, 10), FOREVER, "pp.a", 1, 1, 1)]


def move(target: PlanVersion, mode: str, *, source: int = 1, retain: bool = False) -> Move:
    return Move("pp.a", source, target, MigrationMode(mode), retain)


@pytest.mark.parametrize("target", [plan("pp.b"), plan("pp.a", 2)])
@pytest.mark.parametrize(
    ("mode", "now", "closed", "start"),
    [
        ("IMMEDIATE", at(5, 17, 9), None, at(5, 17)),
        ("IMMEDIATE_IGNORE_OVERRIDE", at(5, 17, 9), None, at(5, 17)),
        ("NEXT_CYCLE", at(5, 17, 9), None, at(6, 1)),
        ("NEXT_CYCLE_IGNORE_OVERRIDE", at(5, 17, 9), None, at(6, 1)),
        ("START_OF_CURRENT_CYCLE", at(5, 17, 9), None, at(5, 1)),
        ("START_OF_CURRENT_CYCLE", at(1, 17, 9), None, at(1, 10)),
        ("START_OF_CURRENT_CYCLE", at(5, 17, 9), at(5, 10), at(5, 10)),
        ("NEXT_CYCLE", at(1, 2), None, at(1, 10)),
    ],
)
def test_from_when(target: PlanVersion, mode: str, now: datetime, closed: datetime | None, start: datetime) -> None:
    after, made = moved(replace(ACCOUNT, closed_until=closed), HELD, move(target, mode), now, CYCLES)
    *before, last = after
    assert (last.price_plan_id, last.version_number, last.period) == (target.id, target.version, Period(start, FOREVER))
    assert [(s.version_number, s.price_plan_id, s.period) for s in before] == (
        [(1, "pp.a", Period(at(1, 10), start))] if start > at(1, 10) else []
    )
    assert all(s.key == UNWRITTEN for s in after), "superseded rows are kept, and none is changed"
    if target.id == "pp.a":
        assert (last.schedule, last.anchor, made) == (1, at(1, 10), {}), "a version goes on under the association"
    else:
        assert (last.schedule, last.anchor, made) == (-1, start, {-1: target}), "another plan begins a new one"


@pytest.mark.parametrize(
    ("segments", "source", "expected"),
    [
        # Another version is not moved.
        (HELD, 2, [("pp.a", 1, at(1, 10), FOREVER)]),
        # What ended stays; what another plan holds stays.
        (
            [on(at(1, 1), at(3, 1), "pp.a", 1, 1, 1), on(at(3, 1), FOREVER, "pp.b", 1, 2, 2)],
            1,
            [("pp.a", 1, at(1, 1), at(3, 1)), ("pp.b", 1, at(3, 1), FOREVER)],
        ),
        # An association moves with what follows: a version that it was to take over later does not come back.
        (
            [on(at(1, 1), at(6, 1), "pp.a", 1, 1, 1), on(at(6, 1), FOREVER, "pp.a", 2, 2, 1)],
            1,
            [("pp.a", 1, at(1, 1), at(5, 17)), ("pp.b", 1, at(5, 17), FOREVER)],
        ),
        # From where it comes to the source on.
        (
            [on(at(1, 1), at(6, 1), "pp.a", 1, 1, 1), on(at(6, 1), FOREVER, "pp.a", 2, 2, 1)],
            2,
            [("pp.a", 1, at(1, 1), at(6, 1)), ("pp.b", 1, at(6, 1), FOREVER)],
        ),
        # Gaps stay gaps.
        (
            [on(at(1, 1), at(6, 1), "pp.a", 1, 1, 1), on(at(7, 1), at(8, 1), "pp.a", 1, 2, 1)],
            1,
            [("pp.a", 1, at(1, 1), at(5, 17)), ("pp.b", 1, at(5, 17), at(6, 1)), ("pp.b", 1, at(7, 1), at(8, 1))],
        ),
    ],
)
def test_what_moves(segments: list[Segment], source: int, expected: list[object]) -> None:
    after, made = moved(ACCOUNT, segments, move(plan("pp.b"), "IMMEDIATE", source=source), at(5, 17, 9), CYCLES)
    assert [(s.price_plan_id, s.version_number, s.period.start, s.period.end) for s in after] == expected
    assert len({s.schedule for s in after if s.schedule < 0}) == len(made)


def test_the_present_cycle_begins_anew_as_one_whole() -> None:
    held = [
        on(at(1, 1), at(4, 10), "pp.a", 1, 1, 1),
        on(at(4, 10), at(5, 5), "pp.a", 2, 2, 1),
        on(at(5, 5), FOREVER, "pp.a", 1, 3, 1),
    ]
    for target in (plan("pp.b"), plan("pp.a", 3)):
        after, _ = moved(ACCOUNT, held, move(target, "START_OF_CURRENT_CYCLE"), at(5, 17, 9), CYCLES)
        assert [(s.price_plan_id, s.version_number, s.period.start) for s in after] == [
            ("pp.a", 1, at(1, 1)),
            ("pp.a", 2, at(4, 10)),
            (target.id, target.version, at(5, 1)),
        ]
    planned = [on(at(1, 1), at(6, 1), "pp.a", 1, 1, 1), on(at(6, 1), FOREVER, "pp.a", 2, 2, 1)]
    later = move(plan("pp.b"), "START_OF_CURRENT_CYCLE", source=2)
    after, _ = moved(ACCOUNT, planned, later, at(5, 17, 9), CYCLES)
    assert [s.period.start for s in after] == [at(1, 1), at(6, 1)], "the source is yet to come"


def test_other_cycles_run_from_the_move_on_unless_they_are_retained() -> None:
    now = at(5, 17, 9)
    odd = [replace(HELD[0], calendar=replace(HELD[0].calendar, day="20"))]

    def days(target: PlanVersion, *, retain: bool) -> tuple[str, str, int]:
        after, _ = moved(ACCOUNT, odd, move(target, "NEXT_CYCLE", retain=retain), now, CYCLES)
        assert after[-1].period.start == at(5, 20)
        return after[-1].calendar.interval, after[-1].calendar.day, after[-1].grace_days

    assert days(plan("pp.b", cycle=TENTH), retain=False) == ("MONTHLY", "10", 5)
    assert days(plan("pp.b", cycle=TENTH), retain=True) == ("MONTHLY", "20", 5)
    assert days(plan("pp.b", cycle=WEEKLY), retain=False) == ("WEEKLY", "1", 1)
    assert days(plan("pp.a", 2), retain=False) == ("MONTHLY", "20", 3), "the version says nothing anew of cycles"
    assert days(plan("pp.a", 2, TENTH), retain=False) == ("MONTHLY", "10", 5)
    with pytest.raises(Invalid, match="retainStartOffsets"):
        days(plan("pp.b", cycle=WEEKLY), retain=True)


@pytest.mark.parametrize("identifier", ["pp.a", "pp.b"])
def test_overrides_go_along_unless_they_are_ignored(identifier: str) -> None:
    special = [replace(HELD[0], override=HALF)]
    target = plan(identifier, 2)
    kept, made = moved(ACCOUNT, special, move(target, "NEXT_CYCLE"), at(5, 17), CYCLES)
    assert [s.override for s in kept] == [HALF, HALF]
    plain = made[kept[-1].version]
    assert plain.details.commitment == HALF.commitment
    assert plain.version_key == target.version_key, "nothing is kept of it yet"
    dropped, made = moved(ACCOUNT, special, move(target, "NEXT_CYCLE_IGNORE_OVERRIDE"), at(5, 17), CYCLES)
    assert [s.override for s in dropped] == [HALF, None]
    assert dropped[-1].version == target.version_key
    misfit = [replace(HELD[0], override=PlanChange(currencies=["EUR"]))]
    with pytest.raises(Invalid, match="EUR"):
        moved(ACCOUNT, misfit, move(target, "NEXT_CYCLE"), at(5, 17), CYCLES)


@pytest.mark.parametrize(
    ("target", "error", "words"),
    [
        (plan("pp.a"), Invalid, "another version"),
        (replace(plan("pp.b"), status="DRAFT"), WrongState, "DRAFT"),
        (replace(plan("pp.b"), status="ARCHIVED"), WrongState, "ARCHIVED"),
        (replace(plan("pp.b"), type="PURCHASE"), Invalid, "PURCHASE"),
        (plan("pp.b", ongoing=False), WrongState, "allow_ongoing_cycle_updates"),
        (plan("pp.b", cycle=WEEKLY), Invalid, "retainStartOffsets"),
    ],
)
def test_what_is_possible_for_nobody(target: PlanVersion, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        refuse_move(plan("pp.a"), target, MigrationMode.START_OF_CURRENT_CYCLE, retain=True)


_day = st.integers(0, 120)
_modes = st.sampled_from([mode for mode in MigrationMode if mode is not MigrationMode.NONE])


@given(st.lists(st.tuples(_day, st.integers(1, 40)), max_size=5), _day, _modes, _day)
def test_each_day_has_the_plan_that_it_is_painted_in(
    spans: list[tuple[int, int]], today: int, mode: MigrationMode, closed: int
) -> None:
    """Associations one after the other, each on one of the plans; days counted from 1 January."""

    def instant(day: int) -> datetime:
        return datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC) + timedelta(days=day)

    held: list[Segment] = []
    painted: dict[int, str] = {}
    day = 0
    for number, (gap, length) in enumerate(spans, 1):
        first, identifier = day + gap % 4, "pp.a" if number % 2 else "pp.b"
        held.append(on(instant(first), instant(first + length), identifier, 1, number, number))
        painted |= dict.fromkeys(range(first, first + length), identifier)
        day = first + length
    closed = min(closed, today)
    month = (FIRST + timedelta(days=today)).replace(day=1)
    following = (month + timedelta(days=32)).replace(day=1)
    begin = {"S": (month - FIRST).days, "N": (following - FIRST).days, "I": today}[mode.value[0]]
    expected = dict(painted)
    for one in held:
        first, last = (one.period.start - instant(0)).days, (one.period.end - instant(0)).days
        if one.price_plan_id == "pp.a" and last > today:
            since = first if first > today else max(begin, first, closed)
            expected |= dict.fromkeys(range(since, last), "pp.b")
    account = replace(ACCOUNT, closed_until=instant(closed))
    target = replace(plan("pp.b"), details=structs.replace(plan("pp.b").details))
    after, made = moved(account, held, move(target, mode), instant(today) + timedelta(hours=7), CYCLES)
    found = {d: [s.price_plan_id for s in after if instant(d) in s.period] for d in range(day)}
    assert {d: one[0] for d, one in found.items() if one} == expected
    assert all(len(one) <= 1 for one in found.values())
    assert {s.schedule for s in after if s.schedule < 0} == set(made)
