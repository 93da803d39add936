"""Batches of a bill run: many invoices that share prices, and runs that fail half way."""

import asyncio
from datetime import date
from decimal import ROUND_DOWN, Decimal

import pytest

from bursar.invoicing.billing import bill
from bursar.invoicing.document import Document
from bursar.invoicing.opening import open_cycles
from bursar.invoicing.service import Filters, list_invoices
from bursar.invoicing.store import queries
from bursar.invoicing.verify import CHECKS
from bursar.ledger import verify as ledger
from tests.conftest import broken
from tests.invoicing.conftest import MakeWorld
from tests.invoicing.world import World, at, card

# Used in January, then what the slabs say (10 at 1, the rest at 0.5), which bound of 5 to 20 applies, and the amount.
CASES = {
    "nothing": (0, "0", None, "0"),
    "little": (3, "3", "minimum", "5"),
    "some": (8, "8", None, "8"),
    "same": (8, "8", None, "8"),
    "more": (12, "11", None, "11"),
    "all": (10, "10", None, "10"),
    "much": (100, "55", "maximum", "20"),
}


async def issued(world: World) -> dict[tuple[str, str, date], Document]:
    found = await list_invoices(world.db, world.caller, Filters(), None, 50)
    return {
        (i.document.account.id, i.document.invoice_type, i.document.start_date.date()): i.document
        for i in found.items
        if i.header.status != "DRAFT"
    }


async def test_invoices_of_a_batch_share_prices_and_nothing_else(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 2, 10))
    meter = await world.meter("units")
    bounded = card(meter, [(0, "PER_UNIT", 1), (10, "PER_UNIT", "0.5")])
    bounded.rates[0].minimum_rate, bounded.rates[0].maximum_rate = Decimal(5), Decimal(20)
    fees = [await world.fee("later", 31), await world.fee("sooner", 7, in_advance=True)]
    plan = await world.plan("plan", [bounded], fees=fees, commitment=40)
    for name, (used, *_) in CASES.items():
        account = await world.account(name)
        await world.associate(name, plan, date(2024, 1, 11) if name == "some" else date(2024, 1, 1))
        if used:
            await world.use(account, meter, at(2024, 1, 20), used)
    assert (await bill(world.db, world.caller)).issued == 3 * len(CASES)
    documents = await issued(world)
    for name, (used, slabs, bound, amount) in CASES.items():
        start = date(2024, 1, 11 if name == "some" else 1)
        days = 32 - start.day
        usage, fee, *missing = documents[name, "STANDARD", start].lines
        assert usage.bounds is not None
        assert (usage.number, usage.quantity, usage.bounds.slabs, usage.bounds.bound, usage.amount) == (
            1, Decimal(used), Decimal(slabs), bound, Decimal(amount),
        )  # fmt: skip
        assert sum(slab.quantity for slab in usage.slabs) == used
        assert (fee.number, fee.amount) == (2, Decimal(days)), "31 for a month of 31 days"
        floor = (Decimal(40 * days) / 31).quantize(Decimal("0.000000000001"))
        due = max(floor - Decimal(amount) - days, Decimal(0))
        assert [line.unrounded for line in missing] == ([due] if due else [])
        january = documents[name, "STANDARD_ADVANCED", start]
        assert [line.amount for line in january.lines] == [
            (Decimal(7 * days) / 31).quantize(Decimal("0.01"), ROUND_DOWN)
        ]
        assert [line.amount for line in documents[name, "STANDARD_ADVANCED", date(2024, 2, 1)].lines] == [7]
    assert await broken(world.db, world.caller, [*CHECKS, *ledger.CHECKS]) == []


async def test_a_run_that_fails_leaves_nothing_going_on(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 2, 10))
    plan = await world.plan("plan", [], commitment=1)
    for number in range(12):
        await world.account(f"a{number}")
        await world.associate(f"a{number}", plan, date(2024, 1, 1))

    said: list[int] = []

    def full(done: int, _due: int) -> None:
        said.append(done)
        if len(said) == 1:
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        await bill(world.db, world.caller, progress=full, batch=1)
    done = len(await issued(world))
    await asyncio.sleep(0.5)
    assert 1 <= len(await issued(world)) == done <= 3
    assert (await bill(world.db, world.caller)).issued == 12 - done
    numbers = {document.sequence_id for document in (await issued(world)).values()}
    assert numbers == {f"INV-{number:06d}" for number in range(1, 13)}


async def test_a_batch_is_found_without_a_look_at_all_that_is_due(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 2, 10))
    others = (
        "select indexrelid::regclass as name from pg_index where indrelid = 'invoice'::regclass"
        " and indexrelid <> 'invoice_due'::regclass and indexrelid not in (select conindid from pg_constraint)"
    )
    async with world.db.transaction(None) as connection:
        await connection.execute("savepoint whole; set local enable_seqscan = off")
        for row in await connection.fetch(others):
            await connection.execute(f"drop index {row['name']}")
        explained = await connection.fetch(
            f"explain {queries.lock_due}", world.caller.workspace, world.caller.now, [], 10
        )
        await connection.execute("rollback to whole")
    steps = "\n".join(row[0] for row in explained)
    assert "invoice_due on invoice i" in steps
    # Where the index of all drafts that are due could serve to find others of an account, PostgreSQL takes it while it
    # thinks them few. Once for each invoice of a batch, that is as much as the square of their number.
    assert " on invoice e" in steps
    assert "invoice_due on invoice e" not in steps


async def test_a_run_ends_behind_those_that_have_invoices_in_hand(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 2, 10))
    plan = await world.plan("plan", [], commitment=1)
    for number in range(12):
        await world.account(f"a{number}")
        await world.associate(f"a{number}", plan, date(2024, 1, 1))
    holds = "select count(*) from pg_locks where relation = 'bursar.invoice_document'::regclass and not granted"
    async with world.db.transaction(None) as holder:
        await holder.execute("lock table bursar.invoice_document in share mode")
        first = asyncio.create_task(bill(world.db, world.caller))
        while not await holder.fetchval(holds):
            await asyncio.sleep(0.01)
        # It has all of them in hand, and nothing is left for the other.
        second = asyncio.create_task(bill(world.db, world.caller))
        await asyncio.wait([second], timeout=0.5)
        assert not second.done()
    assert (await second).issued == 0
    assert len(await issued(world)) == 12
    assert (await first).issued == 12


async def test_a_run_issues_what_another_lets_go(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 2, 10))
    plan = await world.plan("plan", [], commitment=1)
    await world.account("a")
    await world.associate("a", plan, date(2024, 1, 1))
    await open_cycles(world.db, world.caller, world.caller.now)
    async with world.db.transaction(world.caller.workspace) as other:
        await other.execute(queries.join_runs, world.caller.workspace)
        await other.execute("select from invoice where status = 'DRAFT' for update")
        run = asyncio.create_task(bill(world.db, world.caller))
        await asyncio.wait([run], timeout=0.5)
        assert not run.done()
    assert (await run).issued == 1
