"""The rules of cards that grant credits. Pure; errors name the field on the wire."""

from collections.abc import Sequence
from datetime import UTC, datetime

from bursar.catalog.card_rules import check_currencies, check_new, check_slab_details
from bursar.catalog.definitions import CreditGrantCard, PlanDetails
from bursar.core import decimals
from bursar.core.durations import parse_duration
from bursar.core.errors import Invalid

RECURRENCE_LIMIT = 10_000

_SOME_DAY = datetime(2001, 1, 1, tzinfo=UTC)
_DETAILS = "rateDetails.currencySlabRateDetails"


def check_credits(plan: PlanDetails, kind: str, names: Sequence[str], path: str) -> None:
    """Raise `Invalid` for credits that a plan could not grant; `names` are those of its other cards."""
    cards, field = plan.credits, f"{path}.creditGrantRateCards"
    if plan.deferred_revenue and cards:
        raise Invalid(field, "cannot be on a plan with deferredRevenue")
    for index, card in enumerate(cards):
        place = f"{field}[{index}]"
        before = [(other.add_on_id, other.name) for other in cards[:index]]
        check_new((card.add_on_id, card.name), before, names, place, "id")
        _check_expiry(card, f"{place}.grantDetails")
        _check_terms(card, plan.currencies, f"{place}.{_DETAILS}")
        if kind == "PURCHASE":
            _check_once(card, place)
        else:
            _check_recurrence(card, place)


def _check_expiry(card: CreditGrantCard, path: str) -> None:
    if card.expiry != "CUSTOM":
        if card.duration is not None:
            raise Invalid(f"{path}.expiryDuration", "is for the expiryType CUSTOM alone")
        return
    if card.duration is None:
        raise Invalid(f"{path}.expiryDuration", "is required for the expiryType CUSTOM")
    try:
        lasts = parse_duration(card.duration).after(_SOME_DAY, "UTC") > _SOME_DAY
    except ValueError:
        lasts = False
    if not lasts:
        raise Invalid(f"{path}.expiryDuration", "must be an ISO 8601 duration above zero, as P20D or P1Y")


def _check_terms(card: CreditGrantCard, currencies: Sequence[str], path: str) -> None:
    check_currencies([terms.currency for terms in card.rates], currencies, path)
    for index, terms in enumerate(card.rates):
        if terms.amount < 0 or not decimals.fits(terms.amount):
            raise Invalid(f"{path}[{index}].creditAmount", "must not be negative, and below 10^26")
        check_slab_details(terms.slabs, terms.prices, f"{path}[{index}]")


def _check_once(card: CreditGrantCard, path: str) -> None:
    if card.recurring:
        raise Invalid(f"{path}.type", "must be ONE_TIME on a PURCHASE plan")
    if (card.interval, card.offset) != (1, 0):
        raise Invalid(f"{path}.recurrenceConfig", "must be left out of a PURCHASE plan")
    if card.expiry == "PRICING_CYCLE":
        raise Invalid(f"{path}.grantDetails.expiryType", "must be NO_EXPIRY or CUSTOM: a PURCHASE plan has no cycles")


def _check_recurrence(card: CreditGrantCard, path: str) -> None:
    if card.timing == "PREPAID":
        raise Invalid(f"{path}.invoiceTiming", "must be IN_ADVANCE or IN_ARREARS on a BILLING plan")
    if not 1 <= card.interval <= RECURRENCE_LIMIT:
        raise Invalid(f"{path}.recurrenceConfig.interval", f"must be 1 to {RECURRENCE_LIMIT} cycles")
    if card.recurring is False and card.interval != 1:
        raise Invalid(f"{path}.recurrenceConfig.interval", "must be left out of ONE_TIME credits")
    if not 0 <= card.offset <= RECURRENCE_LIMIT:
        raise Invalid(f"{path}.recurrenceConfig.offset", f"must be 0 to {RECURRENCE_LIMIT} cycles")
