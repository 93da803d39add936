"""Purchases in the Togai dialect."""

from datetime import datetime
from decimal import Decimal

from bursar.http.door import Answer, Call
from bursar.http.encode import number
from bursar.http.togai.door import PageQuery, PaginationOptions, door, open_token, seal_token
from bursar.http.togai.overrides import about
from bursar.http.togai.plan_shapes import PricePlanDetails
from bursar.http.togai.purchase_shapes import (
    CreatePurchaseRequest,
    GetPurchaseResponse,
    PurchaseShape,
    WalletTopupDetails,
    feature_shape,
    new_purchase,
    override_field,
    plan_fields,
    purchase_fields,
    topup_shape,
)
from bursar.invoicing import ordered, ordering
from bursar.invoicing.ordered import Ordered

TAG = "Accounts"


class PurchaseListResponse(Answer, kw_only=True):
    """A purchase in a list."""

    id: str
    status: str
    type: str
    created_at: datetime
    updated_at: datetime
    price: Decimal
    invoice_currency: str
    price_plan_id: str | None = None
    price_plan_name: str | None = None
    price_plan_version: int | None = None
    quantity: int | None = None
    rate_card_quantities: dict[str, Decimal] | None = None
    idempotency_key: str | None = None
    purchase_plan: PricePlanDetails | None = None
    wallet_topup_details: WalletTopupDetails | None = None


class PurchasePaginatedListData(Answer, kw_only=True):
    """A page of purchases."""

    data: list[PurchaseListResponse]
    next_token: str | None
    context: PaginationOptions


@door.operation(
    "POST",
    "/accounts/{account_id}/purchases",
    id="initiateOneTimeEntitlementPlan",
    tag=TAG,
    summary="Initiate a purchase",
    scope="write",
    body=CreatePurchaseRequest,
    answer=PurchaseShape,
)
async def create_purchase(call: Call, body: CreatePurchaseRequest) -> PurchaseShape:
    """Buy something for an account."""
    workspace, account = call.caller.workspace, call.path["account_id"]
    async with call.db.transaction(workspace) as connection:
        new = await new_purchase(connection, workspace, account, body, None)
    with about(override_field(body)):
        made = await ordering.buy(call.db, call.caller, new)
    shown, _ = await ordered.get_purchase(call.db, call.caller, made)
    return PurchaseShape(**purchase_fields(shown))


@door.operation(
    "GET",
    "/accounts/{account_id}/purchases",
    id="listAccountPurchases",
    tag=TAG,
    summary="List the purchases of an account",
    query=PageQuery,
    answer=PurchasePaginatedListData,
)
async def list_purchases(call: Call, query: PageQuery) -> PurchasePaginatedListData:
    """List what an account has bought, newest first."""
    query, after, size = open_token(query)
    account = call.path["account_id"]
    page = await ordered.list_purchases(call.db, call.caller, account, after, size, proposed=False)
    return PurchasePaginatedListData(
        data=[_listed(one) for one in page.items],
        next_token=seal_token(query, page.after, size),
        context=PaginationOptions(page_size=size, sort_order="DESC"),
    )


@door.operation(
    "GET", "/purchases/{purchase_id}", id="getPurchase", tag=TAG, summary="Get a purchase", answer=GetPurchaseResponse
)
async def get_purchase(call: Call) -> GetPurchaseResponse:
    """Read a purchase, with its plan and what it has granted."""
    shown, granted = await ordered.get_purchase(call.db, call.caller, call.path["purchase_id"])
    return GetPurchaseResponse(
        **purchase_fields(shown),
        features=[feature_shape(one) for one in granted],
        purchase_plan=plan_fields(shown),
    )


def _listed(shown: Ordered) -> PurchaseListResponse:
    one, plan, goods = shown.purchase, shown.plan, shown.purchase.goods
    return PurchaseListResponse(
        id=one.id,
        status=one.shown,
        type=one.type,
        created_at=one.created_at,
        updated_at=one.updated_at,
        price=number(one.price),
        invoice_currency=one.currency,
        price_plan_id=None if plan is None else plan.id,
        price_plan_name=None if plan is None else plan.name,
        price_plan_version=None if plan is None else plan.version,
        quantity=goods.quantity,
        rate_card_quantities={name: number(times) for name, times in goods.quantities.items()} or None,
        idempotency_key=one.idempotency_key,
        purchase_plan=plan_fields(shown),
        wallet_topup_details=topup_shape(goods.topup),
    )
