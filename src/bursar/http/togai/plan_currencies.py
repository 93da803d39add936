"""Currencies of price plans in the Togai dialect."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any

from msgspec import Meta

from bursar.catalog import plan_currencies
from bursar.catalog.definitions import CardRates
from bursar.catalog.plan_currencies import NewCurrency
from bursar.core.errors import Invalid
from bursar.http.door import Body, Call
from bursar.http.togai.door import door
from bursar.http.togai.fee_shapes import CurrencyText
from bursar.http.togai.price_plans import TAG, PricePlanShape, plan_shape
from bursar.http.togai.slab_shapes import Config, SlabRateShape, card_rates_of

Identifier = Annotated[str, Meta(min_length=1, max_length=50)]


class UsageRate(Body, kw_only=True):
    """The prices of a meter's rate card."""

    usage_meter_id: Identifier
    slab_rates: Annotated[list[SlabRateShape], Meta(min_length=1, max_length=100)]
    rate_config: Config | None = None


class CardRate(Body, kw_only=True):
    """The prices of a rate card with slabs of an add-on or a feature."""

    id: Identifier
    slab_rates: Annotated[list[SlabRateShape], Meta(min_length=1, max_length=100)]
    rate_config: Config | None = None


class FixedFeeRate(Body, kw_only=True):
    """A fixed fee."""

    id: Identifier
    rate: Decimal


class AddCurrencyToPricePlanRequest(Body, kw_only=True):
    """What a plan costs in one more currency."""

    currency: CurrencyText
    usage_rates: Annotated[list[UsageRate], Meta(max_length=100)] | None = None
    fixed_fee_rates: Annotated[list[FixedFeeRate], Meta(max_length=100)] | None = None
    minimum_commitment_rate: Decimal | None = None
    license_rates: Annotated[list[CardRate], Meta(max_length=100)] | None = None
    billing_entitlement_rates: Annotated[list[CardRate], Meta(max_length=100)] | None = None
    credit_grant_rates: list[Any] | None = None
    entitlement_overage_rates: list[Any] | None = None


@door.operation(
    "POST",
    "/price_plans/{price_plan_id}/currencies",
    id="addCurrencyToPricePlan",
    tag=TAG,
    summary="Add a currency to a price plan",
    scope="write",
    body=AddCurrencyToPricePlanRequest,
    answer=PricePlanShape,
)
async def add_currency(call: Call, body: AddCurrencyToPricePlanRequest) -> PricePlanShape:
    """Say what a plan costs in one more currency."""
    for field, value in (
        ("creditGrantRates", body.credit_grant_rates),
        ("entitlementOverageRates", body.entitlement_overage_rates),
    ):
        if value:
            raise Invalid(field, "the plan has no such rate cards")
    currency = body.currency
    new = NewCurrency(
        currency=currency,
        usage=_slab_rates(currency, body.usage_rates, "usageRates"),
        fees=_fees(body),
        commitment=body.minimum_commitment_rate,
        licenses=_slab_rates(currency, body.license_rates, "licenseRates"),
        entitlements=_slab_rates(currency, body.billing_entitlement_rates, "billingEntitlementRates"),
    )
    async with call.db.transaction(call.caller.workspace) as connection:
        identifier = call.path["price_plan_id"]
        return plan_shape(await plan_currencies.add_currency(connection, call.caller, identifier, new))


@door.operation(
    "DELETE",
    "/price_plans/{price_plan_id}/currencies/{currency_id}",
    id="removeCurrencyFromPricePlan",
    tag=TAG,
    summary="Remove a draft currency from a price plan",
    scope="write",
    answer=PricePlanShape,
)
async def remove_currency(call: Call) -> PricePlanShape:
    """Take away a currency that is not active."""
    async with call.db.transaction(call.caller.workspace) as connection:
        identifier, currency = call.path["price_plan_id"], call.path["currency_id"]
        return plan_shape(await plan_currencies.remove_currency(connection, call.caller, identifier, currency))


def _slab_rates(currency: str, given: Sequence[UsageRate | CardRate] | None, field: str) -> dict[str, CardRates]:
    """Prices by the id of what they are of."""
    found: dict[str, CardRates] = {}
    for index, rate in enumerate(given or ()):
        place = f"{field}[{index}]"
        name, identifier = ("usageMeterId", rate.usage_meter_id) if isinstance(rate, UsageRate) else ("id", rate.id)
        if identifier in found:
            raise Invalid(f"{place}.{name}", f"{identifier!r} is given twice")
        found[identifier] = card_rates_of(currency, rate.slab_rates, rate.rate_config, place)
    return found


def _fees(body: AddCurrencyToPricePlanRequest) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for index, rate in enumerate(body.fixed_fee_rates or ()):
        if rate.id in found:
            raise Invalid(f"fixedFeeRates[{index}].id", f"{rate.id!r} is given twice")
        found[rate.id] = rate.rate
    return found
