"""Commands on customers and accounts. Each runs in the transaction of its connection."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime

from bursar.accounts import gate, names, settings
from bursar.accounts.api_accesses import delete_accesses_of
from bursar.accounts.model import (
    ERASED,
    SECRET_BYTES,
    Account,
    AccountChange,
    Address,
    Customer,
    Name,
    NewAccount,
    NewCustomer,
    check_address,
    may_change,
    tidy_tags,
)
from bursar.accounts.store import get_account, get_customer, lock_account, queries, to_text
from bursar.accounts.workspaces import sequence_of
from bursar.core import crash
from bursar.core.caller import Caller
from bursar.core.cycles import Calendar
from bursar.core.errors import Invalid, Taken, WrongState
from bursar.core.ids import draw
from bursar.db import audit
from bursar.db.database import Connection
from bursar.notify import deliveries

CalendarEntry = tuple[datetime, datetime, Calendar, int]
"""From, until, calendar and days of grace."""


async def create_customer(connection: Connection, caller: Caller, new: NewCustomer) -> tuple[Customer, Account]:
    """A customer and its first account. Raises `Taken` for an id that is or was in use."""
    check_address(new.address, "address")
    first = new.account or NewAccount(id=new.id, name=new.name)
    known = await _reserve(connection, caller, first)
    number = await customer_number(connection, caller)
    key = await connection.fetchval(
        queries.insert_customer,
        caller.workspace,
        new.id,
        number,
        draw("customer"),
        caller.wall,
        new.name,
        new.primary_email,
        to_text(new.address),
        secrets.token_bytes(SECRET_BYTES),
    )
    if key is None:
        raise Taken("id", f"customer {new.id!r} exists already")
    await settings.keep(connection, caller, "CUSTOMER", new.id, new.settings)
    await audit.record(connection, caller, "create", "customer", new.id)
    account = await _make_account(connection, caller, key, first, known, "account." if new.account else "")
    return await get_customer(connection, caller.workspace, new.id), account


async def create_account(connection: Connection, caller: Caller, customer_id: str, new: NewAccount) -> Account:
    """An account of an existing customer."""
    known = await _reserve(connection, caller, new)
    row = await connection.fetchrow(queries.keep_customer, caller.workspace, customer_id)
    if row is None:
        raise Invalid("customerId", f"customer {customer_id!r} was not found")
    may_change("customer", customer_id, row["status"])
    return await _make_account(connection, caller, row["key"], new, known, "")


async def update_customer(
    connection: Connection,
    caller: Caller,
    identifier: str,
    *,
    name: str | None,
    primary_email: str | None,
    address: Address | None,
) -> Customer:
    """Change a customer; None leaves a field as it is."""
    if address is not None:
        check_address(address, "address")
    await connection.execute(queries.lock_customer, caller.workspace, identifier)
    customer = await get_customer(connection, caller.workspace, identifier)
    may_change("customer", identifier, customer.status)
    await connection.execute(queries.touch_customer, caller.workspace, customer.key, caller.wall, customer.status)
    await connection.execute(
        queries.update_customer, caller.workspace, customer.key, name, primary_email, to_text(address)
    )
    await audit.record(connection, caller, "update", "customer", identifier)
    return await get_customer(connection, caller.workspace, identifier)


async def archive_customer(connection: Connection, caller: Caller, identifier: str) -> None:
    """Archive a customer and all its accounts. Its id stays taken."""
    customer = await get_customer(connection, caller.workspace, identifier)
    await gate.change(connection, caller.workspace, "account")
    await connection.execute(queries.lock_customer, caller.workspace, identifier)
    customer = await get_customer(connection, caller.workspace, identifier)
    may_change("customer", identifier, customer.status)
    for row in await connection.fetch(queries.accounts_of_customer, caller.workspace, customer.key):
        await archive_account(connection, caller, row["togai_id"])
    await connection.execute(queries.touch_customer, caller.workspace, customer.key, caller.wall, "ARCHIVED")
    await audit.record(connection, caller, "archive", "customer", identifier)


async def erase_customer(connection: Connection, caller: Caller, identifier: str) -> bool:
    """Forget who a customer is, for good; returns whether there was anything to forget. Archives it first.

    Its ids and aliases, which are names that its operator chose for it, stay, and so do its usage and all amounts.
    Names, e-mails, addresses, billing information, contacts, logins, metadata and tags go; what frozen documents hold
    of them can no longer be read.
    """
    customer = await get_customer(connection, caller.workspace, identifier)
    if customer.status != "ARCHIVED":
        await archive_customer(connection, caller, identifier)
    await connection.execute(queries.lock_customer, caller.workspace, identifier)
    if not await connection.fetchval(queries.erase_customer, caller.workspace, customer.key, ERASED):
        return False
    crash.point("customer erased")
    await connection.execute(queries.erase_accounts, caller.workspace, customer.key, caller.wall, ERASED)
    await connection.execute(queries.delete_contacts, caller.workspace, customer.key)
    await delete_accesses_of(connection, caller, customer.key)
    await deliveries.erase(connection, caller, customer.key)
    await audit.record(connection, caller, "erase", "customer", identifier)
    return True


async def update_account(connection: Connection, caller: Caller, identifier: str, change: AccountChange) -> Account:
    """Change an account. Its currency is fixed once it has had a plan or an invoice."""
    account = await lock_account(connection, caller.workspace, identifier)
    may_change("account", identifier, account.status)
    if change.currency is not None and change.currency != account.currency:
        await _check_currency(connection, caller, change.currency)
        planned = await connection.fetchval(queries.has_calendar, caller.workspace, account.key)
        if planned or account.closed_until is not None:
            raise WrongState(f"the currency of account {identifier!r} is fixed since it has had a price plan or money")
    await connection.execute(
        queries.update_account,
        caller.workspace,
        account.key,
        change.currency,
        change.net_term_days,
        change.status,
        to_text(change.metadata),
        None if change.tags is None else tidy_tags(change.tags),
        caller.wall,
    )
    await connection.execute(
        queries.update_account_profile,
        caller.workspace,
        account.key,
        change.name,
        change.primary_email,
        to_text(change.address),
        to_text(change.billing_information),
    )
    await audit.record(connection, caller, "update", "account", identifier)
    return await get_account(connection, caller.workspace, identifier)


async def archive_account(connection: Connection, caller: Caller, identifier: str) -> None:
    """Archive an account: it takes no more events, its aliases become free, its id stays taken."""
    key = (await get_account(connection, caller.workspace, identifier)).key
    await gate.change(connection, caller.workspace, "account", key)
    account = await lock_account(connection, caller.workspace, identifier)
    may_change("account", identifier, account.status)
    await names.free_aliases(connection, caller, key)
    await connection.execute(
        queries.update_account, caller.workspace, key, None, None, "ARCHIVED", None, None, caller.wall
    )
    await audit.record(connection, caller, "archive", "account", identifier)


async def set_calendar(connection: Connection, caller: Caller, account: int, entries: Sequence[CalendarEntry]) -> None:
    """Tell admission how an account's billing periods run from now on; replaces what it knew."""
    await set_calendars(connection, caller, {account: entries})


async def set_calendars(
    connection: Connection, caller: Caller, calendars: Mapping[int, Sequence[CalendarEntry]]
) -> None:
    """`set_calendar` of many accounts, with as many statements as of one."""
    accounts = sorted(calendars)
    await gate.change_all(connection, caller.workspace, "account", [(account, None) for account in accounts])
    await connection.execute(queries.delete_calendars, caller.workspace, accounts)
    rows = [(account, *entry) for account in accounts for entry in calendars[account]]
    texts = [
        to_text({"interval": c.interval, "zone": c.zone, "day": c.day, "month": c.month}) for _, _, _, c, _ in rows
    ]
    await connection.execute(
        queries.insert_calendars,
        caller.workspace,
        [row[0] for row in rows],
        [row[1] for row in rows],
        [row[2] for row in rows],
        texts,
        [row[4] for row in rows],
    )


async def close(connection: Connection, caller: Caller, periods: Sequence[tuple[int, datetime, datetime]]) -> None:
    """Close periods `(account, start, end)` to events, before they are invoiced. Run it in a transaction of its own:
    once that has committed, every event of these periods is either committed or refused.
    """
    if not periods:
        return
    accounts = sorted({account for account, _, _ in periods})
    await gate.change_all(connection, caller.workspace, "account", [(account, None) for account in accounts])
    await connection.execute(
        queries.close_accounts,
        caller.workspace,
        [period[0] for period in periods],
        [period[1] for period in periods],
        [period[2] for period in periods],
    )


async def fix_currencies(connection: Connection, caller: Caller, currencies: Mapping[int, str]) -> None:
    """Keep the currencies of accounts, by key, as they are: money is about to be there. Another one is `WrongState`."""
    rows = await connection.fetch(queries.fix_currencies, caller.workspace, list(currencies), list(currencies.values()))
    if len(rows) != len(currencies):
        raise WrongState("the currency of an account has changed meanwhile; try again")


async def _reserve(connection: Connection, caller: Caller, new: NewAccount) -> list[Name]:
    return await names.reserve(connection, caller, [new.id, *(alias.value for alias in new.aliases)])


async def _make_account(
    connection: Connection, caller: Caller, customer: int, new: NewAccount, known: list[Name], prefix: str
) -> Account:
    currency = new.currency or caller.currency
    await _check_currency(connection, caller, currency)
    number = await _number(connection, caller, "account", queries.next_account_number)
    key = await connection.fetchval(
        queries.insert_account,
        caller.workspace,
        customer,
        new.id,
        number,
        draw("account"),
        currency,
        new.net_term_days,
        new.status,
        to_text(new.metadata or {}),
        tidy_tags(new.tags),
        caller.wall,
        new.name,
        new.primary_email,
        to_text(new.address),
        to_text(new.billing_information),
    )
    if key is None:
        raise Taken(f"{prefix}id", f"account {new.id!r} exists already")
    await names.claim_id(connection, caller, key, new.id, known, f"{prefix}id")
    await settings.keep(connection, caller, "ACCOUNT", new.id, new.settings, prefix)
    account = await get_account(connection, caller.workspace, new.id)
    if new.aliases:
        await names.give(connection, caller, account, new.aliases, known)
    await audit.record(connection, caller, "create", "account", new.id)
    return account


async def _check_currency(connection: Connection, caller: Caller, code: str) -> None:
    if await connection.fetchval(queries.currency, caller.workspace, code) is None:
        raise Invalid("invoiceCurrency", f"{code!r} is not a currency of this workspace")


async def customer_number(connection: Connection, caller: Caller) -> int:
    """A new customer's number at the carrier's door, the text of which is no customer's id."""
    return await _number(connection, caller, "customer", queries.next_customer_number)


async def _number(connection: Connection, caller: Caller, kind: str, statement: str) -> int:
    """A number for the other door, never the text of an id that somebody chose at this one."""
    while True:
        row = await connection.fetchrow(statement, caller.workspace, sequence_of(kind, caller.workspace))
        assert row is not None
        if not row["taken"]:
            return int(row["number"])
