"""Customers and accounts, read from their tables."""

from collections.abc import Sequence

import msgspec

from bursar.accounts.model import Account, Address, Alias, BillingInformation, Customer, Setting
from bursar.core.errors import NotFound
from bursar.core.page import Page, key_of
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries

queries = Queries("bursar.accounts")


def to_text(value: object) -> str | None:
    """`value` as JSON text for a jsonb column; None stays NULL."""
    return None if value is None else msgspec.json.encode(value).decode()


def customer_of(row: Row) -> Customer:
    """The customer of a row."""
    return Customer(
        key=row["key"],
        id=row["togai_id"],
        wire_id=row["wire_id"],
        name=row["name"],
        primary_email=row["primary_email"],
        address=msgspec.json.decode(row["address"], type=Address),
        status=row["status"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def account_of(row: Row) -> Account:
    """The account of a row."""
    return Account(
        key=row["key"],
        id=row["togai_id"],
        wire_id=row["wire_id"],
        customer_key=row["customer"],
        customer_id=row["customer_id"],
        customer_wire_id=row["customer_wire_id"],
        name=row["name"],
        currency=row["currency"],
        timezone=row["timezone"],
        net_term_days=row["net_term_days"],
        status=row["status"],
        primary_email=row["primary_email"],
        address=msgspec.json.decode(row["address"], type=Address),
        billing_information=_billing_of(row),
        metadata=msgspec.json.decode(row["metadata"], type=dict[str, str]),
        tags=list(row["tags"]),
        closed_from=row["closed_from"],
        closed_until=row["closed_until"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


async def get_customer(connection: Connection, workspace: int, identifier: str) -> Customer:
    """The customer of an id. Raises `NotFound`."""
    row = await connection.fetchrow(queries.customer, workspace, identifier)
    if row is None:
        raise NotFound("customer", identifier)
    return customer_of(row)


async def get_account(connection: Connection, workspace: int, identifier: str) -> Account:
    """The account of an id. Raises `NotFound`."""
    row = await connection.fetchrow(queries.account, workspace, identifier)
    if row is None:
        raise NotFound("account", identifier)
    return account_of(row)


async def account_whole(
    connection: Connection, workspace: int, identifier: str
) -> tuple[Account, list[Alias], list[Setting]]:
    """The account of an id, all of its aliases, ended ones included, and its settings. Raises `NotFound`."""
    row = await connection.fetchrow(queries.account_whole, workspace, identifier)
    if row is None:
        raise NotFound("account", identifier)
    return account_of(row), [Alias(*entry) for entry in row["aliases"]], [Setting(*entry) for entry in row["settings"]]


async def account_at(connection: Connection, workspace: int, key: int) -> Account:
    """The account of an internal key."""
    row = await connection.fetchrow(queries.account_at, workspace, key)
    if row is None:
        raise NotFound("account", str(key))
    return account_of(row)


async def lock_account(connection: Connection, workspace: int, identifier: str) -> Account:
    """The account of an id, locked until the transaction ends. Raises `NotFound`."""
    await connection.execute(queries.lock_account, workspace, identifier)
    return await get_account(connection, workspace, identifier)


async def list_customers(connection: Connection, workspace: int, after: str | None, limit: int) -> Page[Customer]:
    """Customers that are not archived, in the order of their making."""
    rows = await connection.fetch(queries.customers, workspace, key_of(after), limit + 1)
    items = [customer_of(row) for row in rows[:limit]]
    return Page(items, str(items[-1].key) if len(rows) > limit else None)


async def list_accounts(connection: Connection, workspace: int, after: str | None, limit: int) -> Page[Account]:
    """Accounts that are not archived, in the order of their making."""
    rows = await connection.fetch(queries.accounts, workspace, key_of(after), limit + 1)
    items = [account_of(row) for row in rows[:limit]]
    return Page(items, str(items[-1].key) if len(rows) > limit else None)


async def account_keys(connection: Connection, workspace: int, identifiers: Sequence[str]) -> dict[str, int]:
    """Internal keys by account id; unknown ids are left out."""
    rows = await connection.fetch(queries.account_keys, workspace, list(identifiers))
    return {row["togai_id"]: row["key"] for row in rows}


async def account_keys_of_customers(connection: Connection, workspace: int, identifiers: Sequence[str]) -> list[int]:
    """Internal keys of all accounts of customers."""
    return [
        row["key"] for row in await connection.fetch(queries.account_keys_of_customers, workspace, list(identifiers))
    ]


async def accounts_of(connection: Connection, workspace: int, customer: int) -> list[str]:
    """The ids of a customer's accounts that are not archived, oldest first."""
    return [row["togai_id"] for row in await connection.fetch(queries.accounts_of_customer, workspace, customer)]


async def aliases_of(connection: Connection, workspace: int, accounts: Sequence[int]) -> dict[int, list[Alias]]:
    """All aliases of accounts, ended ones included."""
    result: dict[int, list[Alias]] = {account: [] for account in accounts}
    for row in await connection.fetch(queries.aliases_of, workspace, list(accounts)):
        result[row["account"]].append(
            Alias(
                key=row["key"],
                wire_id=row["wire_id"],
                value=row["value"],
                effective_from=row["starts_at"],
                effective_until=row["ends_at"],
                created_at=row["created_at"],
                updated_at=row["updated_at"],
            )
        )
    return result


def _billing_of(row: Row) -> BillingInformation:
    if row["billing_information"] is not None:
        return msgspec.json.decode(row["billing_information"], type=BillingInformation)
    return BillingInformation(email_recipients=[row["primary_email"]] if row["primary_email"] else [])
