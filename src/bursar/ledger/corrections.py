"""Balances put right by hand: by so much, or to so much."""

from dataclasses import dataclass, replace
from decimal import Decimal

from bursar.core import decimals
from bursar.core.caller import Caller
from bursar.core.cycles import local_date
from bursar.core.errors import NotFound, Rejected
from bursar.db import audit
from bursar.db.database import Connection, Row
from bursar.ledger.model import Kind, LedgerAccount, Posting, Transaction
from bursar.ledger.service import balance_held, post
from bursar.ledger.store import queries

CAUSE = "correction"
_TOO_LONG = "must have at most 26 digits before and 12 after the point"


@dataclass(frozen=True, slots=True)
class Corrected:
    """An account whose balance may be put right, or was."""

    key: int
    id: int
    """Its number at the carrier's door."""
    external_id: int | None
    name: str
    currency: str
    zone: str
    balance: Decimal


async def by_external_id(connection: Connection, caller: Caller, external_id: int) -> Corrected:
    """The account of an external id, as it is; its balance stays so until the transaction ends. Raises `NotFound`."""
    row = await connection.fetchrow(queries.account_of_external_id, caller.workspace, external_id)
    if row is None:
        raise NotFound("account", str(external_id))
    return await _held(connection, caller, row)


async def by_number(connection: Connection, caller: Caller, number: int) -> Corrected:
    """The account of a number, as it is; its balance stays so until the transaction ends. Raises `NotFound`."""
    row = await connection.fetchrow(queries.account_of_number, caller.workspace, number)
    if row is None:
        raise NotFound("account", str(number))
    return await _held(connection, caller, row)


async def _held(connection: Connection, caller: Caller, row: Row) -> Corrected:
    balance = await balance_held(connection, caller, row["key"], row["currency"])
    return Corrected(
        row["key"], row["id"], row["external_id"], row["name"], row["currency"], row["zone"], decimals.plain(balance)
    )


async def set_balance(connection: Connection, caller: Caller, account: Corrected, balance: Decimal | None) -> Corrected:
    """Put the balance of an account that is held to a value. Raises `Rejected`."""
    if balance is None:
        raise Rejected([("balance", "is not a number")])
    if not decimals.fits(balance):
        raise Rejected([("balance", _TOO_LONG)])
    return await _correct(connection, caller, account, balance - account.balance, "set")


async def correct_balance(
    connection: Connection, caller: Caller, account: Corrected, change: Decimal | None
) -> Corrected:
    """Change the balance of an account that is held by so much. Raises `Rejected`."""
    if change is None:
        raise Rejected([("", "correction can't be blank")])
    if not decimals.fits(change):
        raise Rejected([("correction", _TOO_LONG)])
    return await _correct(connection, caller, account, change, "correct")


async def _correct(
    connection: Connection, caller: Caller, account: Corrected, change: Decimal, action: str
) -> Corrected:
    """The movement: against adjustments, an account of its own, where a bookkeeper finds what is to be explained."""
    balance = account.balance + change
    if not decimals.fits(balance) or not decimals.fits(change):
        raise Rejected([("", f"the balance {_TOO_LONG}")])
    if change:
        postings = (
            Posting(LedgerAccount(Kind.ADJUSTMENT, account.currency), change),
            Posting(LedgerAccount(Kind.WALLET, account.currency, account.key), -change),
        )
        day = local_date(caller.now, account.zone)
        await post(connection, caller, Transaction(CAUSE, account.key, day, "correction of the balance", postings))
    detail = {"change": decimals.show(change), "balance": decimals.show(balance)}
    await audit.record(connection, caller, action, "balance", str(account.id), detail)
    return replace(account, balance=balance)
