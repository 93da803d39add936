"""How the Togai dialect writes what a plan says otherwise for one account."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from bursar.catalog.definitions import PlanDetails, PricingRule
from bursar.catalog.plans import PlanChange
from bursar.core.errors import Invalid
from bursar.db.database import Connection
from bursar.http.door import Answer
from bursar.http.togai.entitlement_shapes import BillingEntitlementRateCard
from bursar.http.togai.fee_shapes import FixedFeeRateCard
from bursar.http.togai.license_shapes import LicenseRateCard
from bursar.http.togai.plan_references import known_to
from bursar.http.togai.plan_shapes import (
    PATH,
    CreatePricePlanDetailsOverride,
    MinimumCommitment,
    PricingCycleConfig,
    UsageRateCard,
    change_of,
    details_shape,
)

FIELD = "pricePlanDetailsOverride"


class PricePlanDetailsOverride(Answer, kw_only=True):
    """The parts of a plan that an account has of its own."""

    supported_currencies: list[str] | None = None
    pricing_cycle_config: PricingCycleConfig | None = None
    usage_rate_cards: list[UsageRateCard] | None = None
    fixed_fee_rate_cards: list[FixedFeeRateCard] | None = None
    minimum_commitment: MinimumCommitment | None = None
    billing_entitlement_rate_cards: list[BillingEntitlementRateCard] | None = None
    license_rate_cards: list[LicenseRateCard] | None = None


@contextmanager
def about(field: str) -> Iterator[None]:
    """Errors within that are about an override name the field of the request that holds it."""
    try:
        yield
    except Invalid as error:
        if not error.field.startswith(FIELD):
            raise
        raise Invalid(field + error.field.removeprefix(FIELD), error.rule) from None


async def override_of(
    connection: Connection,
    workspace: int,
    body: CreatePricePlanDetailsOverride | None,
    rules: list[PricingRule] | None,
    field: str = FIELD,
) -> PlanChange | None:
    """The change that a body at `field` and rules give; None where they give nothing. Raises `Invalid`."""
    if body is None:
        return None if rules is None else PlanChange(rules=rules)
    known = await known_to(connection, workspace, body)
    try:
        change = change_of(body, known, rules=rules)
    except Invalid as error:
        raise Invalid(field + error.field.removeprefix(PATH), error.rule) from None
    return None if change == PlanChange() else change


def override_shape(change: PlanChange | None) -> PricePlanDetailsOverride | None:
    """A change as the wire shows it, rules apart."""
    if change is None or replace(change, rules=None) == PlanChange():
        return None
    whole = details_shape(change.applied(PlanDetails([])), "BILLING", ())
    return PricePlanDetailsOverride(
        supported_currencies=change.currencies,
        pricing_cycle_config=whole.pricing_cycle_config,
        usage_rate_cards=None if change.usage is None else whole.usage_rate_cards,
        # The client refuses a list of none.
        fixed_fee_rate_cards=whole.fixed_fee_rate_cards or None,
        minimum_commitment=whole.minimum_commitment,
        billing_entitlement_rate_cards=whole.billing_entitlement_rate_cards,
        license_rate_cards=None if change.licenses is None else whole.license_rate_cards or [],
    )
