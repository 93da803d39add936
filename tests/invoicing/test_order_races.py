"""Purchases under parallelism: however many ask, answer, pay and expire at once, each is carried out once."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from bursar.catalog.add_ons import AddOn, create_add_on
from bursar.catalog.definitions import (
    CardRates,
    CreditGrantCard,
    CreditTerms,
    CycleDefinition,
    EntitlementCard,
    FeatureConfig,
    PlanDetails,
    SlabDefinition,
    SlabRate,
)
from bursar.catalog.features import create_feature
from bursar.catalog.plans import NewPlan, activate_plan, create_plan
from bursar.core.errors import Invalid, WrongState
from bursar.db.database import Database
from bursar.db.verify import Check
from bursar.invoicing import ordering
from bursar.invoicing.expiring import expire_due
from bursar.invoicing.opening import open_cycles
from bursar.invoicing.settling import change_status
from bursar.invoicing.verify import CHECKS as INVOICING
from bursar.invoicing.verify_orders import CHECKS as ORDERS
from bursar.ledger.account_wallets import get_wallet, top_up
from bursar.ledger.verify import CHECKS as LEDGER
from bursar.purchases.order_model import Goods, NewPurchase
from bursar.purchases.verify import CHECKS as PURCHASES
from tests.conftest import broken
from tests.invoicing.conftest import MakeWorld
from tests.invoicing.world import World, at

NOW = at(2024, 5, 10)
EXPIRY = at(2024, 5, 11)
pytestmark = pytest.mark.again

CHECKS: Sequence[Check] = [*INVOICING, *ORDERS, *LEDGER, *PURCHASES]


@dataclass
class Shop(World):
    """A workspace with a plan to be bought."""

    plan_id: str


@pytest.fixture
async def world(make_world: MakeWorld, books_dsn: str) -> Shop:
    """A workspace whose plan `pack` grants 10 units for 2 each, and credits of 3 for nothing."""
    made = await make_world(NOW)
    db = await Database.open(books_dsn, size=24, timeout=20)
    async with db.transaction(made.caller.workspace) as connection:
        feature = await create_feature(connection, made.caller, "calls", None, [])
        card = EntitlementCard(
            name="calls",
            feature=feature.key,
            feature_id=feature.id,
            configs=[FeatureConfig(Decimal(10), "P20D")],
            pricing_model="TIERED",
            slabs=[SlabDefinition(1, Decimal(0), "PER_UNIT")],
            rates=[CardRates("USD", [SlabRate(1, Decimal(2))])],
            timing="PREPAID",
        )
        bonus = await create_add_on(connection, made.caller, "bonus", "CREDIT_GRANT", None)
        details = PlanDetails(["USD"], entitlements=[card], credits=[credits_of(bonus, 3)])
        plan = await create_plan(connection, made.caller, NewPlan("pack", "PURCHASE", None, details))
        await activate_plan(connection, made.caller, plan.id, ["USD"])
    await made.account("acme")
    return Shop(db, made.caller, plan.id)


def credits_of(add_on: AddOn, amount: int) -> CreditGrantCard:
    """Credits that cost nothing."""
    terms = CreditTerms(
        Decimal(amount), [SlabDefinition(1, Decimal(0), "FLAT")], CardRates("USD", [SlabRate(1, Decimal(0))])
    )
    return CreditGrantCard("credits", add_on.key, add_on.id, "TIERED", [terms], 1, "NO_EXPIRY")


async def given(world: World) -> list[Decimal]:
    rows = await world.rows("select granted from credit where workspace = $1", world.caller.workspace)
    return [row["granted"] for row in rows]


def pack(world: Shop, **more: Any) -> NewPurchase:
    return NewPurchase("acme", Goods("ENTITLEMENT_GRANT"), price_plan_id=world.plan_id, **more)


async def fund(world: Shop, amount: Any) -> None:
    async with world.db.transaction(world.caller.workspace) as connection:
        await top_up(connection, world.caller, "acme", Decimal(amount))


async def money(world: Shop) -> Decimal:
    async with world.db.transaction(world.caller.workspace) as connection:
        return (await get_wallet(connection, world.caller, "acme")).posted


async def units(world: Shop) -> Decimal:
    (row,) = await world.rows(
        "select coalesce(sum(balance), 0) as units from feature_balance where workspace = $1", world.caller.workspace
    )
    return Decimal(row["units"])


async def statuses(world: Shop) -> Counter[str]:
    rows = await world.rows("select status from purchase where workspace = $1", world.caller.workspace)
    return Counter(str(row["status"]) for row in rows)


async def sound(world: Shop) -> None:
    assert await broken(world.db, world.caller, CHECKS) == []
    await world.db.close()


async def at_once(*work: Any) -> list[Any]:
    return list(await asyncio.gather(*work, return_exceptions=True))


async def test_one_key_a_hundred_times_is_one_purchase(world: Shop) -> None:
    await fund(world, 20)
    wanted = [pack(world, idempotency_key="k", payment_mode="PREPAID") for _ in range(100)]
    wanted[50] = replace(wanted[50], goods=Goods("ENTITLEMENT_GRANT", quantity=2))
    found = await at_once(*(ordering.buy(world.db, world.caller, new) for new in wanted))
    ids = {one for one in found if isinstance(one, str)}
    refused = [one for one in found if not isinstance(one, str)]
    assert len(ids) == 1
    # Whichever came first: the others of another body are refused by name.
    assert len(refused) in (1, 99)
    assert all(isinstance(one, Invalid) and one.field == "idempotencyKey" for one in refused), refused
    assert sum((await statuses(world)).values()) == 1
    await sound(world)


async def test_one_wallet_pays_as_many_packs_as_it_covers(world: Shop) -> None:
    await fund(world, 110)
    await at_once(*(ordering.buy(world.db, world.caller, pack(world)) for _ in range(16)))
    assert await statuses(world) == {"SUCCESS": 5, "PENDING": 11}
    assert await money(world) == 10
    assert await units(world) == 50
    assert await given(world) == [3] * 5
    await sound(world)


async def test_cycles_that_open_at_once_give_their_credits_once(world: Shop) -> None:
    async with world.db.transaction(world.caller.workspace) as connection:
        add_on = await create_add_on(connection, world.caller, "monthly", "CREDIT_GRANT", None)
        details = PlanDetails(["USD"], cycle=CycleDefinition("MONTHLY", 3), credits=[credits_of(add_on, 7)])
        plan = await create_plan(connection, world.caller, NewPlan("monthly", "BILLING", None, details))
        await activate_plan(connection, world.caller, plan.id, ["USD"])
    await world.associate("acme", plan, date(2024, 1, 20))
    await asyncio.gather(*(open_cycles(world.db, world.caller, world.caller.now) for _ in range(12)))
    assert await given(world) == [7] * 5, "January to May"
    await sound(world)


async def test_approving_and_expiring_race_for_one_outcome(world: Shop) -> None:
    proposals = [
        await ordering.propose(world.db, world.caller, pack(world, expires_at=EXPIRY, payment_mode="POSTPAID"))
        for _ in range(6)
    ]
    before = world.at(EXPIRY - timedelta(seconds=1))
    work: list[Any] = []
    for proposal in proposals:
        work += [ordering.answer_proposal(world.db, before, proposal, "APPROVE") for _ in range(3)]
        work += [ordering.answer_proposal(world.db, before, proposal, "DECLINE")]
        work += [expire_due(world.db, world.at(EXPIRY))]
    refusals = [one for one in await at_once(*work) if isinstance(one, BaseException)]
    assert all(isinstance(one, WrongState) for one in refusals), refusals
    rows = await world.rows("select proposal, status from purchase where workspace = $1", world.caller.workspace)
    outcomes = Counter((row["proposal"], row["status"]) for row in rows)
    assert sum(outcomes.values()) == 6
    assert {*outcomes} <= {("APPROVED", "SUCCESS"), ("DECLINED", None), ("EXPIRED", None)}
    assert await units(world) == 10 * outcomes["APPROVED", "SUCCESS"]
    await sound(world)


async def test_paying_and_expiring_race_for_one_outcome(world: Shop) -> None:
    for _ in range(6):
        await ordering.buy(world.db, world.caller, pack(world, expires_at=EXPIRY))
    orders = await world.rows("select wire_id from invoice where workspace = $1", world.caller.workspace)

    async def pay(invoice: str) -> None:
        async def work(connection: Any) -> None:
            await change_status(connection, world.caller, invoice, "PAID")

        await world.db.run(world.caller.workspace, work)

    work: list[Any] = []
    for row in orders:
        work += [pay(row["wire_id"]), expire_due(world.db, world.at(EXPIRY)), pay(row["wire_id"])]
    refusals = [one for one in await at_once(*work) if isinstance(one, BaseException)]
    assert all(isinstance(one, WrongState) for one in refusals), refusals
    ended = await statuses(world)
    assert {*ended} <= {"SUCCESS", "FAILURE"}
    assert sum(ended.values()) == 6
    assert await units(world) == 10 * ended["SUCCESS"]
    await sound(world)
