"""Workspaces and their clocks."""

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bursar.accounts.model import Address, NewCustomer
from bursar.accounts.service import close, create_customer, set_calendar
from bursar.accounts.workspaces import (
    Workspace,
    caller_of,
    create_workspace,
    find_workspace,
    list_workspaces,
    set_clock,
)
from bursar.core.caller import Caller
from bursar.core.currencies import EXPONENTS
from bursar.core.cycles import Calendar, Interval
from bursar.core.errors import Invalid, NotFound, Taken, WrongState
from bursar.core.period import FOREVER
from bursar.db.database import Database

WALL = datetime(2026, 11, 21, 12, tzinfo=UTC)
LONG_AGO = datetime(2023, 11, 16, 18, tzinfo=UTC)


async def make(db: Database, name: str, **options: object) -> Workspace:
    async with db.transaction(None) as connection:
        settings = {"sandbox": True, "currency": "USD", "timezone": "UTC", **options}
        return await create_workspace(connection, WALL, "test", name, **settings)  # type: ignore[arg-type]


async def move(db: Database, caller: Caller, instant: datetime) -> Workspace:
    async with db.transaction(caller.workspace) as connection:
        return await set_clock(connection, caller, instant)


async def test_a_workspace_has_its_currencies(database: Database) -> None:
    workspace = await make(database, "Nord", currency="JPY", timezone="Asia/Tokyo", sandbox=False)
    row = await database.lookup(
        "select count(*) as number, array_agg(exponent order by code) filter (where code in ('USD', 'JPY', 'KWD'))"
        " as some from currency where workspace = $1",
        workspace.key,
    )
    assert row is not None
    assert row["number"] == len(EXPONENTS) > 150
    assert row["some"] == [0, 3, 2]
    async with database.transaction(None) as connection:
        assert await find_workspace(connection, "Nord") == workspace
        assert workspace in await list_workspaces(connection)
        with pytest.raises(NotFound):
            await find_workspace(connection, "nord")
    caller = caller_of(workspace, WALL, "cli")
    assert (caller.now, caller.currency, caller.timezone, caller.sandbox) == (WALL, "JPY", "Asia/Tokyo", False)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"name": ""}, "name"),
        ({"name": " padded"}, "name"),
        ({"name": "x" * 51}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "Taken"}, "Taken"),
        ({"currency": "usd"}, "currency"),
        ({"currency": "XXX"}, "currency"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"timezone": "../etc/passwd"}, "timezone"),
    ],
)
async def test_bad_workspaces_are_refused(database: Database, change: dict[str, str], word: str) -> None:
    with contextlib.suppress(Taken):
        await make(database, "Taken")
    with pytest.raises(Invalid, match=word):
        await make(database, **{"name": "Fine", **change})


async def test_a_sandbox_s_clock_stands_where_it_was_set(database: Database, caller: Caller) -> None:
    moved = await move(database, caller, LONG_AGO)
    assert caller_of(moved, WALL, "test").now == LONG_AGO
    assert caller_of(moved, WALL + timedelta(days=1), "test").now == LONG_AGO
    assert (await move(database, caller, LONG_AGO)).clock_at == LONG_AGO
    assert (await move(database, caller, LONG_AGO + timedelta(microseconds=1))).clock_at is not None
    with pytest.raises(Invalid, match="forward only"):
        await move(database, caller, LONG_AGO)
    with pytest.raises(Invalid, match="9998"):
        await move(database, caller, FOREVER)


async def test_moving_the_clock_passes_the_gate(database: Database, caller: Caller) -> None:
    await move(database, caller, LONG_AGO)
    row = await database.lookup(
        "select w.version, c.kind from workspace w join change_log c on c.workspace = w.key and c.version = w.version"
        " where w.key = $1",
        caller.workspace,
    )
    assert row is not None
    assert (row["version"], row["kind"]) == (1, "clock")


async def test_a_live_clock_is_never_set(database: Database) -> None:
    live = caller_of(await make(database, "Live", sandbox=False), WALL, "test")
    with pytest.raises(WrongState, match="sandbox"):
        await move(database, live, WALL + timedelta(days=1))


@pytest.mark.parametrize("begun", ["calendar", "closed"])
async def test_the_first_setting_leads_back_only_while_nothing_has_a_date(
    database: Database, caller: Caller, begun: str
) -> None:
    caller = replace(caller, now=WALL, wall=WALL)
    async with database.transaction(caller.workspace) as connection:
        new = NewCustomer(id="acme", name="ACME", primary_email="a@b", address=Address())
        _, account = await create_customer(connection, caller, new)
        if begun == "calendar":
            entry = (WALL, FOREVER, Calendar(Interval.MONTHLY, "1", "NIL", "UTC"), 5)
            await set_calendar(connection, caller, account.key, [entry])
        else:
            await close(connection, caller, [(account.key, LONG_AGO, WALL)])
    with pytest.raises(Invalid, match="forward only"):
        await move(database, caller, LONG_AGO)
    assert (await move(database, caller, WALL + timedelta(days=40))).clock_at == WALL + timedelta(days=40)
