"""Statements of a carrier's accounts: made by hand, filled, and made by themselves, over real charges."""

import asyncio
import itertools
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from bursar.accounts.model import Setting
from bursar.accounts.settings import create_setting
from bursar.accounts.terms import update_agreed
from bursar.core import crash
from bursar.core.errors import NotFound, Rejected, WrongState
from bursar.core.invoice_periods import InvoicePeriod
from bursar.core.period import show_instant
from bursar.db.listing import Condition, Listing
from bursar.invoicing import stating
from bursar.invoicing.statements import approve_statement, create_statement, delete_statement, list_statements
from bursar.invoicing.stating import list_failures, run_statements, workspaces_to_fill
from bursar.invoicing.verify_statements import CHECKS
from bursar.purchases.charges import MakeTransaction, make_transaction
from bursar.runtime.jobs import fill_statements
from tests.conftest import broken
from tests.invoicing.conftest import MakeWorld
from tests.invoicing.world import World, at, dec

_numbers = itertools.count(1_000_000)
TICK = timedelta(microseconds=1)


async def charge(world: World, account: int, moment: datetime, amount: Any, service: int | None = None) -> None:
    async with world.db.transaction(None) as connection:
        await connection.execute(
            "insert into charge (workspace, yeti_id, account, service, amount, created_at)"
            " values ($1, $2, $3, $4, $5, $6)",
            world.caller.workspace, next(_numbers), account, service, dec(amount), moment,
        )  # fmt: skip


async def service(world: World, account: int, name: str) -> int:
    async with world.db.transaction(None) as connection:
        kind = await connection.fetchval(
            "insert into service_type (workspace, yeti_id, name, force_renew, provisioning_class)"
            " values ($1, $2, $3, false, 'Billing::Provisioning::Logging') returning key",
            world.caller.workspace, next(_numbers), f"type of {name}",
        )  # fmt: skip
        return int(
            await connection.fetchval(
                "insert into service (workspace, yeti_id, account, service_type, name, state, initial_price,"
                " renew_price, created_at) values ($1, $2, $3, $4, $5, 'Active', 0, 0, $6) returning key",
                world.caller.workspace, next(_numbers), account, kind, name, world.caller.now,
            )
        )  # fmt: skip


async def number_of(world: World, account: int) -> int:
    return int((await world.rows("select yeti_id from account where key = $1", account))[0][0])


async def state(world: World, account: int, start: str | None, end: str | None) -> int:
    values = {"account": await number_of(world, account), "start_date": start, "end_date": end}
    async with world.db.transaction(world.caller.workspace) as connection:
        return await create_statement(connection, world.caller, values)


async def periodic(world: World, account: int, kind: InvoicePeriod, now: datetime, zone: str = "UTC") -> None:
    values = {"invoice_period_id": kind, "timezone": zone}
    async with world.db.transaction(world.caller.workspace) as connection:
        await update_agreed(connection, world.at(now), await number_of(world, account), values)


async def statements(world: World, *conditions: Condition) -> list[Any]:
    async with world.db.transaction(world.caller.workspace) as connection:
        return (await list_statements(connection, world.caller.workspace, Listing(conditions))).rows


async def breakdown(world: World, number: int) -> set[tuple[Any, ...]]:
    rows = await world.rows(
        "select d.service, d.spent, d.amount, d.transactions_count from statement_service d"
        " join statement s on s.key = d.statement where s.workspace = $1 and s.yeti_id = $2",
        world.caller.workspace, number,
    )  # fmt: skip
    return {tuple(row) for row in rows}


async def holds(world: World) -> None:
    assert await broken(world.db, world.caller, CHECKS) == []


def windows(rows: Iterable[Any]) -> list[tuple[str, str, str]]:
    return [(show_instant(r["starts_at"])[:10], show_instant(r["ends_at"])[:10], r["type"]) for r in rows]


async def test_a_statement_sums_up_what_was_charged_in_its_window(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 3, 1))
    account, other = await world.account("acme"), await world.account("other")
    lines = [await service(world, account, "line"), await service(world, account, "fax"), None]
    start, end = at(2024, 1, 10), at(2024, 2, 10)
    dice = random.Random(7)
    expected: defaultdict[tuple[int | None, bool], list[Decimal]] = defaultdict(list)
    moments = [start - TICK, start, end - TICK, end, *(start + timedelta(days=n) for n in range(-5, 36))]
    for moment in moments:
        for line in lines:
            amount = Decimal(dice.randint(1, 10**9)) / 10**6 * dice.choice((1, 1, -1))
            await charge(world, account, moment, amount, line)
            if start <= moment < end:
                expected[line, amount > 0].append(abs(amount))
    await charge(world, other, start, 1000)
    number = await state(world, account, "2024-01-10", "2024-02-10")
    (new,) = await statements(world)
    assert (new["id"], new["state"], new["type"], new["reference"]) == (number, "New", "Manual", str(number))
    assert (new["amount_spent"], new["service_transactions_count"], new["account_id"]) == (
        0, 0, await number_of(world, account),
    )  # fmt: skip
    assert world.caller.workspace in await workspaces_to_fill(world.db)
    assert (await run_statements(world.db, world.caller)).filled == 1
    assert (await run_statements(world.db, world.caller)).filled == 0
    assert world.caller.workspace not in await workspaces_to_fill(world.db)
    assert await breakdown(world, number) == {
        (line, spent, sum(amounts), len(amounts)) for (line, spent), amounts in expected.items()
    }
    (filled,) = await statements(world, Condition("state", "eq", ("Pending",)))
    spent = sum(sum(amounts) for (_, out), amounts in expected.items() if out)
    earned = sum(sum(amounts) for (_, out), amounts in expected.items() if not out)
    assert (filled["services_amount_spent"], filled["services_amount_earned"]) == (spent, earned)
    assert (filled["amount_spent"], filled["amount_earned"]) == (spent, earned)
    assert filled["amount_total"] == spent - earned
    assert filled["service_transactions_count"] == sum(len(amounts) for amounts in expected.values())
    assert filled["originated_calls_count"] == filled["terminated_calls_count"] == 0
    await holds(world)


# Beside a statement of [10, 20) January: other windows, and whether they are refused.
NEIGHBOURS = [
    ("2024-01-01", "2024-01-10", False),
    ("2024-01-20", "2024-01-31", False),
    ("2024-01-01", "2024-01-10T00:00:01", True),
    ("2024-01-19T23:59:59", "2024-01-31", True),
    ("2024-01-10", "2024-01-20", True),
    ("2024-01-12", "2024-01-13", True),
    ("2024-01-01", "2024-01-31", True),
]


@pytest.mark.parametrize(("start", "end", "refused"), NEIGHBOURS)
async def test_statements_may_touch_and_not_overlap(make_world: MakeWorld, start: str, end: str, refused: bool) -> None:
    world = await make_world(at(2024, 3, 1))
    account, other = await world.account("acme"), await world.account("other")
    await state(world, account, "2024-01-10", "2024-01-20")
    await state(world, other, start, end)
    if refused:
        with pytest.raises(Rejected, match="have invoice inside provided period"):
            await state(world, account, start, end)
    else:
        await state(world, account, start, end)
    insert = (
        "insert into statement (workspace, yeti_id, account, currency, reference, state, type, starts_at, ends_at,"
        " created_at) values ($1, $2, $3, 'USD', '', 'New', 'Manual', $4, $5, $5)"
    )
    with pytest.raises(asyncpg.ExclusionViolationError):  # the last wall, whatever the code above it does
        await world.rows(insert, world.caller.workspace, next(_numbers), account, at(2024, 1, 19), at(2024, 1, 31))


async def test_twenty_at_once_make_one(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 3, 1))
    account = await world.account("acme")
    made = await asyncio.gather(
        *(state(world, account, "2024-01-10", "2024-01-20") for _ in range(20)), return_exceptions=True
    )
    assert sorted(type(entry).__name__ for entry in made) == ["Rejected"] * 19 + ["int"]


async def test_who_may_have_a_statement(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 3, 1))
    account = await world.account("acme")
    await periodic(world, account, InvoicePeriod.DAILY, at(2024, 3, 1))
    with pytest.raises(Rejected, match="auto generation enabled"):
        await state(world, account, "2024-01-01", "2024-01-02")
    await world.rows("update account_terms set hidden_at = $2 where account = $1", account, at(2024, 2, 1))
    with pytest.raises(Rejected, match="account: can't be blank"):
        await state(world, account, "2024-01-01", "2024-01-02")
    stranger = await make_world(at(2024, 3, 1))
    for _ in range(2):  # numbers of accounts begin anew in every workspace
        await world.account(f"more-{next(_numbers)}")
    values = {"account": await number_of(world, account) + 2, "start_date": "2024-01-01", "end_date": "2024-01-02"}
    async with stranger.db.transaction(stranger.caller.workspace) as connection:
        with pytest.raises(Rejected, match="account: can't be blank"):
            await create_statement(connection, stranger.caller, values)


async def test_approving_and_deleting(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 3, 1))
    account = await world.account("acme")
    await charge(world, account, at(2024, 1, 1), 5)
    first = await state(world, account, "2024-01-01", "2024-01-02")

    async def run(work: Any, number: int) -> None:
        async with world.db.transaction(world.caller.workspace) as connection:
            await work(connection, world.caller, number)

    with pytest.raises(WrongState, match="can't be approved"):
        await run(approve_statement, first)
    await run(delete_statement, first)
    second = await state(world, account, "2024-01-01", "2024-01-02")
    await run_statements(world.db, world.caller)
    await run(delete_statement, second)
    third = await state(world, account, "2024-01-01", "2024-01-02")
    await run_statements(world.db, world.caller)
    await run(approve_statement, third)
    for work in (approve_statement, delete_statement):
        with pytest.raises(WrongState, match="approved"):
            await run(work, third)
        for number in (first, second, 10**15):
            with pytest.raises(NotFound):
                await run(work, number)
    assert [(row["id"], row["state"], row["amount_total"]) for row in await statements(world)] == [
        (third, "Approved", 5)
    ]
    await holds(world)


async def test_periods_that_were_missed_are_caught_up_in_order(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 1, 1))
    account, zoned, split = [await world.account(name) for name in ("acme", "zoned", "split")]
    await periodic(world, account, InvoicePeriod.MONTHLY, at(2024, 1, 15))
    await periodic(world, zoned, InvoicePeriod.SEMIMONTHLY, at(2024, 1, 10), "America/New_York")
    await periodic(world, split, InvoicePeriod.WEEKLY_SPLIT, at(2024, 2, 28))
    for day in range(1, 90):
        await charge(world, account, at(2024, 1, 1, 12) + timedelta(days=day - 1), day)
    report = await run_statements(world.db, world.at(at(2024, 1, 16, 6)))
    assert report.made == 0, "it ended at 05:00 in UTC, and calls last two hours"
    assert (await run_statements(world.db, world.at(at(2024, 1, 16, 7)))).made == 1
    # A bill run of three months later: two more months, five half months, and the weeks and their parts.
    report = await run_statements(world.db, world.at(at(2024, 3, 5, 3)))
    rows = await statements(world)
    by_account = {key: [r for r in rows if r["account"] == key] for key in (account, zoned, split)}
    assert windows(by_account[account]) == [
        ("2024-01-01", "2024-02-01", "Auto Full"),
        ("2024-02-01", "2024-03-01", "Auto Full"),
    ]
    assert [r["services_amount_spent"] for r in by_account[account]] == [sum(range(1, 32)), sum(range(32, 61))]
    assert windows(by_account[zoned]) == [
        ("2024-01-01", "2024-01-16", "Auto Full"),
        ("2024-01-16", "2024-02-01", "Auto Full"),
        ("2024-02-01", "2024-02-16", "Auto Full"),
        ("2024-02-16", "2024-03-01", "Auto Full"),
    ]
    assert {r["ends_at"].hour for r in by_account[zoned]} == {5}
    assert windows(by_account[split]) == [
        ("2024-02-26", "2024-03-01", "Auto Partial"),
        ("2024-03-01", "2024-03-04", "Auto Partial"),
    ]
    assert report.made == len(rows) - 1
    assert {r["state"] for r in rows} == {"Pending"}
    assert [r["created_at"] for r in rows] == [at(2024, 1, 16, 7)] + [at(2024, 3, 5, 3)] * (len(rows) - 1)
    following = await world.rows(
        "select next_invoice_at, next_invoice_type from account_terms where account = any($1) order by account",
        [account, zoned, split],
    )
    assert [tuple(row) for row in following] == [
        (at(2024, 4, 1), 2), (at(2024, 3, 16, 4), 2), (at(2024, 3, 11), 2),
    ]  # fmt: skip
    await holds(world)


async def test_the_first_statement_begins_where_the_last_one_ended(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 2, 1))
    account = await world.account("acme")
    await state(world, account, "2024-01-01", "2024-01-20T13:00")
    await periodic(world, account, InvoicePeriod.MONTHLY, at(2024, 1, 25))
    await run_statements(world.db, world.at(at(2024, 2, 2)))
    assert [r["starts_at"] for r in await statements(world)] == [at(2024, 1, 1), at(2024, 1, 20, 13)]
    await holds(world)


async def test_what_stands_in_the_way_is_shown_until_it_is_gone(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 2, 10))
    account, fine = await world.account("acme"), await world.account("fine")
    blocking = await state(world, account, "2024-01-25", "2024-02-01")
    for key in (account, fine):
        await periodic(world, key, InvoicePeriod.MONTHLY, at(2024, 1, 26))

    async def shown() -> list[tuple[str, int, datetime, str]]:
        async with world.db.transaction(world.caller.workspace) as connection:
            page = await list_failures(connection, world.caller.workspace, None, 10)
        return [(f.account, f.number, f.ends_at, f.error) for f in page.items]

    for _ in range(2):
        report = await run_statements(world.db, world.caller)
        assert report.failed == {account}
        assert await shown() == [
            (
                "acme", await number_of(world, account), at(2024, 2, 1),
                "invoice exists with end_date greater than or equal to current end_date",
            )
        ]  # fmt: skip
    assert len(await statements(world, Condition("account_id", "eq", (await number_of(world, fine),)))) == 1
    await holds(world)
    async with world.db.transaction(world.caller.workspace) as connection:
        await delete_statement(connection, world.caller, blocking)
    report = await run_statements(world.db, world.caller)
    assert (report.made, report.failed) == (1, set())
    assert await shown() == []
    assert len(await world.rows("select from statement_failure where account = $1", account)) == 0


async def test_the_worker_fills_what_was_asked_for_in_every_workspace(make_world: MakeWorld) -> None:
    worlds = [await make_world(at(2024, 2, 10)) for _ in range(2)]
    for world in worlds:
        account = await world.account("acme")
        await charge(world, account, at(2024, 1, 2), 3)
        await state(world, account, "2024-01-01", "2024-02-01")
    await fill_statements(worlds[0].db, worlds[0].caller.wall)
    for world in worlds:
        assert [(row["state"], row["amount_total"]) for row in await statements(world)] == [("Pending", 3)]


async def test_settings_give_references_and_approve(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 2, 10))
    plain, named = await world.account("plain"), await world.account("named")
    async with world.db.transaction(world.caller.workspace) as connection:
        for name, value in (("reference", "INV-$id/$id"), ("autoApprove", "true")):
            new = Setting(name, value, "STATEMENT", name, "STRING")
            await create_setting(connection, world.caller, "ACCOUNT", "named", new)
    for key in (plain, named):
        await periodic(world, key, InvoicePeriod.MONTHLY, at(2024, 1, 26))
    await run_statements(world.db, world.caller)
    rows = {row["account"]: row for row in await statements(world)}
    assert (rows[plain]["reference"], rows[plain]["state"]) == (str(rows[plain]["id"]), "Pending")
    number = rows[named]["id"]
    assert (rows[named]["reference"], rows[named]["state"]) == (f"INV-{number}/{number}", "Approved")
    assert rows[named]["approved_at"] == world.caller.now


async def test_four_workers_at_once_make_each_statement_once(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stating, "BATCH", 3)
    world = await make_world(at(2024, 1, 20))
    accounts = [await world.account(f"a{n}") for n in range(15)]
    for account in accounts:
        await periodic(world, account, InvoicePeriod.DAILY, at(2024, 1, 18))
        await charge(world, account, at(2024, 1, 18, 5), 1)
        await state(world, await world.account(f"by-hand-{account}"), "2024-01-02", "2024-01-03")
    reports = await asyncio.gather(*(run_statements(world.db, world.caller) for _ in range(4)))
    assert sum(report.made for report in reports) == 30 - 15, "the day before yesterday: yesterday's calls may last"
    assert sum(report.filled for report in reports) == 15
    automatic = await statements(world, Condition("invoice_type", "eq", ("Auto Full",)))
    assert sorted((r["account"], r["starts_at"], r["amount_total"]) for r in automatic) == [
        (account, at(2024, 1, 18), 1) for account in accounts
    ]
    await holds(world)


async def test_no_charge_falls_between_two_statements(make_world: MakeWorld) -> None:
    """One that is under way is waited for; one that was decided before, and comes after, is of the next window."""
    world = await make_world(at(2024, 1, 2))
    account = await world.account("acme")
    number, noon = await number_of(world, account), at(2024, 1, 1, 12)
    await state(world, account, "2024-01-01", "2024-01-02")
    async with world.db.transaction(world.caller.workspace) as connection:
        await make_transaction(connection, world.at(noon), MakeTransaction(number, dec(3)))
        filling = asyncio.create_task(run_statements(world.db, world.caller))
        await asyncio.sleep(0.3)
        assert not filling.done()
    assert (await filling).filled == 1
    async with world.db.transaction(world.caller.workspace) as connection:
        late = await make_transaction(connection, world.at(noon), MakeTransaction(number, dec(4)))
        on_time = await make_transaction(connection, world.at(at(2024, 1, 2, 1)), MakeTransaction(number, dec(5)))
    dated = await world.rows(
        "select created_at from charge where workspace = $1 and yeti_id = any($2) order by key",
        world.caller.workspace, [late, on_time],
    )  # fmt: skip
    assert [row["created_at"] for row in dated] == [at(2024, 1, 2), at(2024, 1, 2, 1)]
    await state(replace(world, caller=world.at(at(2024, 1, 3))), account, "2024-01-02", "2024-01-03")
    await run_statements(world.db, world.caller)
    assert [row["amount_total"] for row in await statements(world)] == [3, 9]
    await holds(world)


async def test_workers_that_are_killed_leave_no_statement_out_and_none_twice(
    make_world: MakeWorld, books_dsn: str, tmp_path: Path
) -> None:
    world = await make_world(at(2024, 1, 20))
    accounts = [await world.account(f"a{n}") for n in range(5)]
    for account in accounts:
        await periodic(world, account, InvoicePeriod.DAILY, at(2024, 1, 15))
        for day in range(14, 20):
            await charge(world, account, at(2024, 1, day, 5), day)

    def worker() -> int:
        arguments = (books_dsn, str(world.caller.workspace), world.caller.now.isoformat(), str(tmp_path))
        command = [sys.executable, "-m", "tests.invoicing.stater", *arguments]
        return subprocess.run(command, cwd=Path(__file__).parents[2], check=False, timeout=60).returncode

    assert [await asyncio.to_thread(worker) for _ in range(4)] == [-9, -9, -9, 0]
    assert {path.name for path in tmp_path.iterdir()} == {name for name in crash.POINTS if "statements" in name}
    made = sorted((row["account"], row["starts_at"].day, row["amount_total"]) for row in await statements(world))
    assert made == sorted((account, day, Decimal(day)) for account in accounts for day in range(15, 19))
    await holds(world)


async def test_checks_find_what_does_not_hold(make_world: MakeWorld) -> None:
    """Each kind of damage, in a transaction that is rolled back."""
    world = await make_world(at(2024, 3, 1))
    account = await world.account("acme")
    await charge(world, account, at(2024, 1, 5), 5)
    await periodic(world, account, InvoicePeriod.MONTHLY, at(2024, 1, 26))
    await run_statements(world.db, world.caller)
    damages = {
        "update statement set services_amount_spent = services_amount_spent + 1 where account = $1": {0},
        "update statement set originated_calls_count = 1 where account = $1": {0},
        "update statement set state = 'New' where account = $1": {0, 2},
        "update statement_service d set amount = 6 from statement s where s.key = d.statement"
        " and s.account = $1": {0, 2},
        "delete from statement_service d using statement s where s.key = d.statement and s.account = $1": {0, 2},
        "insert into charge (workspace, yeti_id, account, amount, created_at) select workspace, 99999999, account, 1,"
        " starts_at from statement where account = $1": {2},
        "insert into statement_network (workspace, yeti_id, statement, side, spent, amount, calls_count,"
        " successful_calls_count, calls_duration, billing_duration) select workspace, 99999999, key, 'originated',"
        " true, 0, 0, 0, 0, 0 from statement where account = $1": {1},
        "update account_terms set next_invoice_at = '2024-02-01' where account = $1": {3},
    }  # fmt: skip
    for damage, found in damages.items():
        async with world.db.transaction(None) as connection:
            await connection.execute("savepoint whole")
            await connection.execute(damage, account)
            told = {place for place, check in enumerate(CHECKS) if await check.run(connection)}
            assert told == found, damage
            await connection.execute("rollback to savepoint whole")
    await holds(world)
