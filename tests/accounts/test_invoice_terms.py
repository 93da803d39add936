"""When accounts are invoiced next, as rows: set, moved to another zone, cleared, due and moved on."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from bursar.accounts.invoice_terms import (
    NextInvoice,
    StatementSettings,
    advance,
    lock_invoice_terms,
    next_invoice,
    state_accounts,
    statement_settings,
    take_due,
)
from bursar.accounts.model import Address, NewCustomer, Setting
from bursar.accounts.service import create_customer
from bursar.accounts.settings import create_setting
from bursar.accounts.store import get_account
from bursar.accounts.terms import update_agreed
from bursar.core.caller import Caller
from bursar.core.invoice_periods import InvoicePeriod, InvoiceType
from bursar.db.database import Connection, Database

WEDNESDAY = datetime(2020, 1, 1, 12, tzinfo=UTC)


async def make_account(connection: Connection, caller: Caller, name: str) -> int:
    await create_customer(connection, caller, NewCustomer(name, f"Carrier {name}", "c@example.com", Address()))
    return (await get_account(connection, caller.workspace, name)).key


async def agree(connection: Connection, caller: Caller, account: int, **values: Any) -> None:
    number = await connection.fetchval("select yeti_id from account where key = $1", account)
    await update_agreed(connection, caller, number, values)


# The period, the zone, and the next statement as of Wednesday 1 January 2020, noon in UTC.
CASES = [
    (InvoicePeriod.WEEKLY, "UTC", ("2020-01-06T00:00:00Z", InvoiceType.AUTO_FULL)),
    (InvoicePeriod.WEEKLY, "Europe/Kyiv", ("2020-01-05T22:00:00Z", InvoiceType.AUTO_FULL)),
    (InvoicePeriod.DAILY, "Pacific/Kiritimati", ("2020-01-02T10:00:00Z", InvoiceType.AUTO_FULL)),
    (InvoicePeriod.WEEKLY_SPLIT, "UTC", ("2020-01-06T00:00:00Z", InvoiceType.AUTO_PARTIAL)),
    (InvoicePeriod.BIWEEKLY_SPLIT, "UTC", ("2020-01-06T00:00:00Z", InvoiceType.AUTO_PARTIAL)),
    (InvoicePeriod.SEMIMONTHLY, "America/New_York", ("2020-01-16T05:00:00Z", InvoiceType.AUTO_FULL)),
]


@pytest.mark.parametrize(("kind", "zone", "expected"), CASES)
def test_the_next_statement_is_of_the_period_under_way(
    kind: InvoicePeriod, zone: str, expected: tuple[str, InvoiceType]
) -> None:
    wanted = NextInvoice(datetime.fromisoformat(expected[0]), expected[1])
    assert next_invoice(kind, zone, WEDNESDAY) == wanted


async def test_setting_moving_and_clearing(database: Database, caller: Caller) -> None:
    caller = replace(caller, now=WEDNESDAY)
    async with database.transaction(caller.workspace) as connection:
        account = await make_account(connection, caller, "acme")

        async def kept() -> NextInvoice | None:
            return (await lock_invoice_terms(connection, caller.workspace, [account]))[0].next

        assert await kept() is None
        await agree(connection, caller, account, invoice_period_id=2)
        weekly = NextInvoice(datetime(2020, 1, 6, tzinfo=UTC), InvoiceType.AUTO_FULL)
        assert await kept() == weekly
        later = replace(caller, now=WEDNESDAY + timedelta(days=30))
        await agree(connection, later, account, invoice_period_id=2, timezone="UTC", vat=Decimal(5))
        assert await kept() == weekly, "nothing changed that it depends on"
        await agree(connection, caller, account, timezone="America/New_York")
        assert await kept() == NextInvoice(datetime(2020, 1, 6, 5, tzinfo=UTC), InvoiceType.AUTO_FULL)
        await agree(connection, caller, account, invoice_period_id=6)
        assert await kept() == NextInvoice(datetime(2020, 1, 6, 5, tzinfo=UTC), InvoiceType.AUTO_PARTIAL)
        await agree(connection, caller, account, invoice_period_id=None)
        assert await kept() is None
        await agree(connection, caller, account, timezone="UTC")
        assert await kept() is None


async def test_a_change_waits_for_the_statement_that_is_being_made(database: Database, caller: Caller) -> None:
    """Or it would put the account back to the period that was invoiced meanwhile."""
    caller = replace(caller, now=WEDNESDAY)
    async with database.transaction(caller.workspace) as connection:
        account = await make_account(connection, caller, "acme")
        await agree(connection, caller, account, invoice_period_id=2)

    async def change() -> None:
        async with database.transaction(caller.workspace) as connection:
            await agree(connection, caller, account, vat=Decimal(7))

    async with database.transaction(caller.workspace) as connection:
        terms = await lock_invoice_terms(connection, caller.workspace, [account])
        changing = asyncio.create_task(change())
        await asyncio.sleep(0.3)
        await advance(connection, caller.workspace, terms)
    await changing
    async with database.transaction(caller.workspace) as connection:
        (found,) = await lock_invoice_terms(connection, caller.workspace, [account])
    assert found.next == NextInvoice(datetime(2020, 1, 13, tzinfo=UTC), InvoiceType.AUTO_FULL)


async def test_an_account_is_due_once_its_longest_call_has_ended(database: Database, caller: Caller) -> None:
    caller = replace(caller, now=WEDNESDAY)
    monday = datetime(2020, 1, 6, tzinfo=UTC)
    async with database.transaction(None) as connection:
        names = ("usual", "brief", "hidden", "without")
        usual, brief, hidden, without = [await make_account(connection, caller, name) for name in names]
        for account in (usual, brief, hidden):
            await agree(connection, caller, account, invoice_period_id=InvoicePeriod.WEEKLY)
        await connection.execute("update account_terms set max_call_duration = 60 where account = $1", brief)
        await connection.execute("update account_terms set hidden_at = $2 where account = $1", hidden, WEDNESDAY)

        async def due(at: datetime, *leave_out: int) -> list[int]:
            found = await take_due(connection, replace(caller, now=at), leave_out, 10)
            return [terms.account for terms, _, _ in found]

        assert await due(monday + timedelta(seconds=59)) == []
        assert await due(monday + timedelta(seconds=60)) == [brief]
        assert await due(monday + timedelta(seconds=7199)) == [brief]
        assert await due(monday + timedelta(seconds=7200)) == [usual, brief]
        assert await due(monday + timedelta(seconds=7200), usual) == [brief]
        terms = await lock_invoice_terms(connection, caller.workspace, [brief, without])
        await advance(connection, caller.workspace, terms)
        assert [entry.next and entry.next.at for entry in await lock_invoice_terms(
            connection, caller.workspace, [usual, brief, without]
        )] == [monday, monday + timedelta(days=7), None]  # fmt: skip
        assert await due(monday + timedelta(seconds=7200)) == [usual]


async def test_another_worker_s_accounts_are_passed_over(database: Database, caller: Caller) -> None:
    caller = replace(caller, now=WEDNESDAY)
    async with database.transaction(caller.workspace) as connection:
        for name in ("first", "second"):
            account = await make_account(connection, caller, name)
            await agree(connection, caller, account, invoice_period_id=InvoicePeriod.DAILY)
    later = replace(caller, now=WEDNESDAY + timedelta(days=3))
    async with database.transaction(caller.workspace) as one, database.transaction(caller.workspace) as other:
        assert len(await take_due(one, later, [], 1)) == 1
        assert len(await take_due(other, later, [], 10)) == 1


async def test_what_is_stated_only_grows(database: Database, caller: Caller) -> None:
    async with database.transaction(caller.workspace) as connection:
        account = await make_account(connection, caller, "acme")
        for day in (3, 5, 4):
            await state_accounts(connection, caller.workspace, [(account, datetime(2020, 1, day, tzinfo=UTC))])
        row = await connection.fetchval("select stated_until from account_terms where account = $1", account)
    assert row == datetime(2020, 1, 5, tzinfo=UTC)


async def test_settings_of_the_account_come_before_those_of_its_customer_and_workspace(
    database: Database, caller: Caller
) -> None:
    async with database.transaction(caller.workspace) as connection:
        account, other = [await make_account(connection, caller, name) for name in ("acme", "other")]
        name = await connection.fetchval("select name from workspace where key = $1", caller.workspace)

        async def found() -> StatementSettings:
            return (await statement_settings(connection, caller.workspace, [account]))[account]

        assert await found() == StatementSettings("$id", auto_approve=False)
        for kind, entity, setting, value in [
            ("ORGANIZATION", name, "reference", "W-$id"),
            ("ORGANIZATION", name, "autoApprove", "true"),
            ("ACCOUNT", "other", "reference", "O-$id"),
        ]:
            new = Setting(setting, value, "STATEMENT", setting, "STRING")
            await create_setting(connection, caller, kind, entity, new)
        assert await found() == StatementSettings("W-$id", auto_approve=True)
        await create_setting(
            connection, caller, "CUSTOMER", "acme", Setting("reference", "C-$id", "STATEMENT", "r", "STRING")
        )
        assert await found() == StatementSettings("C-$id", auto_approve=True)
        await create_setting(
            connection, caller, "ACCOUNT", "acme", Setting("autoApprove", "false", "STATEMENT", "a", "STRING")
        )
        assert await found() == StatementSettings("C-$id", auto_approve=False)
        of_other = await statement_settings(connection, caller.workspace, [other])
        assert of_other == {other: StatementSettings("O-$id", auto_approve=True)}
