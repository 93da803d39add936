"""Payments as they are told with their references: received for invoices, credits and wallets, or paid out again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from bursar.accounts.model import Account
from bursar.accounts.store import get_account
from bursar.core import crash, ids
from bursar.core.caller import Caller
from bursar.core.cycles import local_date
from bursar.core.decimals import LIMIT, plain, round_line, show
from bursar.core.errors import Invalid, NotFound
from bursar.core.page import Page, key_of
from bursar.db import audit
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries
from bursar.invoicing import refunds, settlement
from bursar.invoicing.remittance_model import Share, Target, WantedLine, divide
from bursar.invoicing.settlement import Paying, Source, Standing
from bursar.ledger import account_wallets, credit_service, credit_store
from bursar.ledger.account_wallets import Wallet, check_usable
from bursar.ledger.credit_service import NewCredit
from bursar.ledger.model import Kind, LedgerAccount, Posting, Transaction
from bursar.ledger.service import move

queries = Queries("bursar.invoicing", "remittances.sql")

CAUSE = "remittance"
PREPAID = "prepaid"
"""The purpose of a credit that a payment makes, unless it is described."""
_LAST = 2**31 - 1
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Reference:
    """How a payment is known where it was made."""

    source_name: str
    source_type: str
    transaction_number: str
    description: str | None = None
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class NewRemittance:
    """A payment that was made, and what it is for."""

    account_id: str
    currency: str
    amount: Decimal
    """Below zero: it was paid out."""
    reference: Reference
    lines: Sequence[WantedLine]
    description: str | None = None
    notes: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """What some of a payment was for."""

    place: int
    type: Target
    id: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Remittance:
    """A payment that was recorded."""

    id: str
    account_id: str
    currency: str
    amount: Decimal
    description: str | None
    notes: str | None
    reference: Reference
    lines: list[Line]
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class _Facts:
    """What a payment is about, invoices and credits held."""

    account: Account
    wallet: Wallet
    invoices: Mapping[str, Standing]
    credits: Mapping[str, int]
    """Keys by id."""


async def receive(connection: Connection, caller: Caller, new: NewRemittance) -> Remittance:
    """Record a payment and post each part of it; nothing of it is left where one part cannot be.

    Raises `Invalid` for what cannot be, unknown objects and more than is open among it, `WrongState` for a wallet or a
    credit that cannot be used, `InsufficientFunds` for a payment out of a wallet that does not hold it.
    """
    facts = await _look_up(connection, caller, new)
    shares = divide(new.amount, new.lines, {key: _open(one, new.amount) for key, one in facts.invoices.items()})
    made = await _post_credits(connection, caller, new, facts, shares)
    made |= await _post_wallet(connection, caller, new, facts, shares)
    made |= await _post_invoices(connection, caller, facts, shares)
    crash.point("payment posted")
    key = await _insert(connection, caller, new, facts.account, shares, made)
    (recorded,) = await _read(connection, caller.workspace, [key])
    detail = {"amount": show(new.amount), "lines": len(shares)}
    await audit.record(connection, caller, "create", "payment", recorded.id, detail)
    return recorded


async def get_remittance(connection: Connection, workspace: int, identifier: str) -> Remittance:
    """The payment of an id. Raises `NotFound`."""
    key = await connection.fetchval(queries.find_remittance, workspace, identifier)
    if key is None:
        raise NotFound("payment", identifier)
    return (await _read(connection, workspace, [key]))[0]


async def list_remittances(connection: Connection, workspace: int, after: str | None, limit: int) -> Page[Remittance]:
    """Payments, newest first."""
    rows = await connection.fetch(queries.list_remittances, workspace, key_of(after) or None, limit + 1)
    keys = [row["key"] for row in rows[:limit]]
    items = await _read(connection, workspace, keys) if keys else []
    return Page(items, str(keys[-1]) if len(rows) > limit else None)


async def erase_references(connection: Connection, caller: Caller, customer: str) -> None:
    """Forget who paid and what was noted of the payments of a customer, by id."""
    await connection.execute(queries.erase_references, caller.workspace, customer)


async def _look_up(connection: Connection, caller: Caller, new: NewRemittance) -> _Facts:
    try:
        account = await get_account(connection, caller.workspace, new.account_id)
    except NotFound as missing:
        raise Invalid("accountId", missing.message) from None
    if new.currency != account.currency:
        raise Invalid("currency", f"must be {account.currency}, the currency of account {account.id!r}")
    await _check_amounts(connection, caller, new)
    wallet = await account_wallets.get_wallet(connection, caller, new.account_id)
    own = caller.workspace, account.key
    wanted = [line.id for line in new.lines if line.type == "INVOICE" and line.id is not None]
    found = {row["wire_id"]: row["key"] for row in await connection.fetch(queries.invoices_of_account, *own, wanted)}
    standings = await settlement.hold(connection, caller.workspace, list(found.values()))
    wanted = [line.id for line in new.lines if line.type == "CREDIT" and line.id is not None]
    keys = {row["wire_id"]: row["key"] for row in await connection.fetch(queries.credits_of_account, *own, wanted)}
    await credit_store.hold(connection, caller.workspace, list(keys.values()))
    facts = _Facts(account, wallet, {name: standings[key] for name, key in found.items() if key in standings}, keys)
    for line in new.lines:
        _check_line(line, facts, new)
    return facts


async def _check_amounts(connection: Connection, caller: Caller, new: NewRemittance) -> None:
    exponent: int = await connection.fetchval(
        account_wallets.queries.decimals_of_currency, caller.workspace, new.currency
    )
    amounts = [("totalAmount", new.amount)]
    amounts += [(f"{line.field}amount", line.amount) for line in new.lines if line.amount is not None]
    for field, amount in amounts:
        if not amount or abs(amount) >= LIMIT or abs(amount) != round_line(abs(amount), exponent):
            raise Invalid(
                field, f"must not be 0, below 10^26 and of at most {exponent} decimals, as {new.currency} has"
            )


def _check_line(line: WantedLine, facts: _Facts, new: NewRemittance) -> None:
    field = f"{line.field}togaiId"
    if line.type == "INVOICE" and line.id not in facts.invoices:
        raise Invalid(field, f"account {facts.account.id!r} has no issued invoice {line.id!r}")
    if line.type == "CREDIT" and line.id is not None and line.id not in facts.credits:
        raise Invalid(field, f"account {facts.account.id!r} has no credit {line.id!r}")
    if line.type == "CREDIT" and new.amount < 0:
        raise Invalid(f"{line.field}type", "cannot be paid out; void the credit, and pay out of the wallet")
    if line.type == "WALLET_CREDIT" and line.id not in (None, facts.wallet.id):
        raise Invalid(field, f"the wallet of account {facts.account.id!r} is {facts.wallet.id!r}")
    if not 0 <= line.order < _LAST:
        raise Invalid(f"{line.field}order", "must be from 0 to 2147483646")


def _open(one: Standing, amount: Decimal) -> Decimal:
    """What a payment may be for: what is open of an invoice, or of one that goes out what is owed."""
    if amount > 0:
        return one.open
    return one.paid if one.status == refunds.INITIATED else _ZERO


Posted = dict[int, tuple[str, int]]
"""By place, the id of what was paid and the key of the movement."""


async def _post_credits(
    connection: Connection, caller: Caller, new: NewRemittance, facts: _Facts, shares: Sequence[Share]
) -> Posted:
    made: Posted = {}
    for share in shares:
        if share.line.type != "CREDIT":
            continue
        if share.line.id is not None:
            key = facts.credits[share.line.id]
            made[share.place] = share.line.id, await credit_service.add(connection, caller, key, share.amount)
            continue
        purpose = (new.description or PREPAID)[: credit_service.PURPOSE_LIMIT]
        day = local_date(caller.now, facts.account.timezone or caller.timezone)
        wanted = NewCredit(facts.account.id, purpose, share.amount, day, priority=_LAST, paid=True)
        (credit,) = await credit_service.grant_all(connection, caller, [wanted])
        movement = await credit_store.movement_of(connection, caller.workspace, credit.key)
        made[share.place] = credit.id, movement
    return made


async def _post_wallet(
    connection: Connection, caller: Caller, new: NewRemittance, facts: _Facts, shares: Sequence[Share]
) -> Posted:
    made: Posted = {}
    currency, account = facts.account.currency, facts.account
    day = local_date(caller.now, account.timezone or caller.timezone)
    for share in shares:
        if share.line.type != "WALLET_CREDIT":
            continue
        check_usable(facts.wallet, caller.now)
        postings = (
            Posting(LedgerAccount(Kind.CASH, currency), share.amount),
            Posting(LedgerAccount(Kind.WALLET, currency, account.key), -share.amount),
        )
        transaction = Transaction(CAUSE, account.key, day, "payment", postings)
        moved = await move(connection, caller, transaction, floor=_ZERO)
        made[share.place] = facts.wallet.id, moved.key
    return made


async def _post_invoices(connection: Connection, caller: Caller, facts: _Facts, shares: Sequence[Share]) -> Posted:
    mine = [share for share in shares if share.line.type == "INVOICE"]
    made: Posted = {}
    coming = [(share, _invoice(facts, share)) for share in mine if share.amount > 0]
    payings = [Paying(one.key, share.amount, Source.PAYMENT) for share, one in coming]
    keys = (await settlement.pay(connection, caller, payings))[1] if payings else []
    for (share, one), key in zip(coming, keys, strict=True):
        made[share.place] = one.id, key
    for share in mine:
        if share.amount < 0:
            key = _invoice(facts, share).key
            one = (await settlement.hold(connection, caller.workspace, [key]))[key]
            made[share.place] = one.id, await refunds.pay_out(connection, caller, one, -share.amount)
    return made


def _invoice(facts: _Facts, share: Share) -> Standing:
    assert share.line.id is not None, "a line of an invoice names it"
    return facts.invoices[share.line.id]


async def _insert(
    connection: Connection, caller: Caller, new: NewRemittance, account: Account, shares: Sequence[Share], made: Posted
) -> int:
    key: int = await connection.fetchval(
        queries.insert_remittance,
        caller.workspace,
        ids.draw("payment"),
        account.key,
        account.currency,
        new.amount,
        new.description,
        new.notes,
        msgspec.json.encode(_to_json(new.reference)).decode(),
        caller.actor,
        caller.now,
    )
    await connection.execute(
        queries.insert_remittance_lines,
        caller.workspace,
        key,
        [share.place for share in shares],
        [share.line.type for share in shares],
        [made[share.place][0] for share in shares],
        [share.amount for share in shares],
        [made[share.place][1] for share in shares],
    )
    return key


async def _read(connection: Connection, workspace: int, keys: Sequence[int]) -> list[Remittance]:
    lines: dict[int, list[Line]] = {}
    for row in await connection.fetch(queries.lines_of_remittances, workspace, list(keys)):
        line = Line(row["place"], row["type"], row["wire_id"], plain(row["amount"]))
        lines.setdefault(row["remittance"], []).append(line)
    rows = await connection.fetch(queries.remittances_at, workspace, list(keys))
    return [_remittance(row, lines.get(row["key"], [])) for row in rows]


def _remittance(row: Row, lines: list[Line]) -> Remittance:
    reference = msgspec.json.decode(row["reference"])
    return Remittance(
        id=row["wire_id"],
        account_id=row["account_id"],
        currency=row["currency"],
        amount=plain(row["amount"]),
        description=row["description"],
        notes=row["notes"],
        reference=Reference(
            reference["sourceName"],
            reference["sourceType"],
            reference["transactionNumber"],
            reference.get("description"),
            reference.get("metadata"),
        ),
        lines=lines,
        created_by=row["created_by"],
        created_at=row["created_at"],
    )


def _to_json(reference: Reference) -> dict[str, Any]:
    found = {
        "sourceName": reference.source_name,
        "sourceType": reference.source_type,
        "transactionNumber": reference.transaction_number,
        "description": reference.description,
        "metadata": reference.metadata,
    }
    return {name: value for name, value in found.items() if value is not None}
