"""Balances put right by hand: by so much, or to so much."""

from dataclasses import dataclass
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
    """An account whose balance was put right."""

    id: int
    """Its number at the carrier's door."""
    external_id: int | None
    name: str
    balance: Decimal


async def set_balance(connection: Connection, caller: Caller, external_id: int, balance: Decimal | None) -> Corrected:
    """Put the balance of the account of an external id to a value. Raises `NotFound`, `Rejected`."""
    row = await connection.fetchrow(queries.account_of_external_id, caller.workspace, external_id)
    if row is None:
        raise NotFound("account", str(external_id))
    if balance is None:
        raise Rejected([("balance", "is not a number")])
    if not decimals.fits(balance):
        raise Rejected([("balance", _TOO_LONG)])
    held = await balance_held(connection, caller, row["key"], row["currency"])
    return await _correct(connection, caller, row, balance - held, balance, "set")


async def correct_balance(connection: Connection, caller: Caller, number: int, change: Decimal | None) -> Corrected:
    """Change the balance of the account of a number by so much. Raises `NotFound`, `Rejected`."""
    row = await connection.fetchrow(queries.account_of_number, caller.workspace, number)
    if row is None:
        raise NotFound("account", str(number))
    if change is None:
        raise Rejected([("", "correction can't be blank")])
    if not decimals.fits(change):
        raise Rejected([("correction", _TOO_LONG)])
    held = await balance_held(connection, caller, row["key"], row["currency"])
    return await _correct(connection, caller, row, change, held + change, "correct")


async def _correct(
    connection: Connection, caller: Caller, account: Row, change: Decimal, balance: Decimal, action: str
) -> Corrected:
    """The movement: against adjustments, an account of its own, where a bookkeeper finds what is to be explained."""
    if not decimals.fits(balance) or not decimals.fits(change):
        raise Rejected([("", f"the balance {_TOO_LONG}")])
    if change:
        postings = (
            Posting(LedgerAccount(Kind.ADJUSTMENT, account["currency"]), change),
            Posting(LedgerAccount(Kind.WALLET, account["currency"], account["key"]), -change),
        )
        day = local_date(caller.now, account["zone"])
        await post(connection, caller, Transaction(CAUSE, account["key"], day, "correction of the balance", postings))
    detail = {"change": decimals.show(change), "balance": decimals.show(balance)}
    await audit.record(connection, caller, action, "balance", str(account["id"]), detail)
    return Corrected(account["id"], account["external_id"], account["name"], balance)
