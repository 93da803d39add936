"""What becomes of an issued invoice: paid elsewhere, written off, taken back. The document never changes."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from bursar.core import ids
from bursar.core.caller import Caller
from bursar.core.cycles import local_date
from bursar.core.errors import NotFound, WrongState
from bursar.db import audit
from bursar.db.database import Connection
from bursar.invoicing import credit_note, store
from bursar.invoicing.document import Document, digest, frozen
from bursar.invoicing.model import CREDIT_SERIES, in_advance, plan_line, sequence_id
from bursar.invoicing.parties import conceal, reveal
from bursar.invoicing.release import still_deferred
from bursar.invoicing.store import Header, queries
from bursar.ledger.model import Kind, LedgerAccount, Posting, Transaction, side
from bursar.ledger.service import post

Wanted = Literal["DUE", "PAID", "VOID", "UN_COLLECTIBLE", "REFUND_INITIATED"]

SETTLEMENT = "settlement"
CREDIT_NOTE = "credit_note"

_MOVES: Mapping[tuple[str, str], tuple[Kind, Kind]] = {
    ("DUE", "PAID"): (Kind.CASH, Kind.RECEIVABLE),
    ("DUE", "UN_COLLECTIBLE"): (Kind.WRITE_OFF, Kind.RECEIVABLE),
    ("UN_COLLECTIBLE", "DUE"): (Kind.RECEIVABLE, Kind.WRITE_OFF),
    ("UN_COLLECTIBLE", "PAID"): (Kind.CASH, Kind.WRITE_OFF),
}
"""Debit and credit of what is open when an invoice moves from one state to another."""
_OPEN = {"DUE": Kind.RECEIVABLE, "UN_COLLECTIBLE": Kind.WRITE_OFF}
"""Where the open amount of an invoice stands, by its state."""


def settlement(
    document: Document, status: str, wanted: Wanted, *, key: int, account: int, paid: Decimal, day: date
) -> Transaction:
    """The postings of a move to PAID, UN_COLLECTIBLE or back to DUE. Raises `WrongState` where there is none such."""
    move = _MOVES.get((status, wanted))
    if move is None:
        raise WrongState(refusal(document.id, status, wanted))
    amount = document.total - paid
    debit, credit = (_ledger_account(kind, document.currency, account) for kind in move)
    postings = (*side(debit, amount), *side(credit, -amount))
    return Transaction(SETTLEMENT, key, day, f"invoice {document.id} {wanted}", postings)


def reversal(
    document: Document, status: str, *, key: int, account: int, release_at: datetime | None, day: date
) -> Transaction:
    """The postings of a credit note over the whole of an invoice: those of its issue the other way round.

    Of fees in advance, what has become revenue by now is taken from revenue, the rest from what is deferred. Raises
    `WrongState` for an invoice that is not open.
    """
    if status not in _OPEN:
        raise WrongState(refusal(document.id, status, "VOID"))
    deferred = LedgerAccount(Kind.DEFERRED, document.currency, account)
    postings: list[Posting] = list(side(_ledger_account(_OPEN[status], document.currency, account), -document.total))
    for entry in document.lines:
        later = still_deferred(document, entry, release_at) if in_advance(document) else Decimal(0)
        revenue = LedgerAccount(Kind.REVENUE, document.currency, detail=plan_line(entry))
        postings += [*side(revenue, entry.unrounded - later), *side(deferred, later)]
    rounding = sum((entry.rounding for entry in document.lines), Decimal(0))
    postings += side(LedgerAccount(Kind.ROUNDING, document.currency), -rounding)
    return Transaction(CREDIT_NOTE, key, day, f"credit note of invoice {document.id}", tuple(postings))


def refusal(identifier: str, status: str, wanted: str) -> str:
    """Why an invoice does not become what is wanted."""
    if status == "DRAFT":
        return f"invoice {identifier!r} is a draft; the bill run issues it when its grace has ended"
    if wanted == "REFUND_INITIATED":
        return f"invoice {identifier!r} has no payment that could be given back"
    return f"invoice {identifier!r} is {status} and cannot become {wanted}"


async def change_status(connection: Connection, caller: Caller, identifier: str, wanted: Wanted) -> None:
    """Move an issued invoice to a state, with the postings of that. To the state that it has, nothing changes.

    Raises `NotFound`, or `WrongState` for a move that there is not.
    """
    row = await connection.fetchrow(queries.lock_invoice, caller.workspace, identifier)
    if row is None:
        raise NotFound("invoice", identifier)
    (header,) = await store.headers(connection, caller.workspace, [row["key"]])
    if header.content is None:
        raise WrongState(refusal(identifier, header.status, wanted))
    if header.status == wanted:
        return
    document = reveal(frozen(header.content), header.parties, header.secret)
    day = local_date(caller.now, header.calendar.zone)
    release_at, paid = row["release_at"], header.paid_amount
    if wanted == "VOID":
        moved = reversal(
            document, header.status, key=header.key, account=header.account, release_at=release_at, day=day
        )
        await _credit(connection, caller, header, document)
        release_at = None
    else:
        moved = settlement(document, header.status, wanted, key=header.key, account=header.account, paid=paid, day=day)
        paid = document.total if wanted == "PAID" else paid
    await post(connection, caller, moved)
    await connection.execute(queries.settle, caller.workspace, header.key, wanted, paid, release_at, caller.wall)
    detail = {"from": header.status, "to": wanted}
    await audit.record(connection, caller, "settle", "invoice", identifier, detail)


async def _credit(connection: Connection, caller: Caller, header: Header, document: Document) -> None:
    (number,) = await store.draw_numbers(connection, caller.workspace, 1, CREDIT_SERIES)
    identifier = ids.draw("cn")
    note = credit_note.of_voided(document, identifier, sequence_id(number, CREDIT_SERIES), caller.now)
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
