"""What must always hold of invoices."""

from collections.abc import AsyncIterator
from decimal import Decimal

from bursar.db.database import Connection, Row
from bursar.db.verify import Check
from bursar.invoicing import credit_note, payments, refunds, remittances, settlement, store
from bursar.invoicing.content import draw_up_all
from bursar.invoicing.crediting import charged
from bursar.invoicing.document import Document, digest, readable, unpack
from bursar.invoicing.license_refunds import refunds_in
from bursar.invoicing.model import COMPOSITE, in_advance, is_order, same_charges, sequence_id
from bursar.invoicing.release import unearned
from bursar.invoicing.ruled import before_rounding
from bursar.invoicing.store import queries
from bursar.invoicing.verify_adjustments import CHECKS as ADJUSTMENTS
from bursar.invoicing.verify_composites import sums_of_their_parts

TAKEN_BACK = ("VOID", refunds.INITIATED, refunds.COMPLETED)
"""The states of invoices that have a credit note."""

_STANDING = ("DUE", "PARTIALLY_PAID", "MERGED")
"""States in which an invoice's own postings leave something receivable; a composite takes that of its parts over."""
_PAGE = 200
_LIMIT = 20


async def _one_per_cycle(connection: Connection) -> list[str]:
    overlapping = await connection.fetch(queries.overlapping_invoices)
    untiled = await connection.fetch(queries.untiled_segments)
    return [
        *(f"invoice {r['wire_id']} overlaps {r['previous']} or one before it" for r in overlapping),
        *(
            f"the cycles of segment {r['key']} of account {r['account']} do not tile"
            f" [{r['starts_at']}, {r['open_until']})"
            for r in untiled
        ),
    ]


async def _gapless(connection: Connection) -> list[str]:
    return [
        f"series {r['series']} of workspace {r['workspace']} has {r['documents']} invoices, numbers"
        f" {r['least']} to {r['most']} and would go on with {r['next']}"
        for r in await connection.fetch(queries.broken_series)
    ]


async def _issued_have_documents(connection: Connection) -> list[str]:
    rows = await connection.fetch(queries.issued_without_document)
    return [f"invoice {r['wire_id']} is {r['status']} and {'has' if r['status'] == 'DRAFT' else 'lacks'} a document"
            for r in rows]  # fmt: skip


async def _unchanged(connection: Connection) -> list[str]:
    problems = []
    async for row, document in _documents(connection):
        if document is None or digest(unpack(row["content"]), row["parties"]) != row["hash"]:
            problems.append(f"the document of invoice {row['wire_id']} is not what was issued")
        if document is None:
            continue
        facts = (document.id, document.sequence_id, document.total, document.currency, document.invoice_date,
                 document.due_date)  # fmt: skip
        columns = (row["wire_id"], sequence_id(row["number"]), row["total"], row["currency"], row["invoice_date"],
                   row["pay_by"])  # fmt: skip
        if facts != columns:
            problems.append(f"the record of invoice {row['wire_id']} differs from its document")
    return problems[:_LIMIT]


async def _adds_up(connection: Connection) -> list[str]:
    problems = []
    async for row, document in _documents(connection):
        if document is None:
            continue
        total = sum((entry.amount + entry.tax for entry in document.lines), Decimal(0))
        if total != charged(document):
            problems.append(f"the lines of invoice {row['wire_id']} sum to {total}, it comes to {charged(document)}")
        problems += [
            f"line {entry.number} of invoice {row['wire_id']} is not its slabs and rules rounded once"
            for entry in document.lines
            if entry.amount + entry.rounding != entry.unrounded or before_rounding(entry) not in (None, entry.unrounded)
        ]
    return problems[:_LIMIT]


async def _posted(connection: Connection) -> list[str]:
    problems = []
    async for rows in _pages(connection):
        for workspace in {row["workspace"] for row in rows}:
            here = [row for row in rows if row["workspace"] == workspace]
            posted = await connection.fetch(queries.receivables_posted, workspace, [row["invoice"] for row in here])
            amounts = {row["invoice"]: row["amount"] for row in posted}
            problems += [
                f"invoice {row['wire_id']} is of {row['total']:f}, its receivable of {amounts[row['invoice']]}"
                for row in here
                if row["type"] != COMPOSITE and (amounts[row["invoice"]] or Decimal(0)) != row["total"]
            ]
    return problems[:_LIMIT]


async def _given_back(connection: Connection) -> list[str]:
    problems = []
    async for rows in _pages(connection):
        for workspace in {row["workspace"] for row in rows}:
            read = {row["invoice"]: _read(row) for row in rows if row["workspace"] == workspace}
            wanted = {key: refunds_in(document) for key, document in read.items() if document is not None}
            problems += [
                f"invoice {row['invoice']} gave back {row['amount']:f} of licences, it says {wanted[row['invoice']]}"
                for row in await connection.fetch(queries.license_refunds, workspace, list(wanted))
                if row["amount"] != wanted[row["invoice"]]
            ]
    return problems[:_LIMIT]


async def _deferred(connection: Connection) -> list[str]:
    problems = []
    async for rows in _pages(connection):
        for workspace in {row["workspace"] for row in rows}:
            read = {row["invoice"]: _read(row) for row in rows if row["workspace"] == workspace}
            advance = {key: document for key, document in read.items() if document and in_advance(document)}
            for row in await connection.fetch(queries.deferred_posted, workspace, list(advance)):
                document = advance[row["invoice"]]
                if is_order(document) and row["release_at"] is None:
                    continue  # looked at with its purchase
                left = unearned(document, row["release_at"])
                if -row["amount"] != left:
                    problems.append(f"invoice {document.id} has {-row['amount']} deferred, its days to come are {left}")
    return problems[:_LIMIT]


async def _recomputed(connection: Connection) -> list[str]:
    problems = []
    async for rows in _pages(connection):
        for workspace in {row["workspace"] for row in rows}:
            here = {row["invoice"]: row for row in rows if row["workspace"] == workspace}
            headers = await store.headers(connection, workspace, list(here))
            for drawn in await draw_up_all(connection, workspace, headers):
                kept, now = _read(here[drawn.header.key]), drawn.document
                if kept is None:
                    continue
                same = same_charges(kept.lines, now.lines) and kept.rules == now.rules
                if not same or charged(kept) != now.total:
                    problems.append(
                        f"invoice {drawn.header.id} is of {charged(kept)}, its usage and prices give {now.total}"
                    )
    return problems[:_LIMIT]


async def _settled(connection: Connection) -> list[str]:
    problems = []
    async for rows in _pages(connection):
        for workspace in {row["workspace"] for row in rows}:
            here = {row["invoice"]: row for row in rows if row["workspace"] == workspace}
            for found in await connection.fetch(queries.receivables_left, workspace, list(here)):
                row = here[found["invoice"]]
                if row["type"] == COMPOSITE:
                    continue
                left = row["total"] - row["paid_amount"] if row["status"] in _STANDING else Decimal(0)
                if found["amount"] != left:
                    problems.append(
                        f"invoice {row['wire_id']} is {row['status']} and should have {left} receivable,"
                        f" it has {found['amount']}"
                    )
    return problems[:_LIMIT]


async def _credited(connection: Connection) -> list[str]:
    rows = await connection.fetch(queries.voided_without_note)
    problems = [f"invoice {row['wire_id']} was taken back and has no credit note" for row in rows]
    last = 0
    while rows := await connection.fetch(queries.credit_notes, last, _PAGE):
        last = rows[-1]["key"]
        for row in rows:
            note = credit_note.from_text(row["content"])
            facts = (note.id, note.sequence_id, note.total, note.currency, note.invoice_id)
            columns = (row["wire_id"], sequence_id(row["number"], row["series"]), row["total"], row["currency"],
                       row["invoice_id"])  # fmt: skip
            if digest(row["content"].encode(), row["parties"]) != row["hash"] or facts != columns:
                problems.append(f"credit note {row['wire_id']} is not what was issued")
            amounts = sum((entry.amount + entry.tax for entry in note.lines), Decimal(0)) - note.credits
            if row["status"] not in TAKEN_BACK or not note.total == amounts == row["invoice_total"]:
                problems.append(f"credit note {row['wire_id']} does not take back the whole of {row['invoice_id']}")
    return problems[:_LIMIT]


async def _pages(connection: Connection) -> AsyncIterator[list[Row]]:
    last = 0
    while rows := await connection.fetch(queries.page_documents, last, _PAGE):
        last = rows[-1]["invoice"]
        yield rows


async def _documents(connection: Connection) -> AsyncIterator[tuple[Row, Document | None]]:
    async for rows in _pages(connection):
        for row in rows:
            yield row, _read(row)


def _read(row: Row) -> Document | None:
    """The document of a row; None where there is none to be read, of which `_unchanged` tells."""
    return readable(row["content"])


async def _paid(connection: Connection) -> list[str]:
    wrong = await connection.fetch(payments.queries.wrong_payments)
    stray = await connection.fetch(payments.queries.stray_movements)
    return [
        *(
            f"payment {r['yeti_id']} of workspace {r['workspace']} is {r['status']} over {r['amount']:f} where its"
            f" wallet moved by {r['paid']:f} and back by {r['returned']:f}"
            for r in wrong
        ),
        *(f"{r['found']} movements have the cause {r['cause']} {r['cause_key']}" for r in stray),
    ]


async def _paid_for(connection: Connection) -> list[str]:
    rows = await connection.fetch(settlement.queries.wrong_paid_amounts)
    return [
        f"invoice {r['wire_id']} over {r['total']} is {r['status']} with {r['paid']:f} paid, where its payments say"
        f" {r['entered']:f} and its movements {r['moved']:f}"
        for r in rows
    ]


async def _remitted(connection: Connection) -> list[str]:
    rows = await connection.fetch(remittances.queries.wrong_remittances)
    return [
        f"payment {r['wire_id']} is of {r['amount']:f}, its lines of {r['told']:f} and the cash of {r['posted']:f}"
        for r in rows
    ]


CHECKS: list[Check] = [
    Check("I5", "one invoice per cycle, and cycles tile what is associated", _one_per_cycle),
    Check("I5", "numbers are gapless per series", _gapless),
    Check("I5", "exactly the issued invoices have documents", _issued_have_documents),
    Check("I6", "an invoice's total is the sum of its lines, each rounded once", _adds_up),
    Check("I6", "usage and price versions give every invoice again, to the last digit", _recomputed),
    Check("I6", "the receivable posted for an invoice is its total", _posted),
    Check("I6", "what is left receivable of an invoice is what its state says", _settled),
    Check("I6", "what is paid of an invoice was posted for it, and its state follows", _paid_for),
    Check("I6", "a composite is the sum of its parts, and what they left open has moved to it", sums_of_their_parts),
    Check("I7", "credit notes never change, and take back the whole of what is void", _credited),
    Check("I6", "what is deferred of an invoice in advance is what its days to come are worth", _deferred),
    Check("I6", "what goes back of licences charged in advance went back once", _given_back),
    Check("I7", "issued documents never change", _unchanged),
    Check("I3", "every payment with a reference is its lines, and each moved its cash", _remitted),
    Check("I3", "every payment moved its wallet once, by what it says", _paid),
    *ADJUSTMENTS,
]
