"""Invoices with their lines, and each line explained down to the events behind it."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from msgspec import Meta

from bursar.core.errors import NotFound
from bursar.http.door import Answer, Call, Query
from bursar.http.encode import number
from bursar.http.native.door import door
from bursar.invoicing import service
from bursar.invoicing.document import Document, Line
from bursar.invoicing.steps import steps

TAG = "Invoices"
EVENTS_LIMIT = 100


class StepShape(Answer, kw_only=True):
    """What a step adds, or takes away where it is below zero, and what it comes to."""

    step: str
    amount: Decimal
    result: Decimal


class PaidShape(Answer, kw_only=True):
    """What was paid of an invoice, or given back where it is below zero."""

    source: str
    amount: Decimal
    paid_at: datetime
    payment_id: str | None = None


class InvoiceAnswer(Answer, kw_only=True):
    """An invoice: its living state and its document, which is frozen once it is issued."""

    status: str
    paid_amount: Decimal
    updated_at: datetime
    frozen: bool
    document: Document
    steps: list[StepShape]
    """From the lines to what is left to pay; the one before the last comes to the total."""
    payments: list[PaidShape]
    issued_at: datetime | None = None


class ExplainQuery(Query, kw_only=True):
    """Which of the events behind a line to show."""

    after: Annotated[str, Meta(max_length=200)] | None = None
    limit: Annotated[int, Meta(ge=1, le=EVENTS_LIMIT)] = 20


class ExplainedEvent(Answer, kw_only=True):
    """An event and what the line's meter measured of it."""

    id: str
    occurred_at: datetime
    quantity: Decimal
    dimensions: dict[str, str]


class Explanation(Answer, kw_only=True):
    """A line of an invoice and a page of the events behind its quantity, by time."""

    invoice_id: str
    status: str
    account_id: str
    currency: str
    start_date: datetime
    end_date: datetime
    line: Line
    events: list[ExplainedEvent]
    next: str | None
    """Send it as `after` for the events that follow; null where there are none."""


@door.operation(
    "GET", "/bursar/v1/invoices/{invoice_id}", id="readInvoice", tag=TAG, summary="Read an invoice with its lines",
    answer=InvoiceAnswer,
)  # fmt: skip
async def read_invoice(call: Call) -> InvoiceAnswer:
    """Read an invoice."""
    invoice = await service.get_invoice(call.db, call.caller, call.path["invoice_id"])
    header = invoice.header
    paid = await service.payments_of(call.db, call.caller, invoice)
    return InvoiceAnswer(
        status=header.status,
        paid_amount=number(header.paid_amount),
        updated_at=header.updated_at,
        frozen=header.content is not None,
        document=invoice.document,
        steps=[
            StepShape(step=one.name, amount=number(one.amount), result=number(one.result))
            for one in steps(invoice.document, paid)
        ],
        payments=[
            PaidShape(source=one.source, amount=number(one.amount), paid_at=one.paid_at, payment_id=one.payment)
            for one in paid
        ],
        issued_at=header.issued_at,
    )


@door.operation(
    "GET",
    "/bursar/v1/invoices/{invoice_id}/lines/{number}/explain",
    id="explainLine",
    tag=TAG,
    summary="Explain a line: meter, quantity, slab by slab, price version, rounding, and the events behind it",
    query=ExplainQuery,
    answer=Explanation,
)
async def explain_line(call: Call, query: ExplainQuery) -> Explanation:
    """Explain a line."""
    identifier, place = call.path["invoice_id"], call.path["number"]
    if not (place.isascii() and place.isdigit() and len(place) <= 6):
        raise NotFound(f"line of invoice {identifier!r}", place)
    found = await service.explain_line(call.db, call.caller, identifier, int(place), query.after, query.limit)
    document = found.invoice.document
    return Explanation(
        invoice_id=document.id,
        status=found.invoice.header.status,
        account_id=document.account.id,
        currency=document.currency,
        start_date=document.start_date,
        end_date=document.end_date,
        line=found.line,
        events=[
            ExplainedEvent(
                id=event.id,
                occurred_at=event.occurred_at,
                quantity=number(event.quantity),
                dimensions=event.dimensions,
            )
            for event in found.events.items
        ],
        next=found.events.after,
    )
