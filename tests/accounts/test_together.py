"""Commands that meet: whatever the order, one name leads to one account and nobody gets an unexpected error."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from bursar.accounts import gate, names, service, store
from bursar.accounts.model import AccountChange, Address, AliasRemoval, NewAccount, NewAlias, NewCustomer
from bursar.core.caller import Caller
from bursar.core.cycles import Calendar, Interval
from bursar.core.errors import BursarError, Invalid, Taken, WrongState
from bursar.core.period import FOREVER
from bursar.db.database import Connection, Database

DAY = datetime(2026, 3, 1, tzinfo=UTC)

Work = Callable[[Connection], Awaitable[Any]]


async def perform(db: Database, caller: Caller, work: Work) -> Any:
    """The result of a command, or the business error that refused it. Anything else fails the test."""
    try:
        async with db.transaction(caller.workspace) as connection:
            return await work(connection)
    except BursarError as error:
        return error


async def customer(db: Database, caller: Caller, identifier: str = "acme") -> None:
    new = NewCustomer(id=identifier, name="ACME", primary_email="a@b", address=Address(line1="1 Main Street"))
    made = await perform(db, caller, lambda c: service.create_customer(c, caller, new))
    assert not isinstance(made, BursarError)


def make(caller: Caller, identifier: str, *aliases: str, owner: str = "acme") -> Work:
    new = NewAccount(id=identifier, name="Account", aliases=tuple(NewAlias(value) for value in aliases))
    return lambda connection: service.create_account(connection, caller, owner, new)


def give(caller: Caller, identifier: str, *values: str) -> Work:
    aliases = [NewAlias(value) for value in values]
    return lambda connection: names.add_aliases(connection, caller, identifier, aliases)


def take(caller: Caller, identifier: str, value: str) -> Work:
    return lambda connection: names.remove_aliases(connection, caller, identifier, [AliasRemoval(value)])


def archive(caller: Caller, identifier: str) -> Work:
    return lambda connection: service.archive_account(connection, caller, identifier)


def archive_customer(caller: Caller, identifier: str) -> Work:
    return lambda connection: service.archive_customer(connection, caller, identifier)


def change(caller: Caller, identifier: str, **changes: Any) -> Work:
    return lambda connection: service.update_account(connection, caller, identifier, AccountChange(**changes))


def plan(caller: Caller, account: int) -> Work:
    entry = (DAY, FOREVER, Calendar(Interval.MONTHLY, "1", "NIL", "UTC"), 5)
    return lambda connection: service.set_calendar(connection, caller, account, [entry])


def shut(caller: Caller, account: int, start: datetime, end: datetime) -> Work:
    return lambda connection: service.close(connection, caller, [(account, start, end)])


async def version(db: Database, caller: Caller) -> int:
    row = await db.lookup("select version from workspace where key = $1", caller.workspace)
    assert row is not None
    return int(row["version"])


async def test_of_many_requests_for_one_alias_one_succeeds(database: Database, caller: Caller) -> None:
    await customer(database, caller)
    for index in range(8):
        await perform(database, caller, make(caller, f"a{index}"))
    for round_ in range(5):
        value = f"desk{round_}"
        results = await asyncio.gather(
            *(perform(database, caller, give(caller, f"a{index}", value, f"own{round_}{index}")) for index in range(8))
        )
        assert sorted(isinstance(result, Taken) for result in results) == [False] + [True] * 7
        row = await database.lookup(
            "select count(*) as led, (select count(*) from account_name where value like $3) as own"
            " from account_name where workspace = $1 and value = $2",
            caller.workspace, value, f"own{round_}%",
        )  # fmt: skip
        assert row is not None
        assert (row["led"], row["own"]) == (1, 1), "a refused request leaves nothing behind"


async def test_an_id_and_an_alias_asked_for_at_once_do_not_both_succeed(database: Database, caller: Caller) -> None:
    await customer(database, caller)
    await perform(database, caller, make(caller, "holder"))
    for index in range(10):
        pair = await asyncio.gather(
            perform(database, caller, make(caller, f"name{index}")),
            perform(database, caller, give(caller, "holder" if index else "acme", f"name{index}")),
        )
        assert sorted(isinstance(result, Invalid) for result in pair) == [False, True]


async def test_crossed_requests_do_not_wait_for_each_other_in_a_circle(database: Database, caller: Caller) -> None:
    await customer(database, caller)
    for index in range(8):
        await perform(database, caller, make(caller, f"a{index}"))
    order = Random(7)
    for round_ in range(12):
        values = [f"v{round_}{index}" for index in range(10)]
        work = [give(caller, f"a{index}", *order.sample(values, 10)) for index in range(8)]
        results = await asyncio.gather(*(perform(database, caller, command) for command in work))
        assert sorted(isinstance(result, Taken) for result in results) == [False] + [True] * 7
        (winner,) = (result.id for result in results if not isinstance(result, Taken))
        removals = [AliasRemoval(value) for value in values]
        async with database.transaction(caller.workspace) as connection:
            await names.remove_aliases(connection, caller, winner, removals)


async def test_an_eleventh_alias_is_refused_however_many_ask_at_once(database: Database, caller: Caller) -> None:
    await customer(database, caller)
    results = await asyncio.gather(
        *(perform(database, caller, give(caller, "acme", f"value{index}")) for index in range(16))
    )
    assert sum(isinstance(result, Invalid) for result in results) == 6


async def test_one_id_is_made_once_and_numbers_are_never_shared(database: Database, caller: Caller) -> None:
    await customer(database, caller)
    wanted = [f"acc{index % 20}" for index in range(40)]
    results = await asyncio.gather(*(perform(database, caller, make(caller, name)) for name in wanted))
    assert sum(isinstance(result, Taken) for result in results) == 20
    row = await database.lookup(
        "select count(*) as accounts, count(distinct yeti_id) as numbers, min(yeti_id) as first from account"
        " where workspace = $1",
        caller.workspace,
    )
    assert row is not None
    assert (row["accounts"], row["numbers"], row["first"]) == (21, 21, 1)


async def test_numbers_skip_what_somebody_chose_as_an_id(database: Database, caller: Caller) -> None:
    await customer(database, caller)
    for name in ("3", "4", "plain"):
        await perform(database, caller, make(caller, name))
    row = await database.lookup(
        "select yeti_id from account where workspace = $1 and togai_id = 'plain'", caller.workspace
    )
    assert row is not None
    assert row["yeti_id"] == 5


async def test_each_workspace_counts_for_itself(database: Database, caller: Caller) -> None:
    await customer(database, caller)
    row = await database.lookup("select yeti_id from customer where workspace = $1", caller.workspace)
    assert row is not None
    assert row["yeti_id"] == 1


async def test_changes_of_all_kinds_at_once_end_well(database: Database, caller: Caller) -> None:
    await customer(database, caller)
    accounts = []
    for index in range(4):
        accounts.append(await perform(database, caller, make(caller, f"a{index}", f"old{index}")))
    work: list[Work] = []
    for index, account in enumerate(accounts):
        other = f"a{(index + 1) % 4}"
        work += [
            take(caller, account.id, f"old{index}"),
            give(caller, other, f"old{index}"),
            give(caller, account.id, f"new{index}", f"old{index}"),
            plan(caller, account.key),
            shut(caller, account.key, DAY, DAY + timedelta(days=31)),
            change(caller, account.id, name="Renamed"),
            archive(caller, account.id),
            make(caller, f"next{index}", f"new{index}"),
        ]
    work.append(archive_customer(caller, "acme"))
    work.append(lambda c: gate.enter(c, [caller.workspace]))
    results = await asyncio.gather(*(perform(database, caller, command) for command in work))
    refused = [result for result in results if isinstance(result, BursarError)]
    assert all(isinstance(result, Invalid | WrongState) for result in refused), refused
    row = await database.lookup(
        "select count(*) as twice from account_name a join account_name b on a.workspace = b.workspace"
        " and a.value = b.value and a.account < b.account and a.effective && b.effective where a.workspace = $1",
        caller.workspace,
    )
    assert row is not None
    assert row["twice"] == 0


async def test_an_archived_customer_has_no_account_that_takes_events(database: Database, caller: Caller) -> None:
    for index in range(5):
        name = f"acme{index}"
        await customer(database, caller, name)
        await asyncio.gather(
            perform(database, caller, archive_customer(caller, name)),
            perform(database, caller, make(caller, f"late{index}", owner=name)),
        )
    row = await database.lookup(
        "select count(*) as active from account where workspace = $1 and status <> 'ARCHIVED'", caller.workspace
    )
    assert row is not None
    assert row["active"] == 0


async def test_what_admission_must_see_raises_the_version_and_nothing_else(database: Database, caller: Caller) -> None:
    await customer(database, caller)
    await perform(database, caller, make(caller, "one", "fresh"))
    await perform(database, caller, make(caller, "two"))
    await perform(database, caller, change(caller, "one", name="Renamed"))
    assert await version(database, caller) == 0
    steps = [
        (take(caller, "one", "fresh"), [("name", "fresh")]),
        (give(caller, "two", "fresh"), [("name", "fresh")]),
        (archive(caller, "two"), [("account", None), ("name", "fresh")]),
    ]
    seen = 0
    for command, expected in steps:
        assert not isinstance(await perform(database, caller, command), BursarError)
        async with database.transaction(caller.workspace) as connection:
            rows = await connection.fetch(
                "select kind, name from change_log where workspace = $1 and version > $2 order by version",
                caller.workspace, seen,
            )  # fmt: skip
        assert [(row["kind"], row["name"]) for row in rows] == expected
        seen = await version(database, caller)


async def test_an_ended_alias_keeps_its_past_and_may_come_back(database: Database, caller: Caller) -> None:
    await customer(database, caller)
    account = await perform(database, caller, make(caller, "acc", "desk"))
    spans = []
    for days, command in ((10, take), (20, give), (30, take)):
        later = replace(caller, now=DAY + timedelta(days=days))
        result = await perform(database, later, command(later, "acc", "desk"))
        assert not isinstance(result, BursarError), result
        async with database.transaction(caller.workspace) as connection:
            mine = (await store.aliases_of(connection, caller.workspace, [account.key]))[account.key]
        spans.append([(alias.effective_from, alias.effective_until) for alias in mine])
    end = [DAY + timedelta(days=days) for days in (10, 20, 30)]
    assert spans == [[(None, end[0])], [(None, end[0]), (end[0], None)], [(None, end[0]), (end[0], end[2])]]


async def test_closed_periods_only_grow(database: Database, caller: Caller) -> None:
    await customer(database, caller)
    account = await perform(database, caller, make(caller, "acc"))
    month = timedelta(days=30)
    for start, end in ((DAY, DAY + month), (DAY + month, DAY + 2 * month), (DAY, DAY + month)):
        await perform(database, caller, shut(caller, account.key, start, end))
    async with database.transaction(caller.workspace) as connection:
        closed = await store.account_at(connection, caller.workspace, account.key)
    assert (closed.closed_from, closed.closed_until) == (DAY, DAY + 2 * month)


@pytest.mark.parametrize("reason", ["calendar", "closed"])
async def test_a_currency_is_fixed_once_there_was_a_plan(database: Database, caller: Caller, reason: str) -> None:
    await customer(database, caller)
    account = await perform(database, caller, make(caller, "acc"))
    await perform(database, caller, change(caller, "acc", currency="EUR"))
    first = plan(caller, account.key) if reason == "calendar" else shut(caller, account.key, DAY, FOREVER)
    await perform(database, caller, first)
    assert isinstance(await perform(database, caller, change(caller, "acc", currency="USD")), WrongState)
    assert (await perform(database, caller, change(caller, "acc", currency="EUR"))).currency == "EUR"
