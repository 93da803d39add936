"""Credits in the Togai dialect."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from msgspec import Meta

from bursar.core.errors import Invalid
from bursar.http.door import Answer, Body, Call
from bursar.http.encode import number
from bursar.http.togai.door import MixedPageQuery, door, open_token, seal_token
from bursar.invoicing import holds
from bursar.invoicing.holds import HeldCredit
from bursar.ledger import credit_service
from bursar.ledger.credit_service import NewCredit
from bursar.ledger.credit_store import Entry

TAG = "Credits"
PAGE = 50

CreditStatus = Literal["ACTIVE", "CONSUMED", "EXPIRED", "VOIDED"]
Priority = Annotated[int, Meta(ge=0, le=2**31 - 1)]
EntityId = Annotated[str, Meta(min_length=1, max_length=255)]


class CreditRequest(Body, kw_only=True):
    """A credit to grant."""

    account_id: Annotated[str, Meta(max_length=50)]
    purpose: Annotated[str, Meta(min_length=1, max_length=credit_service.PURPOSE_LIMIT)]
    effective_from: date
    priority: Priority
    credit_amount: Decimal | None = None
    applicable_entity_ids: Annotated[list[EntityId], Meta(max_length=50)] | None = None
    effective_until: date | None = None
    grantor_id: Annotated[str, Meta(max_length=255)] | None = None
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=255)] | None = None


class CreateCreditRequest(Body, kw_only=True):
    """Credits to grant, all or none."""

    credit_requests: Annotated[list[CreditRequest], Meta(min_length=1, max_length=PAGE)]


class CreditsQuery(MixedPageQuery, kw_only=True, rename=None):
    """Which credits to list."""

    pageSize: Annotated[int, Meta(ge=1, le=PAGE)] | None = None  # noqa: N815 - as the wire has it
    status: CreditStatus | None = None
    account_id: Annotated[str, Meta(max_length=50)] | None = None
    id: Annotated[str, Meta(max_length=50)] | None = None


class CreditShape(Answer, kw_only=True):
    """A credit."""

    id: str
    account_id: str
    customer_id: str
    purpose: str
    applicable_entity_ids: list[str]
    effective_from: date
    credit_amount: Decimal
    priority: int
    status: str
    credit_unit: str
    hold_amount: Decimal
    consumed_amount: Decimal
    created_at: datetime
    updated_at: datetime
    effective_until: date | None = None
    grantor_id: str | None = None
    idempotency_key: str | None = None


class CreditTransaction(Answer, kw_only=True):
    """What came over a credit."""

    id: str
    credit_id: str
    transaction_type: str
    amount: Decimal
    created_at: datetime
    invoice_id: str | None = None


class CreditDetailsResponse(CreditShape, kw_only=True):
    """A credit with what came over it, oldest first."""

    transactions: list[CreditTransaction]


class CreateCreditResponse(Answer, kw_only=True):
    """The credits in the order in which they were asked for."""

    credits: list[CreditShape]


class ListCreditsResponse(Answer, kw_only=True):
    """A page of credits."""

    data: list[CreditShape]
    next_token: str | None


class CreditBalanceResponse(Answer, kw_only=True):
    """What an account has in credits that are in force."""

    active_credits: Decimal
    available_balance: Decimal
    running_balance: Decimal
    inapplicable_credits: Decimal
    unit: str
    last_updated_at: datetime


@door.operation(
    "POST", "/credits", id="createCredit", tag=TAG, summary="Grant credits", scope="write", body=CreateCreditRequest,
    answer=CreateCreditResponse,
)  # fmt: skip
async def create_credit(call: Call, body: CreateCreditRequest) -> CreateCreditResponse:
    """Grant credits."""
    wanted = [_new(request, f"creditRequests[{place}].") for place, request in enumerate(body.credit_requests)]
    async with call.db.transaction(call.caller.workspace) as connection:
        granted = await credit_service.grant_all(connection, call.caller, wanted)
    shown = await holds.list_held(call.db, call.caller, [credit.key for credit in granted])
    return CreateCreditResponse(credits=[CreditShape(**_fields(one, call.caller.now)) for one in shown])


@door.operation(
    "GET", "/credits", id="listCredits", tag=TAG, summary="List credits", query=CreditsQuery,
    answer=ListCreditsResponse,
)  # fmt: skip
async def list_credits(call: Call, query: CreditsQuery) -> ListCreditsResponse:
    """List credits, newest first."""
    query, after, size = open_token(query, default=PAGE)
    page = await holds.list_credits(
        call.db, call.caller, after, size, account_id=query.account_id, identifier=query.id, status=query.status
    )
    return ListCreditsResponse(
        data=[CreditShape(**_fields(one, call.caller.now)) for one in page.items],
        next_token=seal_token(query, page.after, size),
    )


@door.operation(
    "GET", "/credits/{credit_id}", id="getCreditDetails", tag=TAG, summary="Get a credit",
    answer=CreditDetailsResponse,
)  # fmt: skip
async def get_credit_details(call: Call) -> CreditDetailsResponse:
    """Read a credit with its transactions."""
    found, entries = await holds.get_credit(call.db, call.caller, call.path["credit_id"])
    return CreditDetailsResponse(
        **_fields(found, call.caller.now), transactions=[_entry(found.credit.id, entry) for entry in entries]
    )


@door.operation(
    "POST", "/credits/{credit_id}/void", id="voidCredit", tag=TAG, summary="Void a credit", scope="write",
    answer=CreditShape,
)  # fmt: skip
async def void_credit(call: Call) -> CreditShape:
    """Take back what is left of a credit."""
    async with call.db.transaction(call.caller.workspace) as connection:
        voided = await credit_service.void_credit(connection, call.caller, call.path["credit_id"])
    return CreditShape(**_fields(HeldCredit(voided, Decimal(0)), call.caller.now))


@door.operation(
    "GET", "/accounts/{account_id}/credit_balance", id="CreditBalanceForAccount", tag=TAG,
    summary="Get the balance of an account's credits", answer=CreditBalanceResponse,
)  # fmt: skip
async def credit_balance_for_account(call: Call) -> CreditBalanceResponse:
    """Read what an account has in credits now."""
    balance = await holds.credit_balance(call.db, call.caller, call.path["account_id"])
    return CreditBalanceResponse(
        active_credits=number(balance.active),
        available_balance=number(balance.available),
        running_balance=number(balance.running),
        inapplicable_credits=number(balance.inapplicable),
        unit=balance.currency,
        last_updated_at=balance.updated_at,
    )


def _new(request: CreditRequest, field: str) -> NewCredit:
    if request.credit_amount is None:
        raise Invalid(f"{field}creditAmount", "is required: there is no credit without limit")
    return NewCredit(
        account_id=request.account_id,
        purpose=request.purpose,
        amount=request.credit_amount,
        effective_from=request.effective_from,
        effective_until=request.effective_until,
        priority=request.priority,
        entities=tuple(dict.fromkeys(request.applicable_entity_ids or ())),
        grantor_id=request.grantor_id,
        idempotency_key=request.idempotency_key,
        field=field,
    )


def _fields(held: HeldCredit, now: datetime) -> dict[str, Any]:
    credit = held.credit
    return {
        "id": credit.id,
        "account_id": credit.account_id,
        "customer_id": credit.customer_id,
        "purpose": credit.purpose,
        "applicable_entity_ids": list(credit.entities),
        "effective_from": credit.effective_from,
        "effective_until": credit.effective_until,
        "credit_amount": number(credit.granted),
        "priority": credit.priority,
        "grantor_id": credit.grantor_id,
        "idempotency_key": credit.idempotency_key,
        "status": credit.status(now),
        "credit_unit": credit.currency,
        "hold_amount": number(held.held),
        "consumed_amount": number(credit.consumed),
        "created_at": credit.created_at,
        "updated_at": credit.updated_at,
    }


def _entry(credit: str, entry: Entry) -> CreditTransaction:
    return CreditTransaction(
        id=entry.id,
        credit_id=credit,
        transaction_type=entry.kind,
        amount=number(entry.amount),
        created_at=entry.recorded_at,
        invoice_id=entry.invoice_id,
    )
