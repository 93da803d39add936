"""Bill runs in processes of their own, while credits are granted and voided and money comes and goes beside them."""

import asyncio
import random
from datetime import date
from decimal import Decimal

import pytest

from bursar.core.errors import BursarError
from bursar.invoicing import settlement
from bursar.invoicing.holds import expire_credits
from bursar.invoicing.settlement import Paying, Source, settle_due
from tests.invoicing.conftest import MakeWorld
from tests.invoicing.test_crediting import grant, void
from tests.invoicing.test_races import biller, output, start
from tests.invoicing.test_settlement import put
from tests.invoicing.test_settling import problems
from tests.invoicing.world import World, at, card

pytestmark = pytest.mark.again

ACCOUNTS = 24
NOW = at(2024, 3, 10)


async def _made(make_world: MakeWorld) -> World:
    """Accounts with two months of usage and fees in advance to bill, a credit for both, and something in the wallet."""
    world = await make_world(at(2024, 1, 1))
    calls, fee = await world.meter("calls"), await world.fee("support", 3, in_advance=True)
    plan = await world.plan("plan", [card(calls, [(0, "PER_UNIT", 1)])], fees=[fee])
    for n in range(ACCOUNTS):
        account = await world.account(f"a{n}")
        await world.associate(f"a{n}", plan, date(2024, 1, 1), date(2024, 3, 1))
        for month in (1, 2):
            await world.use(account, calls, at(2024, month, 5), n)
        if n % 3:
            await grant(world, 1 + n, f"a{n}", effective_until=date(2024, 2, 20) if n % 2 else None)
        if n % 4:
            await put(world, 5, f"a{n}")
    return world


async def _meddle(world: World, seed: int) -> int:
    """Do what others do meanwhile; returns how much of it was done."""
    draw, done = random.Random(seed), 0
    for _ in range(40):
        name = f"a{draw.randrange(ACCOUNTS)}"
        try:
            match draw.randrange(5):
                case 0:
                    await grant(world, draw.randint(1, 9), name, now=NOW)
                case 1:
                    rows = await world.rows(
                        "select c.wire_id from credit c join account a on a.key = c.account where a.togai_id = $1"
                        " and a.workspace = $2 order by random() limit 1",
                        name, world.caller.workspace,
                    )  # fmt: skip
                    await asyncio.gather(*(void(world, row["wire_id"], NOW) for row in rows))
                case 2:
                    await put(world, draw.randint(1, 9), name)
                case 3:
                    rows = await world.rows(
                        "select i.key from invoice i join account a on a.key = i.account where a.togai_id = $1"
                        " and a.workspace = $2 and i.status in ('DUE', 'PARTIALLY_PAID')",
                        name, world.caller.workspace,
                    )  # fmt: skip
                    async with world.db.transaction(world.caller.workspace) as connection:
                        payings = [Paying(row["key"], Decimal(1), Source.PAYMENT) for row in rows]
                        await settlement.pay(connection, world.at(NOW), payings)
                case _:
                    await settle_due(world.db, world.at(NOW))
        except BursarError:  # and no deadlock: whoever holds several takes them in one order
            continue
        done += 1
    return done


async def test_bill_runs_beside_everything_that_moves_credits_and_wallets(
    make_world: MakeWorld, books_dsn: str
) -> None:
    world = await _made(make_world)
    runs = await asyncio.gather(*(biller(books_dsn, world, NOW, 7) for _ in range(3)))
    for run in runs:
        start(run)
    done = await asyncio.gather(*(_meddle(world, seed) for seed in range(4)))
    assert sum([await output(run) for run in runs]) == 4 * ACCOUNTS
    assert sum(done) > 60
    await expire_credits(world.db, world.at(NOW))
    assert await problems(world) == []
    (row,) = await world.rows(
        "select count(*) filter (where consumed > 0) as used, count(*) filter (where lapsed > 0) as lost,"
        " min(granted - consumed - lapsed) as least from credit where workspace = $1",
        world.caller.workspace,
    )
    assert row["used"] > 5
    assert row["lost"] > 1
    assert row["least"] == 0
