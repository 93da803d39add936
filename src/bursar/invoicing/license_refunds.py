"""What goes back of licences that were charged in advance, with the issue of the invoice that settles their days."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from msgspec import UNSET

from bursar.accounts.store import account_at
from bursar.core.caller import Caller
from bursar.core.cycles import local_date
from bursar.db.database import Connection
from bursar.invoicing.document import Document, Line
from bursar.invoicing.model import income
from bursar.invoicing.store import Header
from bursar.ledger.credit_service import NewCredit, grant_all
from bursar.ledger.model import Kind, LedgerAccount, Posting, Transaction
from bursar.ledger.service import post_all

CAUSE = "license_refund"
_INSTANT = timedelta(microseconds=1)


async def refund(connection: Connection, caller: Caller, issued: Sequence[tuple[Header, Document]]) -> None:
    """Give back what the documents of invoices that are being issued say goes back, out of what was earned by it.

    As a credit for what comes after the invoice, or into the wallet: that of an archived account takes all.
    """
    found = [
        (header, document, entry)
        for header, document in issued
        for entry in document.lines
        if entry.license is not UNSET and entry.license.refund
    ]
    for header, document, entry in found:
        assert entry.license is not UNSET
        account = await account_at(connection, caller.workspace, header.account)
        if entry.license.refund_mode == "CREDITS" and account.status != "ARCHIVED":
            await _credit(connection, caller, account.id, document, entry)
        else:
            await _pay(connection, caller, header, document, entry)


def refunds_in(document: Document) -> Decimal:
    """What goes back with the issue of a document."""
    return sum(
        (entry.license.refund for entry in document.lines if entry.license is not UNSET and entry.license.refund),
        Decimal(0),
    )


def key_of(document: Document, entry: Line) -> str:
    """The idempotency key of a credit that a line gives."""
    return f"{document.id}/{entry.number}"


async def _credit(connection: Connection, caller: Caller, account_id: str, document: Document, entry: Line) -> None:
    assert entry.license is not UNSET
    new = NewCredit(
        account_id=account_id,
        purpose=f"Refund of {entry.description}"[:255],
        amount=entry.license.refund,
        effective_from=local_date(document.invoice_date, document.timezone) + timedelta(days=1),
        idempotency_key=key_of(document, entry),
        paid=True,
        source=income(document.currency, entry),
    )
    await grant_all(connection, caller, [new])


async def _pay(connection: Connection, caller: Caller, header: Header, document: Document, entry: Line) -> None:
    assert entry.license is not UNSET
    amount = entry.license.refund
    postings = (
        Posting(income(document.currency, entry), amount),
        Posting(LedgerAccount(Kind.WALLET, document.currency, header.account), -amount),
    )
    day = local_date(document.end_date - _INSTANT, document.timezone)
    text = f"refund of invoice {document.id}"
    await post_all(connection, caller, [Transaction(CAUSE, header.key, day, text, postings)])
