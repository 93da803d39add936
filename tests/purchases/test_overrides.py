"""Overrides and batches of edits in a real database: what is kept, what follows a plan, what a dry run leaves."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from bursar.catalog import plans
from bursar.catalog.definitions import Commitment, CurrencyRate, CycleDefinition
from bursar.catalog.plans import PlanChange, PlanVersion
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, WrongState
from bursar.core.period import FOREVER
from bursar.db.database import Database
from bursar.purchases import plan_changes, service
from bursar.purchases.edits import DRY
from bursar.purchases.model import MigrationMode
from bursar.purchases.plan_changes import UpdatePlan
from bursar.purchases.service import Associate, Disassociate, Edit, Schedules
from tests.purchases.test_schedules import END, Shop, at, shown

HALF = PlanChange(commitment=Commitment("Half", [CurrencyRate("USD", Decimal("0.5"))]))
DOUBLE = PlanChange(commitment=Commitment("Double", [CurrencyRate("USD", Decimal(2))]))
WEEKLY = PlanChange(cycle=CycleDefinition("WEEKLY", 1))


@pytest.fixture
async def shop(database: Database, caller: Caller) -> Shop:
    return await Shop(database, replace(caller, now=at(5, 17, 9))).open()


async def edit(shop: Shop, *edits: Edit, dry_run: bool = False) -> Schedules:
    async with shop.db.transaction(shop.caller.workspace) as connection:
        return await service.edit_schedules(connection, shop.caller, "acme", edits, dry_run=dry_run)


async def commitments(shop: Shop) -> list[tuple[Any, ...]]:
    """Since when which version holds, of which plan, with which commitment."""
    async with shop.db.transaction(shop.caller.workspace) as connection:
        page = await service.list_segments(connection, shop.caller, "acme", None, None, None, 50)
        known = await plans.versions(connection, shop.caller.workspace, [s.version for s in page.items])
    found = []
    for one in page.items:
        version = known[one.version]
        commitment = version.details.commitment
        assert commitment is not None
        found.append((one.period.start, one.version_number, str(commitment.in_currency("USD")), one.override))
    return found


async def change_plan(shop: Shop, plan: PlanVersion, mode: str, amount: int) -> None:
    change = PlanChange(commitment=Commitment("Least", [CurrencyRate("USD", Decimal(amount))]))
    async with shop.db.transaction(shop.caller.workspace) as connection:
        await plan_changes.update_plan(connection, shop.caller, UpdatePlan(plan.id, change, MigrationMode(mode)))


async def test_an_override_is_kept_beside_the_plan(shop: Shop) -> None:
    plan = await shop.plan("a")
    made = await shop.on(plan, date(2024, 1, 1), override=HALF)
    assert [one.override for one in made.segments] == [HALF]
    await shop.on(plan, date(2024, 3, 1), override=WEEKLY)
    assert await commitments(shop) == [(at(1, 1), 1, "0.5", HALF), (at(3, 1), 1, "1", WEEKLY)]
    async with shop.db.transaction(shop.caller.workspace) as connection:
        assert await plans.find(connection, shop.caller.workspace, plan.id) == plan, "the plan says what it said"
        listed = await plans.list_plans(connection, shop.caller.workspace, None, 50)
    assert [one.version_key for one in listed.items] == [plan.version_key]
    rows = await shop.rows(
        "select calendar ->> 'interval' as i, grace_days from account_calendar where workspace = $1 order by starts_at"
    )
    assert [tuple(row) for row in rows] == [("MONTHLY", 3), ("WEEKLY", 1)]


async def test_what_remains_of_an_overridden_association_stays_so(shop: Shop) -> None:
    plan, other = await shop.plan("a"), await shop.plan("b")
    await shop.on(plan, date(2024, 1, 1), override=HALF)
    await shop.on(other, date(2024, 2, 1), date(2024, 3, 1))
    assert await commitments(shop) == [(at(1, 1), 1, "0.5", HALF), (at(2, 1), 1, "1", None), (at(3, 1), 1, "0.5", HALF)]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("NONE", [(at(1, 1), 1, "0.5", HALF)]),
        ("NEXT_CYCLE", [(at(1, 1), 1, "0.5", HALF), (at(6, 1), 2, "0.5", HALF)]),
        ("IMMEDIATE", [(at(1, 1), 1, "0.5", HALF), (at(5, 17), 2, "0.5", HALF)]),
        ("NEXT_CYCLE_IGNORE_OVERRIDE", [(at(1, 1), 1, "0.5", HALF), (at(6, 1), 2, "9", None)]),
        ("IMMEDIATE_IGNORE_OVERRIDE", [(at(1, 1), 1, "0.5", HALF), (at(5, 17), 2, "9", None)]),
    ],
)
async def test_a_new_version_keeps_or_ends_overrides(shop: Shop, mode: str, expected: list[Any]) -> None:
    plan = await shop.plan("a")
    await shop.on(plan, date(2024, 1, 1), override=HALF)
    await change_plan(shop, plan, mode, 9)
    assert await commitments(shop) == expected


async def test_an_edit_builds_on_the_one_before(shop: Shop) -> None:
    a, b = await shop.plan("a"), await shop.plan("b")
    edits: list[Edit] = [
        Associate("acme", a.id, date(2024, 1, 1), END),
        Associate("acme", b.id, date(2024, 2, 1), date(2024, 4, 1), override=DOUBLE),
        Disassociate("acme", date(2024, 3, 1), date(2024, 3, 10), b.id),
    ]
    expected = [
        ("a", at(1, 1), at(2, 1)),
        ("b", at(2, 1), at(3, 1)),
        ("b", at(3, 10), at(4, 1)),
        ("a", at(4, 1), FOREVER),
    ]
    before = await shop.rows("select * from schedule_segment where workspace = $1")
    trail = await shop.rows("select count(*), max(key) from audit where workspace = $1")
    would = await edit(shop, *edits, dry_run=True)
    assert shown(would) == expected
    assert {one.schedule_id for one in would.segments} == {DRY}
    assert [one.override for one in would.segments] == [None, DOUBLE, DOUBLE, None]
    for table in ("schedule_segment", "schedule", "account_calendar"):
        assert await shop.rows(f"select * from {table} where workspace = $1") == [], "a dry run writes nothing"
    assert await shop.rows("select count(*), max(key) from audit where workspace = $1") == trail
    overrides = await shop.rows("select * from price_plan_version where workspace = $1 and override is not null")
    assert (before, overrides) == ([], [])
    done = await edit(shop, *edits)
    assert shown(done) == expected
    ids = [one.schedule_id for one in done.segments]
    assert ids[0] == ids[3] != ids[1] == ids[2], "two associations, each in two parts"
    assert shown(await edit(shop, *edits[2:], dry_run=True)) == expected, "nothing is left to take off"


async def test_edits_are_made_all_or_none(shop: Shop) -> None:
    a = await shop.plan("a")
    draft = await shop.plan("draft", active=False)
    first = Associate("acme", a.id, date(2024, 1, 1), END)
    bad: list[tuple[Edit, type[Exception], str]] = [
        (Associate("acme", draft.id, date(2024, 2, 1), END), WrongState, r"^edits\[1\]\.pricePlanId.*DRAFT"),
        (Associate("acme", a.id, date(2024, 2, 1), date(2024, 2, 1)), Invalid, r"^edits\[1\]\.effectiveUntil"),
        (
            Associate("acme", a.id, date(2024, 2, 1), END, retain_start_offsets=True, override=WEEKLY),
            Invalid,
            r"^edits\[1\]\.retainStartOffsets",
        ),
    ]
    for second, error, message in bad:
        for dry_run in (True, False):
            with pytest.raises(error, match=message):
                await edit(shop, first, second, dry_run=dry_run)
    assert await shop.rows("select * from schedule_segment where workspace = $1") == []


async def test_invoiced_time_is_refused_in_a_dry_run_as_well(shop: Shop) -> None:
    a = await shop.plan("a")
    await shop.on(a, date(2024, 1, 1))
    async with shop.db.transaction(shop.caller.workspace) as connection:
        await connection.execute(
            "update account set closed_from = $2, closed_until = $3 where workspace = $1",
            shop.caller.workspace, at(1, 1), at(3, 1),
        )  # fmt: skip
    early = Disassociate("acme", date(2024, 2, 29), END)
    for dry_run in (True, False):
        with pytest.raises(WrongState, match=r"edits\[0\]\.effectiveFrom.*invoiced until 2024-03-01"):
            await edit(shop, early, dry_run=dry_run)
    assert shown(await edit(shop, Disassociate("acme", date(2024, 3, 1), END))) == [("a", at(1, 1), at(3, 1))]
