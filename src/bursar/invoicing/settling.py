"""What becomes of an issued invoice by command: paid elsewhere, written off, taken back. The document never changes."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from bursar.core import crash, ids
from bursar.core.caller import Caller
from bursar.core.cycles import local_date
from bursar.core.errors import NotFound, WrongState
from bursar.db import audit
from bursar.db.database import Connection
from bursar.invoicing import composites, credit_note, orders, refunds, settlement, store
from bursar.invoicing.crediting import uses_of
from bursar.invoicing.document import Document, digest, frozen
from bursar.invoicing.model import (
    COMPOSITE,
    CREDIT_SERIES,
    credit_postings,
    in_advance,
    income,
    is_order,
    sequence_id,
)
from bursar.invoicing.parties import conceal, reveal
from bursar.invoicing.release import still_deferred
from bursar.invoicing.settlement import OPEN, Paying, Source, Standing
from bursar.invoicing.store import Header, queries
from bursar.ledger.credit_service import give_back
from bursar.ledger.model import Kind, LedgerAccount, Posting, Transaction, side
from bursar.ledger.service import post

Wanted = Literal["DUE", "PAID", "VOID", "UN_COLLECTIBLE", "REFUND_INITIATED"]

CREDIT_NOTE = "credit_note"

_MOVES: Mapping[tuple[str, str], tuple[Kind, Kind]] = {
    ("DUE", "UN_COLLECTIBLE"): (Kind.WRITE_OFF, Kind.RECEIVABLE),
    ("PARTIALLY_PAID", "UN_COLLECTIBLE"): (Kind.WRITE_OFF, Kind.RECEIVABLE),
    ("UN_COLLECTIBLE", "DUE"): (Kind.RECEIVABLE, Kind.WRITE_OFF),
}
"""Debit and credit of what is open when an invoice is written off, or taken up again."""


def settlement_of(one: Standing, wanted: Wanted, day: date) -> Transaction:
    """The postings of a move to UN_COLLECTIBLE or back to DUE. Raises `WrongState` where there is none such."""
    move = _MOVES.get((one.status, wanted))
    if move is None:
        raise WrongState(refusal(one.id, one.status, wanted))
    debit, credit = (_ledger_account(kind, one.currency, one.account) for kind in move)
    postings = (*side(debit, one.open), *side(credit, -one.open))
    return Transaction(settlement.CAUSE, one.key, day, f"invoice {one.id} {wanted}", postings)


def reversal(
    document: Document, status: str, *, key: int, account: int, release_at: datetime | None, day: date
) -> Transaction:
    """The postings of a credit note over the whole of an invoice: those of its issue the other way round.

    Of fees in advance, what has become revenue by now is taken from revenue, the rest from what is deferred; of an
    order that was not carried out, all of it.
    """
    deferred = LedgerAccount(Kind.DEFERRED, document.currency, account)
    where = OPEN.get(status, Kind.RECEIVABLE)
    postings: list[Posting] = list(side(_ledger_account(where, document.currency, account), -document.total))
    postings += [Posting(one.ledger_account, -one.amount) for one in credit_postings(document, account)]
    for entry in document.lines:
        later = still_deferred(document, entry, release_at) if in_advance(document) else Decimal(0)
        if is_order(document):
            later = entry.unrounded
        postings += [*side(income(document.currency, entry), entry.unrounded - later), *side(deferred, later)]
    rounding = sum((entry.rounding for entry in document.lines), Decimal(0))
    postings += side(LedgerAccount(Kind.ROUNDING, document.currency), -rounding)
    return Transaction(CREDIT_NOTE, key, day, f"credit note of invoice {document.id}", tuple(postings))


def refusal(identifier: str, status: str, wanted: str) -> str:
    """Why an invoice does not become what is wanted."""
    if status == "DRAFT":
        return f"invoice {identifier!r} is a draft; the bill run issues it when its grace has ended"
    return f"invoice {identifier!r} is {status} and cannot become {wanted}"


def check_reversal(one: Standing, wanted: Wanted, *, credited: bool) -> None:
    """Raise `WrongState` where an invoice cannot be voided or given back; `credited`: credits paid some of it."""
    if wanted == "VOID":
        if one.status not in OPEN:
            raise WrongState(refusal(one.id, one.status, wanted))
        if one.paid:
            raise WrongState(f"invoice {one.id!r} is paid in part; it is taken back by REFUND_INITIATED")
    elif not one.paid and not (credited and one.status == "PAID"):
        raise WrongState(f"invoice {one.id!r} has no payment that could be given back")
    elif one.status not in ("PAID", "PARTIALLY_PAID"):
        raise WrongState(refusal(one.id, one.status, wanted))


async def change_status(connection: Connection, caller: Caller, identifier: str, wanted: Wanted) -> None:
    """Move an issued invoice to a state, with the postings of that. To the state that it has, nothing changes.

    Raises `NotFound`, or `WrongState` for a move that there is not.
    """
    row = await connection.fetchrow(queries.lock_invoice, caller.workspace, identifier)
    if row is None:
        raise NotFound("invoice", identifier)
    one = (await settlement.hold(connection, caller.workspace, [row["key"]])).get(row["key"])
    if one is None:
        raise WrongState(refusal(identifier, row["status"], wanted))
    if one.status == wanted:
        return
    if wanted == "PAID":
        if not one.open:
            raise WrongState(refusal(identifier, one.status, wanted))
        await settlement.pay(connection, caller, [Paying(one.key, one.open, Source.OUTSIDE)])
        return
    if wanted in ("VOID", "REFUND_INITIATED"):
        becomes = await _take_back(connection, caller, one, wanted, row["release_at"])
    else:
        moved = settlement_of(one, wanted, local_date(caller.now, one.zone))
        await post(connection, caller, moved)
        crash.point("invoice written off")
        becomes = "PARTIALLY_PAID" if wanted == "DUE" and one.paid else wanted
        await connection.execute(
            queries.settle, caller.workspace, one.key, becomes, one.paid, row["release_at"], caller.wall
        )
    await audit.record(connection, caller, "settle", "invoice", identifier, {"from": one.status, "to": becomes})


async def _take_back(
    connection: Connection, caller: Caller, one: Standing, wanted: Wanted, release_at: datetime | None
) -> str:
    """Reverse an invoice by a credit note; what was paid of it goes back, or is owed from then on."""
    (header,) = await store.headers(connection, caller.workspace, [one.key])
    assert header.content is not None, "an issued invoice has a document"
    document = reveal(frozen(header.content), header.parties, header.secret)
    check_reversal(one, wanted, credited=bool(uses_of(document)))
    if is_order(document):
        await orders.withdraw(connection, caller, one.key, one.id)
    await give_back(connection, caller, one.id)
    day = local_date(caller.now, one.zone)
    status, left = ("VOID", one.paid) if wanted == "VOID" else await refunds.begin(connection, caller, one)
    if header.type == COMPOSITE:
        where = OPEN.get(one.status, Kind.RECEIVABLE)
        await composites.part(connection, caller, document, one.key, one.account, where, CREDIT_NOTE)
    else:
        reversed_by = reversal(document, one.status, key=one.key, account=one.account, release_at=release_at, day=day)
        await post(connection, caller, reversed_by)
    await _credit(connection, caller, header, document, "VOID" if wanted == "VOID" else "REFUND")
    crash.point("invoice credited")
    await connection.execute(queries.settle, caller.workspace, one.key, status, left, None, caller.wall)
    return status


async def _credit(
    connection: Connection, caller: Caller, header: Header, document: Document, reason: credit_note.Reason
) -> None:
    (number,) = await store.draw_numbers(connection, caller.workspace, 1, CREDIT_SERIES)
    identifier = ids.draw("cn")
    note = credit_note.of_invoice(document, identifier, sequence_id(number, CREDIT_SERIES), caller.now, reason)
    text, parties = conceal(note, header.secret, credit_note.to_text)
    await connection.execute(
        queries.insert_credit_note,
        caller.workspace,
        identifier,
        header.key,
        CREDIT_SERIES,
        number,
        note.currency,
        note.total,
        text.decode(),
        parties,
        digest(text, parties),
        caller.now,
    )


def _ledger_account(kind: Kind, currency: str, account: int) -> LedgerAccount:
    return LedgerAccount(kind, currency, account if kind is Kind.RECEIVABLE else None)
