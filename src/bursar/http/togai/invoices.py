"""Invoices in the Togai dialect."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.responses import Response

from bursar.accounts.model import Address
from bursar.core.period import utc
from bursar.db.database import Database
from bursar.http.door import Answer, Body, Call
from bursar.http.encode import answer, number
from bursar.http.repeat import answer_once_by_body
from bursar.http.togai.door import MixedPageQuery, Success, door, open_token, seal_token
from bursar.http.togai.events import CLIENT
from bursar.http.togai.invoice_tree import InvoiceLineItem, revenue_tree, usage_tree
from bursar.http.togai.shapes import instant_of
from bursar.invoicing import custom, service
from bursar.invoicing.charges import Item
from bursar.invoicing.custom import InvoiceChange, NewCustom
from bursar.invoicing.document import Document, Line
from bursar.invoicing.model import CREDIT_SERIES, sequence_id
from bursar.invoicing.service import Filters, Invoice
from bursar.invoicing.settling import Wanted

TAG = "Invoices"

Status = Literal[
    "DRAFT",
    "DUE",
    "PAID",
    "VOID",
    "UN_COLLECTIBLE",
    "REFUND_INITIATED",
    "REFUND_COMPLETED",
    "MERGED",
    "PARTIALLY_PAID",
]
Milliseconds = Annotated[int, Meta(ge=0, le=253_370_764_800_000)]
"""Since 1970, up to the year 9999."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = timedelta(microseconds=1)


class InvoicesQuery(MixedPageQuery, kw_only=True, rename=None):
    """Which invoices to list."""

    pageSize: Annotated[int, Meta(ge=1, le=50)] | None = None  # noqa: N815
    status: Status | None = None
    owner_id: Annotated[str, Meta(max_length=50)] | None = None
    customer_id: Annotated[str, Meta(max_length=50)] | None = None
    start_time: Milliseconds | None = None
    end_time: Milliseconds | None = None


class InvoiceDetailsCustomer(Answer, kw_only=True):
    """Who is billed."""

    name: str
    primary_email: str
    billing_address: str
    address: Address


class InvoiceDetailsAccount(Answer, kw_only=True):
    """For what account."""

    name: str
    invoice_currency: str
    address: Address
    primary_email: str


class InvoiceDetailsOrganization(Answer, kw_only=True):
    """Who bills."""

    business_name: str
    address: Address
    primary_email: str


class InvoiceDetailsInvoiceGroup(Answer, kw_only=True):
    """To which group of accounts."""

    id: str
    name: str
    email: str
    daily_invoice_consolidation: bool
    invoice_currency: str
    address: Address


class InvoiceDetails(Answer, kw_only=True):
    """The parties of an invoice, which is to an account of a customer or to a group."""

    organization: InvoiceDetailsOrganization
    customer: InvoiceDetailsCustomer | None = None
    account: InvoiceDetailsAccount | None = None
    invoice_group: InvoiceDetailsInvoiceGroup | None = None
    price_plan_name: str | None = None


class InvoiceSummary(Answer, kw_only=True):
    """An invoice in a list."""

    id: str
    customer_id: str
    owner_id: str
    price_plan_id: str | None = None
    status: str
    finalizing_status: str
    invoice_class: str
    invoice_type: str
    start_date: datetime
    end_date: datetime
    end_date_inclusive: datetime
    invoice_date: datetime
    due_date: datetime
    updated_at: datetime
    total_amount: Decimal
    paid_amount: Decimal
    net_term_days: int
    invoice_details: InvoiceDetails
    generated_at: datetime | None = None
    sequence_id: str | None = None


class InvoiceShape(InvoiceSummary, kw_only=True):
    """An invoice with its lines: as the contract nests them, and flat with all that explains them."""

    lines: list[Line]
    auto_advance: bool
    metadata: dict[str, Any]
    usage_info: list[InvoiceLineItem] | UnsetType = UNSET
    revenue_info: InvoiceLineItem | UnsetType = UNSET


class ListInvoicesResponse(Answer, kw_only=True):
    """A page of invoices."""

    data: list[InvoiceSummary]
    next_token: str | None


class CustomInvoiceLineItem(Body, kw_only=True):
    """A line of a custom invoice: a value, or a quantity at a price each."""

    id: Annotated[str, Meta(min_length=1, max_length=50)] | None = None
    description: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    value_per_quantity: Decimal | None = None
    quantity: Decimal | None = None
    value: Decimal | None = None
    billable_id: Annotated[str, Meta(min_length=1, max_length=50)] | None = None


LineItems = Annotated[list[CustomInvoiceLineItem], Meta(min_length=1, max_length=50)]
# As the idempotency records have them: printable ASCII.
IdempotencyKey = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[ -~]+$(?!\n)")]


class CreateCustomInvoiceRequest(Body, kw_only=True):
    """A custom invoice to make."""

    account_id: Annotated[str, Meta(min_length=1, max_length=50)]
    start_date: datetime
    end_date: datetime
    status: Literal["DRAFT", "DUE", "PAID"]
    line_items: LineItems
    owner_type: Literal["ACCOUNT", "INVOICE_GROUP"] | None = None
    idempotency_key: IdempotencyKey | None = None
    auto_advance: bool | None = None
    apply_credits: bool | None = None
    apply_wallet_balance: bool | None = None


class UpdateInvoiceRequest(Body, kw_only=True):
    """What to change of an invoice."""

    start_date: datetime | None = None
    end_date: datetime | None = None
    status: Wanted | None = None
    line_items: LineItems | None = None
    auto_advance: bool | None = None


@door.operation(
    "GET", "/invoices", id="listInvoices", tag=TAG, summary="List invoices", query=InvoicesQuery,
    answer=ListInvoicesResponse,
)  # fmt: skip
async def list_invoices(call: Call, query: InvoicesQuery) -> ListInvoicesResponse:
    """List invoices, newest first."""
    return await invoices_page(call, query)


async def invoices_page(call: Call, query: InvoicesQuery, *, due_by: datetime | None = None) -> ListInvoicesResponse:
    """A page of invoices; with `due_by` of those drafts that a bill run issues by then."""
    query, after, size = open_token(query, default=50)
    filters = Filters(
        status=query.status,
        account_id=query.owner_id,
        customer_id=query.customer_id,
        starts_from=_instant(query.start_time),
        starts_before=_instant(query.end_time),
        due_by=due_by,
    )
    page = await service.list_invoices(call.db, call.caller, filters, after, size)
    return ListInvoicesResponse(
        data=[InvoiceSummary(**_summary(invoice)) for invoice in page.items],
        next_token=seal_token(query, page.after, size),
    )


@door.operation(
    "GET", "/invoices/{invoice_id}", id="getInvoice", tag=TAG, summary="Get an invoice", answer=InvoiceShape
)
async def get_invoice(call: Call) -> Response:
    """Read an invoice."""
    return await _shown(call, call.path["invoice_id"])


async def _shown(call: Call, identifier: str, status: int = 200) -> Response:
    invoice = await service.get_invoice(call.db, call.caller, identifier)
    shape = InvoiceShape(
        **_summary(invoice),
        lines=invoice.document.lines,
        auto_advance=invoice.header.auto_advance,
        metadata=_metadata(invoice),
    )
    # The one published client cannot read a tree that ends: every line item must have line items of its own.
    if not CLIENT.match(call.request.headers.get("user-agent", "")):
        shape.usage_info = usage_tree(invoice.document)
        shape.revenue_info = revenue_tree(invoice.document)
    response = answer(shape, status)
    response.headers["vary"] = "User-Agent"
    return response


@door.operation(
    "PATCH",
    "/invoices/{invoice_id}",
    id="updateInvoice",
    tag=TAG,
    summary="Update an invoice",
    scope="write",
    body=UpdateInvoiceRequest,
    answer=InvoiceShape,
)
async def update_invoice(call: Call, body: UpdateInvoiceRequest) -> Response:
    """Change a custom draft, or move any invoice to another state."""
    change = InvoiceChange(
        status=body.status,
        starts_at=instant_of(body.start_date),
        ends_at=instant_of(body.end_date),
        items=None if body.line_items is None else [_item(item) for item in body.line_items],
        auto_advance=body.auto_advance,
    )
    async with call.db.transaction(call.caller.workspace) as connection:
        await custom.update_invoice(connection, call.caller, call.path["invoice_id"], change)
    return await get_invoice(call)


@door.operation(
    "POST",
    "/invoices",
    id="createCustomInvoice",
    tag=TAG,
    summary="Create a custom invoice",
    status=201,
    scope="write",
    body=CreateCustomInvoiceRequest,
    answer=InvoiceShape,
)
async def create_custom_invoice(call: Call, body: CreateCustomInvoiceRequest) -> Response:
    """Make an invoice whose lines are set by hand."""
    new = NewCustom(
        account_id=body.account_id,
        starts_at=utc(body.start_date),
        ends_at=utc(body.end_date),
        items=[_item(item) for item in body.line_items],
        status=body.status,
        auto_advance=bool(body.auto_advance),
        uses_credits=body.apply_credits is not False,
        uses_wallet=body.apply_wallet_balance is not False,
        to_group=body.owner_type == "INVOICE_GROUP",
    )

    async def make(db: Database) -> Response:
        async with db.transaction(call.caller.workspace) as connection:
            identifier = await custom.create_custom(connection, call.caller, new)
        return await _shown(msgspec.structs.replace(call, db=db), identifier, 201)

    return await answer_once_by_body(call, "createCustomInvoice", body.account_id, body.idempotency_key, body, make)


@door.operation(
    "DELETE",
    "/invoices/{invoice_id}",
    id="deleteCustomInvoice",
    tag=TAG,
    summary="Delete a custom invoice that is a draft",
    scope="write",
    answer=Success,
)
async def delete_custom_invoice(call: Call) -> Success:
    """Take a custom draft away."""
    async with call.db.transaction(call.caller.workspace) as connection:
        await custom.delete_custom(connection, call.caller, call.path["invoice_id"])
    return Success(success=True)


def _item(item: CustomInvoiceLineItem) -> Item:
    return Item(item.id, item.description, item.value_per_quantity, item.quantity, item.value, item.billable_id)


def _metadata(invoice: Invoice) -> dict[str, Any]:
    number = invoice.header.credit_note
    return {} if number is None else {"creditNote": sequence_id(number, CREDIT_SERIES)}


def _instant(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else _EPOCH + timedelta(milliseconds=milliseconds)


def _summary(invoice: Invoice) -> dict[str, Any]:
    header, document = invoice.header, invoice.document
    return {
        "id": header.id,
        "customer_id": document.customer.id,
        "owner_id": document.account.id,
        "price_plan_id": document.price_plan_id,
        "status": header.status,
        "finalizing_status": "FINALIZING" if header.content is None else "FINALIZED",
        "invoice_class": header.invoice_class,
        "invoice_type": header.type,
        "start_date": document.start_date,
        "end_date": document.end_date,
        "end_date_inclusive": document.end_date - _INSTANT,
        "invoice_date": document.invoice_date,
        "due_date": document.due_date,
        "updated_at": header.updated_at,
        "total_amount": number(document.total),
        "paid_amount": number(header.paid_amount),
        "net_term_days": document.net_term_days,
        "invoice_details": _details(document),
        "generated_at": header.issued_at,
        "sequence_id": document.sequence_id,
    }


def _details(document: Document) -> InvoiceDetails:
    organization = InvoiceDetailsOrganization(
        business_name=document.seller.business_name,
        address=document.seller.address,
        primary_email=document.seller.primary_email,
    )
    if document.invoice_group is not UNSET:
        group = InvoiceDetailsInvoiceGroup(
            id=document.invoice_group.id,
            name=document.account.name,
            email=document.account.primary_email,
            daily_invoice_consolidation=document.invoice_group.daily_invoice_consolidation,
            invoice_currency=document.currency,
            address=document.account.address,
        )
        return InvoiceDetails(organization=organization, invoice_group=group)
    return InvoiceDetails(
        customer=InvoiceDetailsCustomer(
            name=document.customer.name,
            primary_email=document.customer.primary_email,
            billing_address=document.customer.address.one_line(),
            address=document.customer.address,
        ),
        account=InvoiceDetailsAccount(
            name=document.account.name,
            invoice_currency=document.currency,
            address=document.account.address,
            primary_email=document.account.primary_email,
        ),
        organization=organization,
        price_plan_name=document.price_plan_name,
    )
