"""The rules of purchases and proposals: what may be asked for, what it grants, how it moves on. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal

from bursar.catalog.definitions import PlanDetails
from bursar.catalog.plans import PlanChange, PlanVersion
from bursar.core import decimals
from bursar.core.durations import parse_duration
from bursar.core.errors import Invalid, WrongState
from bursar.core.period import Period, show_instant

Type = Literal["ENTITLEMENT_GRANT", "ASSOCIATION", "WALLET_TOPUP", "PREPAID"]
PaymentMode = Literal["PREPAID", "POSTPAID"]
"""Whether what is bought waits for its order to be paid. It has nothing to do with the type of that name."""
Status = Literal["PENDING", "SUCCESS", "FAILURE"]
Proposal = Literal["ACTIVE", "APPROVED", "DECLINED", "EXPIRED"]
Answer = Literal["APPROVE", "DECLINE"]

EXPIRED = "the order was not paid by its expiryDate"
QUANTITY_LIMIT = 2**31 - 1
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Topup:
    """Money for a wallet, in the account's currency."""

    amount: Decimal
    price: Decimal
    """What is paid for it."""


@dataclass(frozen=True, slots=True)
class Goods:
    """What is bought, and how often."""

    type: Type
    quantity: int | None = None
    """How many times all of it is bought; None: once."""
    quantities: Mapping[str, Decimal] = field(default_factory=dict)
    """How many times single billables are bought instead, by their wire ids."""
    effective_from: date | None = None
    effective_until: date | None = None
    topup: Topup | None = None

    def times(self, billable: str) -> Decimal:
        """How many times a billable is bought."""
        return self.quantities.get(billable, Decimal(self.quantity or 1))


@dataclass(frozen=True, slots=True)
class NewPurchase:
    """What is to be bought."""

    account_id: str
    goods: Goods
    price_plan_id: str | None = None
    override: PlanChange | None = None
    expires_at: datetime | None = None
    idempotency_key: str | None = None
    payment_mode: PaymentMode | None = None
    """None: what the settings of its account say."""


@dataclass(frozen=True, slots=True)
class Purchase:
    """A purchase or a proposal as it stands."""

    key: int
    id: str
    account: int
    account_id: str
    goods: Goods
    payment_mode: PaymentMode
    proposal: Proposal | None
    """None: it was bought without one."""
    status: Status | None
    """None: it is a proposal that has not been approved."""
    version: int | None
    """Internal key of the version of the plan, with what it says otherwise for this purchase."""
    price: Decimal
    currency: str
    idempotency_key: str | None
    comment: str | None
    schedule: int | None
    expires_at: datetime | None
    answered_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @property
    def shown(self) -> str:
        """Its status on the wire."""
        return self.status or f"PROPOSAL_{self.proposal}"

    @property
    def type(self) -> Type:
        """What kind of thing is bought."""
        return self.goods.type


@dataclass(frozen=True, slots=True)
class Granting:
    """Units of a feature that a purchase gives."""

    feature_id: str
    id: str
    """Of the grant, on the wire."""
    effective: Period
    units: Decimal


_FIELDS: Mapping[Type, frozenset[str]] = {
    "ENTITLEMENT_GRANT": frozenset({"pricePlanId", "quantity", "rateCardQuantities", "purchasePlanOverride"}),
    "ASSOCIATION": frozenset({"pricePlanId", "associationOverride", "effectiveFrom", "effectiveUntil"}),
    "WALLET_TOPUP": frozenset({"walletTopupDetails"}),
    "PREPAID": frozenset(
        {"pricePlanId", "rateCardQuantities", "walletTopupDetails", "effectiveFrom", "effectiveUntil"}
    ),
}
"""What a request for a purchase of each type may give beside what all of them may."""


def check_new(new: NewPurchase, now: datetime) -> None:
    """Raise `Invalid` for a purchase that cannot be, as far as that can be told without its plan."""
    goods, kind = new.goods, new.goods.type
    override = "purchasePlanOverride" if kind == "ENTITLEMENT_GRANT" else "associationOverride"
    given = {
        "pricePlanId": new.price_plan_id,
        "quantity": goods.quantity,
        "rateCardQuantities": goods.quantities or None,
        override: new.override,
        "walletTopupDetails": goods.topup,
        "effectiveFrom": goods.effective_from,
        "effectiveUntil": goods.effective_until,
    }
    for name, value in given.items():
        if value is not None and name not in _FIELDS[kind]:
            raise Invalid(name, f"must be left out of a purchase of type {kind}")
    if kind in ("ENTITLEMENT_GRANT", "ASSOCIATION") and new.price_plan_id is None:
        raise Invalid("pricePlanId", f"is required for a purchase of type {kind}")
    if kind == "PREPAID":
        _check_prepaid(new)
    if kind == "WALLET_TOPUP" and goods.topup is None:
        raise Invalid("walletTopupDetails", f"is required for a purchase of type {kind}")
    if goods.quantity is not None and not 1 <= goods.quantity <= QUANTITY_LIMIT:
        raise Invalid("quantity", f"must be 1 to {QUANTITY_LIMIT}")
    for billable, times in goods.quantities.items():
        if times <= 0 or not decimals.fits(times):
            raise Invalid(f"rateCardQuantities.{billable}", "must be above 0 and have at most 12 decimals")
    if new.expires_at is not None and new.expires_at <= now:
        raise Invalid("expiryDate", f"must lie in the future; it is {show_instant(now)}")


def _check_prepaid(new: NewPurchase) -> None:
    """Units at the price of a plan, or money for usage at whatever price."""
    goods = new.goods
    if (goods.topup is None) == (new.price_plan_id is None):
        rule = "a purchase of type PREPAID has either this, for units, or walletTopupDetails, for money"
        raise Invalid("pricePlanId", rule)
    if goods.topup is None and not goods.quantities:
        raise Invalid("rateCardQuantities", "must say how many units of which usage meters are paid ahead")
    if goods.topup is not None and goods.quantities:
        raise Invalid("rateCardQuantities", "must be left out where money is paid ahead")
    if goods.topup is not None and goods.topup.amount != goods.topup.price:
        raise Invalid("walletTopupDetails.purchaseAmount", "must be what is paid ahead, or left out")


def check_topup(topup: Topup, exponent: int, currency: str) -> None:
    """Raise `Invalid` for amounts that are finer than their currency, or below what they may be."""
    for name, amount, least in (("topupAmount", topup.amount, True), ("purchaseAmount", topup.price, False)):
        path = f"walletTopupDetails.{name}"
        if amount < 0 or (least and not amount):
            raise Invalid(path, f"must {'be above 0' if least else 'not be negative'}")
        if not decimals.fits(amount) or amount != decimals.round_line(amount, exponent):
            raise Invalid(path, f"must have at most {exponent} decimals, as {currency} has")


def check_plan(plan: PlanVersion, kind: str, currency: str) -> None:
    """Raise `WrongState` or `Invalid` for a plan that cannot be bought so."""
    if plan.status != "ACTIVE":
        raise WrongState(f"pricePlanId: price plan {plan.id!r} is {plan.status}; only an ACTIVE one can be bought")
    if plan.type != kind:
        raise Invalid("pricePlanId", f"price plan {plan.id!r} is a {plan.type} plan; this takes a {kind} one")
    if currency not in plan.active_currencies:
        raise Invalid("pricePlanId", f"price plan {plan.id!r} is not active in {currency}, the account's currency")


def check_quantities(quantities: Mapping[str, Decimal], details: PlanDetails) -> None:
    """Raise `Invalid` for quantities of what the plan does not have."""
    known = {card.meter_id for card in details.usage}
    if details.cycle is None:
        known = {fee.add_on_id for fee in details.fees} | {card.feature_id for card in details.entitlements}
        known |= {card.add_on_id for card in details.credits}
    for billable in quantities:
        if billable not in known:
            raise Invalid(f"rateCardQuantities.{billable}", "is not a billable of the price plan")


def grants_of(purchase: Purchase, details: PlanDetails, now: datetime, zone: str) -> list[Granting]:
    """What a purchase gives at an instant, by the calendar of a zone; units have at most 12 decimals, half-even.

    Each part of each entitlement is a grant, numbered in the order of the plan.
    """
    found: list[Granting] = []
    for card in details.entitlements:
        for config in card.configs:
            start = parse_duration(config.start).after(now, zone)
            # A month may be shorter than the days that the other end is given in.
            end = max(parse_duration(config.end).after(now, zone), start + _INSTANT)
            units = decimals.to_scale(config.limit * purchase.goods.times(card.feature_id))
            found.append(Granting(card.feature_id, f"{purchase.id}#{len(found)}$PURCHASE", Period(start, end), units))
    return found


def check_grants(goods: Goods, details: PlanDetails) -> None:
    """Raise `Invalid` for more units than a grant can hold."""
    for card in details.entitlements:
        for config in card.configs:
            if not decimals.fits(decimals.to_scale(config.limit * goods.times(card.feature_id))):
                raise Invalid("quantity", f"grants more units of feature {card.feature_id!r} than can be held")
    for credit in details.credits:
        if not all(decimals.fits(terms.amount * goods.times(credit.add_on_id)) for terms in credit.rates):
            raise Invalid("quantity", f"grants more credits of {credit.add_on_id!r} than can be held")


def is_past(purchase: Purchase, now: datetime) -> bool:
    """Whether its time has run out: a proposal without an answer, or an order without payment."""
    waiting = purchase.status == "PENDING" or purchase.proposal == "ACTIVE"
    return waiting and purchase.expires_at is not None and purchase.expires_at <= now


def answered(purchase: Purchase, answer: Answer, now: datetime) -> Proposal | None:
    """What a proposal becomes; None where it is that already. Raises `WrongState` where it cannot be answered so."""
    wanted: Proposal = "APPROVED" if answer == "APPROVE" else "DECLINED"
    if purchase.proposal == wanted:
        return None
    if purchase.proposal != "ACTIVE":
        raise WrongState(f"proposal {purchase.id!r} is {purchase.shown} and cannot become PROPOSAL_{wanted}")
    if is_past(purchase, now):
        assert purchase.expires_at is not None
        raise WrongState(f"proposal {purchase.id!r} is PROPOSAL_EXPIRED since {show_instant(purchase.expires_at)}")
    return wanted
