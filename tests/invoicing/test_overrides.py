"""Bills of accounts with overrides, against usage priced day by day."""

from datetime import date, timedelta
from decimal import ROUND_DOWN, Decimal

import pytest

from bursar.catalog.plans import PlanChange
from bursar.db.verify import Check
from bursar.invoicing.billing import bill
from bursar.invoicing.service import Filters, list_invoices
from bursar.invoicing.verify import CHECKS
from bursar.ledger import verify as ledger
from bursar.purchases import service as purchases
from bursar.purchases.service import Associate
from tests.conftest import broken
from tests.invoicing.conftest import MakeWorld
from tests.invoicing.world import FOREVER, World, at, card

CENT = Decimal("0.01")
RATE, SPECIAL = Decimal("0.37"), Decimal("0.11")
DAYS = [date(2024, 3, 1) + timedelta(days=n) for n in range(61)]


def used(day: date) -> int:
    return day.day * 3 + day.month


def expected(special: date | None) -> dict[date, Decimal]:
    """What each period costs by the day on which it begins: a line rounds once, toward zero."""
    totals: dict[date, Decimal] = {}
    for day in DAYS:
        cut = special is not None and day >= special and special.month == day.month
        begins = special if cut and special is not None else day.replace(day=1)
        rate = SPECIAL if special is not None and day >= special else RATE
        totals[begins] = totals.get(begins, Decimal(0)) + used(day) * rate
    return {begins: total.quantize(CENT, ROUND_DOWN) for begins, total in totals.items()}


async def bills(world: World, account: str) -> dict[date, Decimal]:
    found = await list_invoices(world.db, world.caller, Filters(account_id=account), None, 50)
    return {one.document.start_date.date(): one.document.total for one in found.items if one.header.status != "DRAFT"}


async def problems(world: World, checks: list[Check]) -> list[str]:
    return await broken(world.db, world.caller, checks)


@pytest.mark.parametrize("special", [date(2024, 3, 1), date(2024, 3, 18), date(2024, 4, 30)])
async def test_an_override_prices_its_account_alone(make_world: MakeWorld, special: date) -> None:
    world = await make_world(at(2024, 5, 20))
    meter = await world.meter("tokens")
    plan = await world.plan("plan", [card(meter, [(0, "PER_UNIT", RATE)])])
    for name in ("plain", "special"):
        key = await world.account(name)
        await world.associate(name, plan, DAYS[0])
        for day in DAYS:
            await world.use(key, meter, at(day.year, day.month, day.day, 12), used(day))
    change = PlanChange(usage=[card(meter, [(0, "PER_UNIT", SPECIAL)])])
    async with world.db.transaction(world.caller.workspace) as connection:
        await purchases.associate(
            connection, world.caller, Associate("special", plan.id, special, FOREVER, override=change)
        )
    await bill(world.db, world.caller)
    assert await bills(world, "plain") == expected(None)
    assert await bills(world, "special") == expected(special)
    assert await problems(world, [*CHECKS, *ledger.CHECKS]) == []
