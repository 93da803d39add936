"""How the Togai dialect writes purchases and proposals, and their translation to and from the core."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from msgspec import Meta

from bursar.core.errors import Invalid
from bursar.db.database import Connection
from bursar.http.door import Answer, Body
from bursar.http.encode import number
from bursar.http.togai.credit_shapes import CreditGrantRateCard
from bursar.http.togai.entitlement_shapes import BillingEntitlementRateCard
from bursar.http.togai.fee_shapes import FixedFeeRateCard
from bursar.http.togai.overrides import PricePlanDetailsOverride, override_of, override_shape
from bursar.http.togai.plan_shapes import CreatePricePlanDetailsOverride, PricePlanDetails, details_shape
from bursar.http.togai.shapes import instant_of
from bursar.invoicing.ordered import Granted, Ordered
from bursar.purchases.order_model import Goods, NewPurchase, PaymentMode, Topup

PurchaseType = Literal["ENTITLEMENT_GRANT", "ASSOCIATION", "WALLET_TOPUP", "PREPAID"]
Identifier = Annotated[str, Meta(min_length=1, max_length=50)]


class WalletTopupDetails(Body, kw_only=True, omit_defaults=True):
    """Money for a wallet, and what is paid for it."""

    topup_amount: Decimal
    purchase_amount: Decimal | None = None


class PurchasePlanOverride(Body, kw_only=True):
    """What a PURCHASE plan says otherwise for a purchase."""

    fixed_fee_rate_cards: Annotated[list[FixedFeeRateCard], Meta(max_length=50)] | None = None
    billing_entitlement_rate_cards: Annotated[list[BillingEntitlementRateCard], Meta(max_length=50)] | None = None
    credit_grant_rate_cards: Annotated[list[CreditGrantRateCard], Meta(max_length=50)] | None = None


class CreatePurchaseRequest(Body, kw_only=True):
    """What to buy."""

    price_plan_id: Identifier | None = None
    quantity: int | None = None
    rate_card_quantities: Annotated[dict[Identifier, Decimal], Meta(max_length=200)] | None = None
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    purchase_plan_override: PurchasePlanOverride | None = None
    association_override: CreatePricePlanDetailsOverride | None = None
    wallet_topup_details: WalletTopupDetails | None = None
    effective_from: date | None = None
    effective_until: date | None = None
    expiry_date: datetime | None = None
    type: PurchaseType | None = None


class CreateProposalRequest(CreatePurchaseRequest, kw_only=True):
    """What to propose, and how it is to be paid."""

    type: PurchaseType
    payment_mode: Literal["PREPAID", "POSTPAID"]


class PurchaseShape(Answer, kw_only=True):
    """A purchase."""

    id: str
    account_id: str
    status: str
    type: str
    created_at: datetime
    updated_at: datetime
    price: Decimal
    invoice_currency: str
    price_plan_id: str | None = None
    price_plan_version: int | None = None
    quantity: int | None = None
    rate_card_quantities: dict[str, Decimal] | None = None
    idempotency_key: str | None = None
    purchase_plan_override: PricePlanDetailsOverride | None = None
    association_override: PricePlanDetailsOverride | None = None
    wallet_topup_details: WalletTopupDetails | None = None
    effective_from: date | None = None
    effective_until: date | None = None
    expiry_date: datetime | None = None
    invoice_id: str | None = None
    comment: str | None = None


class PurchaseFeatureDetails(Answer, kw_only=True):
    """Units of a feature that a purchase gave."""

    id: str
    name: str
    credits_granted: Decimal
    credits_available: Decimal
    updated_at: datetime
    effective_from: datetime
    effective_until: datetime


class GetPurchaseResponse(PurchaseShape, kw_only=True):
    """A purchase with its plan and what it gave."""

    features: list[PurchaseFeatureDetails]
    purchase_plan: PricePlanDetails | None = None


class ProposalShape(PurchaseShape, kw_only=True):
    """A proposal."""

    payment_mode: str
    proposal_response_date: datetime | None = None


class GetProposalResponse(ProposalShape, kw_only=True):
    """A proposal with its plan."""

    purchase_plan: PricePlanDetails | None = None


async def new_purchase(
    connection: Connection, workspace: int, account_id: str, body: CreatePurchaseRequest, mode: PaymentMode | None
) -> NewPurchase:
    """The purchase that a body asks for."""
    topup = body.wallet_topup_details
    goods = Goods(
        type=body.type or "ENTITLEMENT_GRANT",
        quantity=body.quantity,
        quantities=body.rate_card_quantities or {},
        effective_from=body.effective_from,
        effective_until=body.effective_until,
        topup=None
        if topup is None
        else Topup(topup.topup_amount, topup.topup_amount if topup.purchase_amount is None else topup.purchase_amount),
    )
    override = None
    for name, wanted, given in (
        ("purchasePlanOverride", "ENTITLEMENT_GRANT", _of_purchase(body.purchase_plan_override)),
        ("associationOverride", "ASSOCIATION", body.association_override),
    ):
        if given is not None and goods.type != wanted:
            raise Invalid(name, f"must be left out of a purchase of type {goods.type}")
        if given is not None:
            override = await override_of(connection, workspace, given, None, name)
    return NewPurchase(
        account_id=account_id,
        goods=goods,
        price_plan_id=body.price_plan_id,
        override=override,
        expires_at=instant_of(body.expiry_date),
        idempotency_key=body.idempotency_key,
        payment_mode=mode,
    )


def override_field(body: CreatePurchaseRequest) -> str:
    """Where a body says what its plan says otherwise."""
    return "associationOverride" if body.type == "ASSOCIATION" else "purchasePlanOverride"


def purchase_fields(ordered: Ordered) -> dict[str, Any]:
    """The fields of a purchase as the wire shows it."""
    one, plan, goods = ordered.purchase, ordered.plan, ordered.purchase.goods
    override = None if plan is None else override_shape(plan.override)
    association = one.type == "ASSOCIATION"
    return {
        "id": one.id,
        "account_id": one.account_id,
        "status": one.shown,
        "type": one.type,
        "created_at": one.created_at,
        "updated_at": one.updated_at,
        "price": number(one.price),
        "invoice_currency": one.currency,
        "price_plan_id": None if plan is None else plan.id,
        "price_plan_version": None if plan is None else plan.version,
        "quantity": goods.quantity,
        "rate_card_quantities": {name: number(times) for name, times in goods.quantities.items()} or None,
        "idempotency_key": one.idempotency_key,
        "purchase_plan_override": None if association else override,
        "association_override": override if association else None,
        "wallet_topup_details": topup_shape(goods.topup),
        "effective_from": goods.effective_from,
        "effective_until": goods.effective_until,
        "expiry_date": one.expires_at,
        "invoice_id": ordered.invoice_id,
        "comment": one.comment,
    }


def proposal_fields(ordered: Ordered) -> dict[str, Any]:
    """The fields of a proposal as the wire shows it: its answer rather than what became of the purchase."""
    one = ordered.purchase
    return purchase_fields(ordered) | {
        "status": f"PROPOSAL_{one.proposal}",
        "payment_mode": one.payment_mode,
        "proposal_response_date": one.answered_at,
    }


def plan_fields(ordered: Ordered) -> PricePlanDetails | None:
    """What the plan of a purchase says, with what holds otherwise for it."""
    plan = ordered.plan
    return None if plan is None else details_shape(plan.details, plan.type, plan.active_currencies)


def feature_shape(granted: Granted) -> PurchaseFeatureDetails:
    """Units that a purchase gave, as the wire shows them."""
    grant = granted.grant
    return PurchaseFeatureDetails(
        id=granted.feature_id,
        name=granted.name,
        credits_granted=number(grant.granted or Decimal(0)),
        credits_available=number(grant.left or Decimal(0)),
        updated_at=granted.made_at,
        effective_from=grant.effective.start,
        effective_until=grant.effective.end,
    )


def topup_shape(topup: Topup | None) -> WalletTopupDetails | None:
    """A top-up as the wire shows it."""
    if topup is None:
        return None
    return WalletTopupDetails(topup_amount=number(topup.amount), purchase_amount=number(topup.price))


def _of_purchase(override: PurchasePlanOverride | None) -> CreatePricePlanDetailsOverride | None:
    if override is None:
        return None
    return CreatePricePlanDetailsOverride(
        fixed_fee_rate_cards=override.fixed_fee_rate_cards,
        billing_entitlement_rate_cards=override.billing_entitlement_rate_cards,
        credit_grant_rate_cards=override.credit_grant_rate_cards,
    )
