"""Custom invoices: documents whose lines are set by hand. A draft may change in everything; once issued, in nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from bursar.accounts.model import may_change
from bursar.accounts.service import fix_currencies
from bursar.accounts.store import lock_account
from bursar.core import crash, ids
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, NotFound, WrongState
from bursar.core.period import Period
from bursar.db import audit
from bursar.db.database import Connection
from bursar.invoicing import store
from bursar.invoicing.charges import Item, check_items
from bursar.invoicing.content import draw_up_all
from bursar.invoicing.custom_items import keep_items, queries
from bursar.invoicing.group_store import members_of
from bursar.invoicing.groups import hold_group
from bursar.invoicing.issuing import issue
from bursar.invoicing.model import CUSTOM, postable
from bursar.invoicing.settling import Wanted, change_status


@dataclass(frozen=True, slots=True)
class NewCustom:
    """A custom invoice to make."""

    account_id: str
    """Or the id of a group: the account that has been in it longest owes it then."""
    starts_at: datetime
    ends_at: datetime
    items: Sequence[Item]
    status: Literal["DRAFT", "DUE", "PAID"] = "DRAFT"
    auto_advance: bool = False
    """Whether a bill run issues it when its period has ended."""
    uses_credits: bool = True
    uses_wallet: bool = True
    to_group: bool = False


@dataclass(frozen=True, slots=True)
class InvoiceChange:
    """What to change of an invoice; None leaves a part as it is. Only custom drafts change in more than their state."""

    status: Wanted | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    items: Sequence[Item] | None = None
    auto_advance: bool | None = None


async def create_custom(connection: Connection, caller: Caller, new: NewCustom) -> str:
    """Make a custom invoice, and issue it at once where it is not to be a draft; returns its wire id.

    Raises `NotFound` for the account or the group, `Invalid`, `WrongState`.
    """
    check_items(new.items, "lineItems")
    _check_period(new.starts_at, new.ends_at)
    account_id, group = new.account_id, None
    if new.to_group:
        group = await hold_group(connection, caller, new.account_id)
        account_id = next(iter(await members_of(connection, caller.workspace, group)))
    account = await lock_account(connection, caller.workspace, account_id)
    may_change("account", account_id, account.status)
    await fix_currencies(connection, caller, {account.key: account.currency})
    identifier = ids.draw("inv")
    key: int = await connection.fetchval(
        queries.insert_custom,
        caller.workspace,
        identifier,
        account.key,
        new.starts_at,
        new.ends_at,
        max(new.ends_at, caller.now),
        new.auto_advance,
        new.uses_credits,
        new.uses_wallet,
        caller.wall,
        group,
    )
    await keep_items(connection, caller.workspace, key, new.items)
    await _checked(connection, caller, key)
    await audit.record(connection, caller, "create", "invoice", identifier)
    if new.status != "DRAFT":
        await _issue_now(connection, caller, key)
    if new.status == "PAID":
        await change_status(connection, caller, identifier, "PAID")
    return identifier


async def update_invoice(connection: Connection, caller: Caller, identifier: str, change: InvoiceChange) -> None:
    """Change a custom draft, and issue it where that is asked for; of any other invoice change the state.

    Raises `NotFound`, `Invalid` for what cannot change, `WrongState` for a move that there is not.
    """
    row = await connection.fetchrow(store.queries.lock_invoice, caller.workspace, identifier)
    if row is None:
        raise NotFound("invoice", identifier)
    if row["type"] != CUSTOM or row["status"] != "DRAFT":
        _check_fixed(change)
        if change.status is None:
            raise Invalid("status", "is required")
        await change_status(connection, caller, identifier, change.status)
        return
    if change.status not in (None, "DUE", "PAID"):
        raise WrongState(f"invoice {identifier!r} is a draft; it can become DUE or PAID, or be deleted")
    await _edit(connection, caller, row["key"], identifier, change)
    if change.status is not None:
        await _issue_now(connection, caller, row["key"])
    if change.status == "PAID":
        await change_status(connection, caller, identifier, "PAID")


async def delete_custom(connection: Connection, caller: Caller, identifier: str) -> None:
    """Take a custom draft away. Raises `NotFound`, or `WrongState` for any other invoice."""
    row = await connection.fetchrow(store.queries.lock_invoice, caller.workspace, identifier)
    if row is None:
        raise NotFound("invoice", identifier)
    if row["type"] != CUSTOM:
        raise WrongState(f"invoice {identifier!r} is no custom invoice; only custom drafts can be deleted")
    if row["status"] != "DRAFT":
        raise WrongState(f"invoice {identifier!r} is {row['status']}; only custom drafts can be deleted")
    await connection.execute(queries.delete_custom, caller.workspace, row["key"])
    await audit.record(connection, caller, "delete", "invoice", identifier)


async def _edit(connection: Connection, caller: Caller, key: int, identifier: str, change: InvoiceChange) -> None:
    if change.items is not None:
        check_items(change.items, "lineItems")
        await keep_items(connection, caller.workspace, key, change.items)
    (header,) = await store.headers(connection, caller.workspace, [key])
    _check_period(change.starts_at or header.period.start, change.ends_at or header.period.end)
    await connection.execute(
        queries.update_custom,
        caller.workspace,
        key,
        change.starts_at,
        change.ends_at,
        change.auto_advance,
        caller.now,
        caller.wall,
    )
    await _checked(connection, caller, key)
    await audit.record(connection, caller, "update", "invoice", identifier)


async def _issue_now(connection: Connection, caller: Caller, key: int) -> None:
    await connection.execute(queries.set_due_at, caller.workspace, key, caller.now)
    headers = await store.headers(connection, caller.workspace, [key])
    await issue(connection, caller, await draw_up_all(connection, caller.workspace, headers, take=True))
    crash.point("custom invoice issued")


async def _checked(connection: Connection, caller: Caller, key: int) -> None:
    """Raise `Invalid` for lines that come to what no invoice can be of."""
    headers = await store.headers(connection, caller.workspace, [key])
    (drawn,) = await draw_up_all(connection, caller.workspace, headers)
    if not postable(drawn.content):
        raise Invalid("lineItems", "come to 10^26 or more")
    if drawn.content.total < 0:
        raise Invalid("lineItems", "come to less than zero")


def _check_period(starts_at: datetime, ends_at: datetime) -> None:
    if not starts_at < ends_at:
        raise Invalid("endDate", "must be later than startDate")
    Period(starts_at, ends_at)


def _check_fixed(change: InvoiceChange) -> None:
    for name, value in (
        ("startDate", change.starts_at),
        ("endDate", change.ends_at),
        ("lineItems", change.items),
        ("autoAdvance", change.auto_advance),
    ):
        if value is not None:
            raise Invalid(name, "can only change on a custom invoice that is a draft; of this one the status can")
