"""Credits meet invoices: which lines of an invoice they pay, in which order, at issue and while it is a draft."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from bursar.core import crash
from bursar.core.caller import Caller
from bursar.core.decimals import plain
from bursar.db.database import Connection
from bursar.invoicing.document import CreditedLines, CreditUse, Document, Line
from bursar.ledger.credit_model import ALL_FEES, ALL_USAGE, Credit
from bursar.ledger.credit_service import Use, use
from bursar.ledger.credit_store import hold_open, open_credits

ORDER = "ORDER"
"""The class of invoices of purchases."""
_ZERO = Decimal(0)

AFTER = frozenset(("MISCELLANEOUS_CHARGE",))
"""Types of lines that come after credits: what is charged by hand on top. Taxes do, too."""

Left = dict[int, Decimal]
"""What is left of credits, by key."""


def entities(line: Line) -> set[str]:
    """What credits for certain things call a line: its meter or add-on, its price plan, its kind of rate card."""
    names = set() if line.price_version is None else {line.price_version.price_plan_id}
    if line.meter is not None:
        names |= {line.meter.id, ALL_USAGE}
    if line.charge is not msgspec.UNSET and line.charge.billable_id is not None:
        names.add(line.charge.billable_id)
    if line.fee is not None:
        names |= {line.fee.add_on_id, ALL_FEES}
    if line.license is not msgspec.UNSET:
        names.add(line.license.add_on_id)
    return names


def charged(document: Document) -> Decimal:
    """What an invoice comes to before credits."""
    return document.total + sum((one.amount for one in uses_of(document)), _ZERO)


def uses_of(document: Document) -> Sequence[CreditUse]:
    """What is used of credits for a document."""
    return () if document.credits is msgspec.UNSET else document.credits


def credited(document: Document, available: Iterable[Credit], left: Left) -> Document:
    """A document of which credits pay what they may, in their order; `left` goes down by it.

    A credit pays lines in the order of the invoice, those that are for what it is for. Lines below zero are not paid,
    and lower what there is to pay. Orders are paid with money alone.
    """
    if document.invoice_class == ORDER:
        return document
    open_of = {entry.number: max(entry.amount, _ZERO) for entry in document.lines if entry.type not in AFTER}
    room = min(document.total - document.tax, sum(open_of.values(), _ZERO))
    uses: list[CreditUse] = []
    for credit in available:
        if (
            not left[credit.key]
            or not credit.covers(document.start_date, document.invoice_date)
            or credit.currency != document.currency
        ):
            continue
        parts: list[CreditedLines] = []
        for entry in document.lines:
            if credit.entities and not entities(entry) & set(credit.entities):
                continue
            amount = min(open_of.get(entry.number, _ZERO), left[credit.key], room)
            if amount > 0:
                open_of[entry.number] -= amount
                left[credit.key] -= amount
                room -= amount
                parts.append(CreditedLines(number=entry.number, amount=plain(amount)))
        if parts:
            uses.append(_use(credit, parts))
    if not uses:
        return document
    total = document.total - sum((one.amount for one in uses), _ZERO)
    return msgspec.structs.replace(document, credits=uses, total=plain(total))


async def use_credits(
    connection: Connection, caller: Caller, documents: Sequence[tuple[int, Document]]
) -> list[Document]:
    """Use the credits of accounts for documents `(account, document)` that are about to be issued, in order.

    What is used is noted; the postings of the issue, which must follow in this transaction, take it out of the credits.
    """
    held = await hold_open(connection, caller.workspace, list({account for account, _ in documents}))
    if not held:
        return [document for _, document in documents]
    left = {credit.key: credit.left for credit in held}
    made = [
        credited(document, [credit for credit in held if credit.account == account], left)
        for account, document in documents
    ]
    key_of = {credit.id: credit.key for credit in held}
    uses = [Use(key_of[one.id], one.amount, document.id) for document in made for one in uses_of(document)]
    await use(connection, caller, uses)
    if uses:
        crash.point("credits used")
    return made


async def hold_back(
    connection: Connection, workspace: int, documents: Sequence[tuple[int, Document]], accounts: Sequence[int]
) -> tuple[list[Document], list[Credit], Left]:
    """Drafts `(account, document)`, in the order in which they will be issued, as the credits of now would pay them.

    Also the open credits of `accounts`, which are theirs, and what the drafts leave of each. Nothing is written.
    """
    found = await open_credits(connection, workspace, accounts)
    left = {credit.key: credit.left for credit in found}
    made = [
        credited(document, [credit for credit in found if credit.account == account], left)
        for account, document in documents
    ]
    return made, found, left


def _use(credit: Credit, parts: list[CreditedLines]) -> CreditUse:
    return CreditUse(
        id=credit.id,
        purpose=credit.purpose,
        priority=credit.priority,
        lines=parts,
        amount=plain(sum((part.amount for part in parts), _ZERO)),
    )
