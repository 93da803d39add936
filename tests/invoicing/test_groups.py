"""Groups of accounts, and the composites of what falls due in them on one day."""

import asyncio
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from bursar.accounts.model import Address
from bursar.accounts.service import archive_account
from bursar.core.errors import Invalid, NotFound, WrongState
from bursar.invoicing import groups
from bursar.invoicing.billing import bill
from bursar.invoicing.document import frozen
from bursar.invoicing.group_store import Group, get_group, group_of_account, list_groups, members_of
from bursar.invoicing.groups import NewGroup
from bursar.invoicing.service import Filters, Invoice, get_invoice, list_invoices
from bursar.invoicing.settling import change_status
from bursar.ledger.account_wallets import top_up
from tests.invoicing.conftest import MakeWorld
from tests.invoicing.test_billing import problems
from tests.invoicing.test_custom import create
from tests.invoicing.test_races import biller, output, start
from tests.invoicing.world import World, at, card, dec

ADDRESS = Address(line1="2281 Broadway Street", city="Florence")


async def group_of(world: World, *accounts: str, consolidates: bool = True, net_term_days: int | None = 45) -> Group:
    new = NewGroup("Acme all", "all@acme.example", ADDRESS, consolidates, accounts, net_term_days)
    async with world.db.transaction(world.caller.workspace) as connection:
        return await groups.create_group(connection, world.caller, new)


async def alter(world: World, group: Group, verb: Any, *accounts: str) -> None:
    async with world.db.transaction(world.caller.workspace) as connection:
        await verb(connection, world.caller, group.id, accounts)


async def members(world: World, group: Group) -> list[str]:
    async with world.db.transaction(world.caller.workspace) as connection:
        await get_group(connection, world.caller.workspace, group.id)
        return list(await members_of(connection, world.caller.workspace, group.key))


async def move(world: World, invoice: Invoice, wanted: Any) -> Invoice:
    async with world.db.transaction(world.caller.workspace) as connection:
        await change_status(connection, world.caller, invoice.header.id, wanted)
    return await get_invoice(world.db, world.caller, invoice.header.id)


async def all_invoices(world: World, **filters: Any) -> list[Invoice]:
    return (await list_invoices(world.db, world.caller, Filters(**filters), None, 50)).items[::-1]


async def receivables(world: World) -> dict[str, Decimal]:
    rows = await world.rows(
        "select a.togai_id, sum(p.amount) as amount from posting p join ledger_account l on l.key = p.ledger_account"
        " join account a on a.key = l.account where p.workspace = $1 and l.kind = 'receivable'"
        " group by 1 having sum(p.amount) <> 0",
        world.caller.workspace,
    )
    return {row["togai_id"]: row["amount"] for row in rows}


async def shop(make_world: MakeWorld, names: Sequence[str] = ("a", "b", "c"), timezone: str = "UTC") -> World:
    """Accounts on a plan since January 2024; account n of them used 10 n units, at a tenth each, in January."""
    world = await make_world(at(2024, 2, 3), timezone)
    meter = await world.meter("units")
    plan = await world.plan("plan", [card(meter, [(0, "PER_UNIT", "0.1")])])
    for n, name in enumerate(names, 1):
        account = await world.account(name, net_term_days=7)
        await world.associate(name, plan, date(2024, 1, 1), date(2024, 2, 1))
        await world.use(account, meter, at(2024, 1, 20), 10 * n)
    return world


async def go_to(world: World, now: datetime) -> int:
    world.caller = world.at(now)
    return (await bill(world.db, world.caller)).issued


async def test_what_falls_due_on_one_day_becomes_one_invoice(make_world: MakeWorld) -> None:
    world = await shop(make_world)
    group = await group_of(world, "b", "a")
    assert await go_to(world, at(2024, 2, 4)) == 3
    late = await create(world, account_id="a", status="DUE", ends_at=at(2024, 6, 30))
    assert {i.header.status for i in await all_invoices(world)} == {"DUE"}, "the day has not ended"
    await go_to(world, at(2024, 2, 5))
    by_account = {i.document.account.id: i for i in await all_invoices(world, status="MERGED")}
    assert set(by_account) == {"a", "b"}
    assert (await get_invoice(world.db, world.caller, late.header.id)).header.status == "MERGED"
    assert [i.document.account.id for i in await all_invoices(world, status="DUE")] == ["c", group.id]
    composite = (await all_invoices(world, account_id=group.id))[0]
    document = composite.document
    assert (composite.header.type, composite.header.status, document.sequence_id) == ("COMPOSITE", "DUE", "INV-000005")
    assert sorted((line.amount, line.description) for line in document.lines) == [
        (dec(1), "Invoice INV-000001 of account a"),
        (dec(2), "Invoice INV-000002 of account b"),
        (dec("32.10"), "Invoice INV-000004 of account a"),
    ]
    assert document.total == dec("35.10")
    assert (document.invoice_date, document.due_date) == (at(2024, 2, 4), at(2024, 3, 20))
    assert (document.start_date, document.end_date) == (at(2024, 1, 1), at(2024, 6, 30))
    assert (document.customer.name, document.account.name, document.account.address) == (
        "Acme all",
        "Acme all",
        ADDRESS,
    )
    assert await receivables(world) == {"b": dec("35.10"), "c": dec(3)}, "what is owed is owed by who joined first"
    await go_to(world, at(2024, 2, 6))
    assert len(await all_invoices(world)) == 5, "once"
    for wanted in ("DUE", "PAID", "VOID", "UN_COLLECTIBLE"):
        with pytest.raises(WrongState):
            await move(world, late, wanted)
    assert (await move(world, composite, "PAID")).header.status == "PAID"
    assert await receivables(world) == {"c": dec(3)}
    assert await problems(world) == []


@pytest.mark.parametrize("steps", [["VOID"], ["UN_COLLECTIBLE", "VOID"], ["PAID", "REFUND_INITIATED"]])
async def test_a_composite_that_is_taken_back_leaves_its_parts(make_world: MakeWorld, steps: list[str]) -> None:
    world = await shop(make_world)
    group = await group_of(world, "a", "b")
    await go_to(world, at(2024, 2, 5))
    composite = (await all_invoices(world, account_id=group.id))[0]
    for step in steps:
        composite = await move(world, composite, step)
    assert (composite.header.status, composite.header.credit_note) == (steps[-1], 1)
    assert await receivables(world) == {"a": dec(1), "b": dec(2), "c": dec(3)}
    await go_to(world, at(2024, 2, 20))
    open_ones = await all_invoices(world, status="DUE")
    assert sorted(i.document.account.id for i in open_ones) == ["a", "b", "c"], "they are not merged again"
    for one in open_ones:
        await move(world, one, "VOID" if one.document.account.id == "a" else "PAID")
    assert await receivables(world) == {}
    assert await problems(world) == []


async def test_what_is_not_merged(make_world: MakeWorld) -> None:
    world = await shop(make_world, ("a", "b", "c", "d"))
    before = await create(world, account_id="a", status="DUE")
    world.caller = world.at(at(2024, 2, 3, 1))
    together = await group_of(world, "a", "b")
    apart = await group_of(world, "c", "d", consolidates=False)
    assert (await create(world, account_id="a", status="PAID")).header.status == "PAID"
    async with world.db.transaction(world.caller.workspace) as connection:
        await top_up(connection, world.caller, "b", dec("0.5"))
    await go_to(world, at(2024, 2, 5))
    states = sorted((i.document.account.id, i.header.type, i.header.status) for i in await all_invoices(world))
    assert states == sorted([
        ("a", "CUSTOM", "DUE"), ("a", "CUSTOM", "PAID"), ("a", "STANDARD", "MERGED"), (together.id, "COMPOSITE", "DUE"),
        ("b", "STANDARD", "PARTIALLY_PAID"), ("c", "STANDARD", "DUE"), ("d", "STANDARD", "DUE"),
    ])  # fmt: skip
    assert (await get_invoice(world.db, world.caller, before.header.id)).header.status == "DUE", "from before it joined"
    assert await all_invoices(world, account_id=apart.id) == []
    assert await problems(world) == []


async def test_days_are_the_workspace_s_and_late_ones_go_along_with_the_next(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 2, 3, 20), "America/New_York")  # 15 o'clock there
    for name in ("a", "b"):
        await world.account(name)
    group = await group_of(world, "a", "b")
    await create(world, account_id="a", status="DUE", starts_at=at(2024, 1, 1), ends_at=at(2024, 2, 1))
    draft = await create(world, account_id="b", starts_at=at(2024, 1, 1), ends_at=at(2024, 2, 4, 4), auto_advance=True)
    await go_to(world, at(2024, 2, 4, 4, 59))
    assert await all_invoices(world, account_id=group.id) == []
    await go_to(world, at(2024, 2, 4, 5))
    first = (await all_invoices(world, account_id=group.id))[0]
    assert [line.invoice.account_id for line in first.document.lines if line.invoice] == ["a", "b"]
    assert (first.document.invoice_date, first.document.timezone) == (at(2024, 2, 4, 4), "America/New_York")
    assert (await get_invoice(world.db, world.caller, draft.header.id)).header.status == "MERGED"
    world.caller = world.at(at(2024, 2, 4, 4, 30))  # as a request that was long under way
    late = await create(world, account_id="a", status="DUE", starts_at=at(2024, 1, 1), ends_at=at(2024, 2, 1))
    await go_to(world, at(2024, 2, 4, 12))
    assert (await get_invoice(world.db, world.caller, late.header.id)).header.status == "DUE", "its day is merged"
    await go_to(world, at(2024, 2, 5, 5))
    assert (await get_invoice(world.db, world.caller, late.header.id)).header.status == "MERGED"
    assert len(await all_invoices(world, account_id=group.id)) == 2
    assert await problems(world) == []


async def test_a_custom_invoice_to_a_group(make_world: MakeWorld) -> None:
    world = await shop(make_world)
    group = await group_of(world, "b", "a", net_term_days=None)
    made = await create(world, account_id=group.id, to_group=True, status="DUE")
    assert (made.document.account.id, made.document.customer.name) == (group.id, "Acme all")
    assert made.document.net_term_days == 0, "as the workspace has it"
    assert await receivables(world) == {"b": dec("32.10")}
    with pytest.raises(NotFound):
        await create(world, account_id="b", to_group=True)
    with pytest.raises(NotFound):
        await create(world, account_id=group.id)
    await go_to(world, at(2024, 2, 4))
    assert (await get_invoice(world.db, world.caller, made.header.id)).header.status == "MERGED"
    assert await problems(world) == []


async def test_joining_and_leaving(make_world: MakeWorld) -> None:
    world = await shop(make_world, ("a", "b", "c", "d"))
    await world.account("euro", currency="EUR")
    group, other = await group_of(world, "b", "a"), await group_of(world, "d")
    refused: list[tuple[Any, tuple[str, ...], str]] = [
        (groups.add_accounts, ("c", "nobody"), "accountIds[1]: account 'nobody' was not found"),
        (groups.add_accounts, ("c", "c"), "accountIds[1]"),
        (groups.add_accounts, ("d",), "accountIds[0]: account 'd' is in another"),
        (groups.add_accounts, ("euro",), "accountIds[0]: account 'euro' is invoiced in EUR"),
        (groups.remove_accounts, ("a", "c"), "accountIds[1]: account 'c' is not in"),
    ]
    for verb, accounts, words in refused:
        with pytest.raises(Invalid) as caught:
            await alter(world, group, verb, *accounts)
        assert words in caught.value.message
    await alter(world, group, groups.add_accounts, "c", "a")
    assert await members(world, group) == ["b", "a", "c"]
    await alter(world, group, groups.remove_accounts, "b")
    assert await members(world, group) == ["a", "c"]
    async with world.db.transaction(world.caller.workspace) as connection:
        await archive_account(connection, world.caller, "b")
        assert [one.id for one in (await list_groups(connection, world.caller.workspace, None, 9)).items] == [
            group.id,
            other.id,
        ]
    with pytest.raises(Invalid, match="archived"):
        await alter(world, group, groups.add_accounts, "b")
    await alter(world, group, groups.remove_accounts, "c", "a")
    for verb in (groups.add_accounts, groups.remove_accounts):
        with pytest.raises(NotFound):
            await alter(world, group, verb, "a")
    async with world.db.transaction(world.caller.workspace) as connection:
        keys = {row["togai_id"]: row["key"] for row in await connection.fetch("select key, togai_id from account")}
        assert await group_of_account(connection, world.caller.workspace, keys["a"]) is None
        found = await group_of_account(connection, world.caller.workspace, keys["d"])
        assert found is not None
        assert (found.id, found.accounts_count, found.currency) == (other.id, 1, "USD")


async def test_an_account_joins_one_of_two_groups_that_race_for_it(make_world: MakeWorld) -> None:
    world = await shop(make_world, ())
    for name in ("a", "b", "c"):
        await world.account(name)
    outcomes = await asyncio.gather(
        *(group_of(world, *names) for names in (("a", "b"), ("b", "a"), ("c", "b"), ("b",))), return_exceptions=True
    )
    assert sum(isinstance(one, Group) for one in outcomes) == 1
    assert all(isinstance(one, Group | Invalid) for one in outcomes), outcomes


async def test_erasing_a_customer_forgets_to_whom_its_composites_went(make_world: MakeWorld) -> None:
    world = await shop(make_world)
    group = await group_of(world, "a", "b")
    await go_to(world, at(2024, 2, 5))
    await alter(world, group, groups.remove_accounts, "a")
    async with world.db.transaction(world.caller.workspace) as connection:
        await groups.erase_groups(connection, world.caller, "of-a")
    composite = (await all_invoices(world, account_id=group.id))[0]
    assert (composite.document.account.name, composite.document.customer.primary_email) == ("[erased]", "")
    assert composite.document.total == 3
    assert await problems(world) == []


RACES = 24


async def test_runs_at_once_and_runs_that_are_killed_merge_each_day_once(make_world: MakeWorld, books_dsn: str) -> None:
    world = await shop(make_world, [f"a{n}" for n in range(RACES)])
    made = [await group_of(world, f"a{n}", f"a{n + 1}") for n in range(0, RACES, 2)]
    await go_to(world, at(2024, 2, 4))

    async def composites() -> int:
        rows = await world.rows("select count(*) from invoice where workspace = $1 and type = 'COMPOSITE'",
                                world.caller.workspace)  # fmt: skip
        return int(rows[0][0])

    for least in (1, 3):
        run = await biller(books_dsn, world, at(2024, 2, 5), 7)
        start(run)
        while await composites() < least and run.returncode is None:
            await asyncio.sleep(0.002)
        run.kill()
        await run.wait()
    runs = await asyncio.gather(*(biller(books_dsn, world, at(2024, 2, 5), 7) for _ in range(3)))
    for run in runs:
        start(run)
    await asyncio.gather(*(output(run) for run in runs))
    world.caller = world.at(at(2024, 2, 5))
    found = await all_invoices(world, status="DUE")
    assert sorted(i.document.account.id for i in found) == sorted(group.id for group in made)
    # Accounts n and n + 1 used 10 (n + 1) and 10 (n + 2) units at a tenth each.
    totals = {i.document.account.id: i.document.total for i in found}
    assert totals == {group.id: 4 * n + 3 for n, group in enumerate(made)}
    contents = await world.rows(
        "select content from invoice_document where workspace = $1 order by number", world.caller.workspace
    )
    numbers = [frozen(row["content"]).sequence_id for row in contents]
    assert numbers == [f"INV-{n:06d}" for n in range(1, RACES + len(made) + 1)]
    assert await problems(world) == []
