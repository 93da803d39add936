"""Groups of accounts: made, joined, left. An account is in one group at most, a group's accounts in one currency.

Whoever changes a group or merges its invoices holds the group first, then accounts.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from bursar.accounts.model import ERASED, SECRET_BYTES, Address, check_address
from bursar.accounts.service import fix_currencies
from bursar.accounts.store import to_text
from bursar.core import ids
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, NotFound
from bursar.db import audit
from bursar.db.database import Connection, Row
from bursar.invoicing.group_store import Group, get_group, members_of, queries

ACCOUNTS_LIMIT = 1_000
"""Of one group."""
_PATH = "accountIds"


@dataclass(frozen=True, slots=True)
class NewGroup:
    """A group to make."""

    name: str
    email: str
    address: Address
    consolidates: bool
    account_ids: Sequence[str]
    net_term_days: int | None = None


async def create_group(connection: Connection, caller: Caller, new: NewGroup) -> Group:
    """Make a group of accounts. Raises `Invalid` for accounts that cannot be in it."""
    if not new.name.strip():
        raise Invalid("name", "must not be blank")
    check_address(new.address, "address")
    accounts = await _held(connection, caller, new.account_ids)
    _check_currencies(accounts, new.account_ids, accounts[0]["currency"])
    identifier = ids.draw("inv_group")
    key: int = await connection.fetchval(
        queries.insert_group,
        caller.workspace,
        identifier,
        new.name,
        new.email,
        to_text(new.address),
        secrets.token_bytes(SECRET_BYTES),
        new.consolidates,
        new.net_term_days,
        accounts[0]["currency"],
        caller.wall,
    )
    await _join(connection, caller, key, accounts)
    detail = {"accounts": len(accounts)}
    await audit.record(connection, caller, "create", "invoice_group", identifier, detail)
    return await get_group(connection, caller.workspace, identifier)


async def add_accounts(connection: Connection, caller: Caller, identifier: str, account_ids: Sequence[str]) -> Group:
    """Let accounts join a group; those that are in it stay. Raises `NotFound`, `Invalid`."""
    key = await hold_group(connection, caller, identifier)
    group = await get_group(connection, caller.workspace, identifier)
    known = await members_of(connection, caller.workspace, key)
    accounts = await _held(connection, caller, account_ids, inside=key)
    _check_currencies(accounts, account_ids, group.currency)
    fresh = [row for row in accounts if row["togai_id"] not in known]
    if len(known) + len(fresh) > ACCOUNTS_LIMIT:
        raise Invalid(_PATH, f"would be more than {ACCOUNTS_LIMIT} with those that are in the group")
    if fresh:
        await _join(connection, caller, key, fresh)
        await connection.execute(queries.touch_group, caller.workspace, key, caller.wall, None)
        await audit.record(connection, caller, "add", "invoice_group", identifier, {"accounts": len(fresh)})
    return await get_group(connection, caller.workspace, identifier)


async def remove_accounts(connection: Connection, caller: Caller, identifier: str, account_ids: Sequence[str]) -> None:
    """Let accounts leave a group, which ends with its last one. Raises `NotFound`, `Invalid`."""
    key = await hold_group(connection, caller, identifier)
    known = await members_of(connection, caller.workspace, key)
    for place, account_id in enumerate(account_ids):
        if account_id not in known:
            raise Invalid(f"{_PATH}[{place}]", f"account {account_id!r} is not in the group")
    leaving = {account_id: known[account_id] for account_id in account_ids}
    await connection.execute(queries.delete_members, caller.workspace, key, list(leaving.values()))
    ended = caller.wall if len(leaving) == len(known) else None
    await connection.execute(queries.touch_group, caller.workspace, key, caller.wall, ended)
    detail = {"accounts": len(leaving), "deleted": ended is not None}
    await audit.record(connection, caller, "remove", "invoice_group", identifier, detail)


async def hold_group(connection: Connection, caller: Caller, identifier: str) -> int:
    """The key of a group, which nobody else changes until the transaction ends. Raises `NotFound`."""
    key: int | None = await connection.fetchval(queries.lock_group, caller.workspace, identifier)
    if key is None:
        raise NotFound("invoice group", identifier)
    return key


async def erase_groups(connection: Connection, caller: Caller, customer: str) -> None:
    """Forget to whom invoices of groups go in which a customer's accounts are, or have been billed."""
    await connection.execute(queries.erase_groups, caller.workspace, customer, ERASED)


async def _held(
    connection: Connection, caller: Caller, account_ids: Sequence[str], inside: int | None = None
) -> list[Row]:
    """The rows of accounts in the order given, held; raises `Invalid` for one that may not be in the group `inside`."""
    rows = await connection.fetch(queries.hold_accounts, caller.workspace, list(account_ids))
    found = {row["togai_id"]: row for row in rows}
    taken = {
        row["account"]: row["invoice_group"]
        for row in await connection.fetch(queries.memberships, caller.workspace, [row["key"] for row in rows])
    }
    for place, account_id in enumerate(account_ids):
        field, row = f"{_PATH}[{place}]", found.get(account_id)
        if row is None:
            raise Invalid(field, f"account {account_id!r} was not found")
        if account_id in account_ids[:place]:
            raise Invalid(field, f"{account_id!r} is given twice")
        if row["status"] == "ARCHIVED":
            raise Invalid(field, f"account {account_id!r} is archived")
        if taken.get(row["key"], inside) != inside:
            raise Invalid(field, f"account {account_id!r} is in another invoice group")
    return [found[account_id] for account_id in account_ids]


def _check_currencies(accounts: Sequence[Row], account_ids: Sequence[str], currency: str) -> None:
    for place, (row, account_id) in enumerate(zip(accounts, account_ids, strict=True)):
        if row["currency"] != currency:
            rule = f"account {account_id!r} is invoiced in {row['currency']}, the group in {currency}"
            raise Invalid(f"{_PATH}[{place}]", rule)


async def _join(connection: Connection, caller: Caller, group: int, accounts: Sequence[Row]) -> None:
    await fix_currencies(connection, caller, {row["key"]: row["currency"] for row in accounts})
    keys = [row["key"] for row in accounts]
    await connection.execute(queries.insert_members, caller.workspace, keys, group, caller.now)
