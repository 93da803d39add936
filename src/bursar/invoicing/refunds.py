"""What was paid of an invoice goes back: to the wallet at once what came from there; the rest is owed."""

from dataclasses import replace
from decimal import Decimal

from bursar.core import crash
from bursar.core.caller import Caller
from bursar.core.cycles import local_date
from bursar.core.decimals import show
from bursar.core.errors import WrongState
from bursar.db import audit
from bursar.db.database import Connection
from bursar.invoicing import settlement
from bursar.invoicing.settlement import Source, Standing
from bursar.ledger.model import Kind, LedgerAccount, Posting, Transaction, side
from bursar.ledger.service import post

CAUSE = "refund"
INITIATED, COMPLETED = "REFUND_INITIATED", "REFUND_COMPLETED"
_ZERO = Decimal(0)


async def begin(connection: Connection, caller: Caller, one: Standing) -> tuple[str, Decimal]:
    """Post that what was paid of an invoice is the customer's again; its state then, and what is still to be paid out.

    The caller reverses the issue, which takes the receivable from zero to what was paid.
    """
    paid = await settlement.payments_of(connection, caller.workspace, one.key)
    wallet = sum((entry.amount for entry in paid if entry.source is Source.WALLET), _ZERO)
    owed = one.paid - wallet
    postings = (
        *side(LedgerAccount(Kind.RECEIVABLE, one.currency, one.account), one.paid),
        *side(LedgerAccount(Kind.WALLET, one.currency, one.account), -wallet),
        *side(_owed(one), -owed),
    )
    if not postings:
        return COMPLETED, owed
    key = await post(connection, caller, _transaction(one, postings, caller))
    if wallet:
        await settlement.note(connection, caller, [], [(one.key, Source.WALLET, -wallet, key)])
    return INITIATED if owed else COMPLETED, owed


async def pay_out(connection: Connection, caller: Caller, one: Standing, amount: Decimal) -> int:
    """Post that so much of what is owed for a held invoice was paid out; returns the key of the movement.

    With the last of it the refund is completed. Raises `WrongState` for more than is owed.
    """
    if one.status != INITIATED or not _ZERO < amount <= one.paid:
        owed = show(one.paid if one.status == INITIATED else _ZERO)
        raise WrongState(f"invoice {one.id!r} is {one.status} and has {owed} to be paid out, not {show(amount)}")
    postings = (Posting(_owed(one), amount), Posting(LedgerAccount(Kind.CASH, one.currency), -amount))
    key = await post(connection, caller, _transaction(one, postings, caller))
    crash.point("refund paid out")
    left = one.paid - amount
    after = replace(one, paid=left, status=one.status if left else COMPLETED)
    await settlement.note(connection, caller, [after], [(one.key, Source.PAYMENT, -amount, key)])
    detail = {"amount": show(amount), "to": after.status}
    await audit.record(connection, caller, "pay_out", "invoice", one.id, detail)
    return key


def _owed(one: Standing) -> LedgerAccount:
    return LedgerAccount(Kind.PAYABLE, one.currency, detail="refunds")


def _transaction(one: Standing, postings: tuple[Posting, ...], caller: Caller) -> Transaction:
    day = local_date(caller.now, one.zone)
    return Transaction(CAUSE, one.key, day, f"refund of invoice {one.id}", postings)
