"""Payments in the Togai dialect."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from msgspec import Meta

from bursar.core.errors import NotFound
from bursar.http.door import Answer, Body, Call, Query
from bursar.http.encode import number
from bursar.http.togai.door import MixedPageQuery, door, open_token, seal_token
from bursar.invoicing import remittances
from bursar.invoicing.remittance_model import WantedLine
from bursar.invoicing.remittances import NewRemittance, Reference, Remittance

TAG = "Payments"
PAGE = 50
VERSION = 1
"""Of every payment: they never change."""

SourceType = Literal["GATEWAY", "CASH", "CHEQUE", "BANK_TRANSFER", "CARD"]
TargetType = Literal["INVOICE", "CREDIT", "WALLET_CREDIT"]
MetadataKey = Annotated[str, Meta(min_length=1, max_length=100)]
LongText = Annotated[str, Meta(max_length=512)]


class ExternalPaymentReference(Body, kw_only=True):
    """How a payment is known where it was made."""

    source_name: Annotated[str, Meta(max_length=255)]
    source_type: SourceType
    transaction_number: Annotated[str, Meta(max_length=255)]
    description: LongText | None = None
    metadata: Annotated[dict[Annotated[str, Meta(min_length=1, max_length=100)], Any], Meta(max_length=50)] | None = (
        None
    )


class PaymentLineItemRecord(Body, kw_only=True):
    """What some of a payment is for."""

    type: TargetType
    order: int
    togai_id: Annotated[str, Meta(max_length=50)] | None = None
    amount: Decimal | None = None


class CreatePaymentRequest(Body, kw_only=True):
    """A payment that was made."""

    account_id: LongText
    currency: Annotated[str, Meta(max_length=512)]
    total_amount: Decimal
    external_payment_reference: ExternalPaymentReference
    line_item_records: Annotated[list[PaymentLineItemRecord], Meta(max_length=PAGE)]
    description: LongText | None = None
    notes: LongText | None = None


class PaymentsQuery(MixedPageQuery, kw_only=True, rename=None):
    """How to cut the list."""

    pageSize: Annotated[int, Meta(ge=1, le=PAGE)] | None = None  # noqa: N815 - as the wire has it


class PaymentQuery(Query, kw_only=True):
    """Which version of a payment."""

    version: int | None = None


class PaymentReferenceShape(Answer, kw_only=True):
    """How a payment is known where it was made."""

    source_name: str
    source_type: str
    transaction_number: str
    description: str | None = None
    metadata: dict[str, Any] | None = None


class PaymentLineShape(Answer, kw_only=True):
    """What some of a payment was for."""

    type: str
    togai_id: str
    amount: Decimal
    order: int


class PaymentShape(Answer, kw_only=True):
    """A payment."""

    id: str
    account_id: str
    external_payment_references: PaymentReferenceShape
    line_item_records: list[PaymentLineShape]
    total_amount: Decimal
    currency: str
    version: int
    created_by: str
    created_at: datetime
    description: str | None = None
    notes: str | None = None


class ListPaymentResponse(Answer, kw_only=True):
    """A page of payments."""

    data: list[PaymentShape]
    next_token: str | None


@door.operation(
    "POST", "/payments", id="createPayments", tag=TAG, summary="Record a payment", status=201, scope="write",
    body=CreatePaymentRequest, answer=PaymentShape,
)  # fmt: skip
async def create_payments(call: Call, body: CreatePaymentRequest) -> PaymentShape:
    """Record a payment and post it to what it is for."""
    sent = body.external_payment_reference
    new = NewRemittance(
        account_id=body.account_id,
        currency=body.currency,
        amount=body.total_amount,
        reference=Reference(
            sent.source_name, sent.source_type, sent.transaction_number, sent.description, sent.metadata
        ),
        lines=[
            WantedLine(line.order, line.type, line.togai_id, line.amount, f"lineItemRecords[{place}].")
            for place, line in enumerate(body.line_item_records)
        ],
        description=body.description,
        notes=body.notes,
    )
    async with call.db.transaction(call.caller.workspace) as connection:
        return _shape(await remittances.receive(connection, call.caller, new))


@door.operation(
    "GET", "/payments", id="listPayments", tag=TAG, summary="List payments", query=PaymentsQuery,
    answer=ListPaymentResponse,
)  # fmt: skip
async def list_payments(call: Call, query: PaymentsQuery) -> ListPaymentResponse:
    """List payments, newest first."""
    query, after, size = open_token(query, default=PAGE)
    async with call.db.reading(call.caller.workspace) as connection:
        page = await remittances.list_remittances(connection, call.caller.workspace, after, size)
    return ListPaymentResponse(data=[_shape(one) for one in page.items], next_token=seal_token(query, page.after, size))


@door.operation(
    "GET", "/payments/{payment_id}", id="getPayment", tag=TAG, summary="Get a payment", query=PaymentQuery,
    answer=PaymentShape,
)  # fmt: skip
async def get_payment(call: Call, query: PaymentQuery) -> PaymentShape:
    """Read a payment; it has one version."""
    async with call.db.reading(call.caller.workspace) as connection:
        found = await remittances.get_remittance(connection, call.caller.workspace, call.path["payment_id"])
    if query.version not in (None, VERSION):
        raise NotFound(f"version of payment {found.id!r}", str(query.version))
    return _shape(found)


def _shape(one: Remittance) -> PaymentShape:
    reference = one.reference
    return PaymentShape(
        id=one.id,
        account_id=one.account_id,
        external_payment_references=PaymentReferenceShape(
            source_name=reference.source_name,
            source_type=reference.source_type,
            transaction_number=reference.transaction_number,
            description=reference.description,
            metadata=reference.metadata,
        ),
        line_item_records=[
            PaymentLineShape(type=line.type, togai_id=line.id, amount=number(line.amount), order=line.place)
            for line in one.lines
        ],
        total_amount=number(one.amount),
        currency=one.currency,
        version=VERSION,
        created_by=one.created_by,
        created_at=one.created_at,
        description=one.description,
        notes=one.notes,
    )
