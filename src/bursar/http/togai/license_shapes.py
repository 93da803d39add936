"""How the Togai dialect writes licence rate cards, and their translation to and from the catalogue's definition."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta

from bursar.catalog.add_ons import AddOn
from bursar.catalog.definitions import LicenseCard
from bursar.core.errors import Invalid
from bursar.http.door import Body
from bursar.http.togai.fee_shapes import Label
from bursar.http.togai.slab_shapes import (
    RatePlan,
    RateValue,
    rate_plan_shape,
    rate_values_shape,
    rates_of,
    slabs_of,
)

UsageCycle = Literal["WEEKLY", "MONTHLY", "QUARTERLY", "HALF_YEARLY", "ANNUALLY"]


class LicenseRateCardConfig(Body, kw_only=True, omit_defaults=True):
    """How many licences there may be, and whether there may be more all the same."""

    max_quantity: int | None = None
    max_quantity_breach_action: Literal["DO_NOTHING"] | None = None


class LicenseRateCard(Body, kw_only=True, omit_defaults=True):
    """What it costs to have licences. Its `id` is the add-on's."""

    id: Annotated[str, Meta(min_length=1, max_length=50)]
    enable_proration: bool
    rate_plan: RatePlan
    rate_values: Annotated[list[RateValue], Meta(min_length=1, max_length=50)]
    type: Literal["LICENSE", "FIXED_FEE", "CREDIT_GRANT", "NAMED_LICENSE"] | None = None
    display_name: Label | None = None
    name: Annotated[str, Meta(min_length=1, max_length=50)] | None = None
    tag: Annotated[str, Meta(max_length=50)] | None = None
    invoice_timing: Literal["IN_ADVANCE", "IN_ARREARS", "PREPAID"] | None = None
    usage_cycle: UsageCycle | None = None
    config: LicenseRateCardConfig | None = None
    prorated_refund_mode: Literal["NONE", "CREDITS", "PAYMENT", "WALLET"] | None = None


def licenses_of(cards: Sequence[LicenseRateCard], add_ons: Mapping[str, AddOn], path: str) -> list[LicenseCard]:
    """The licences that cards give; `add_ons` are those of their ids that exist."""
    return [_license(card, add_ons.get(card.id), f"{path}[{index}]") for index, card in enumerate(cards)]


def license_shape(card: LicenseCard) -> LicenseRateCard:
    """A licence rate card as the wire shows it."""
    config = None
    if card.max_quantity is not None:
        config = LicenseRateCardConfig(
            max_quantity=int(card.max_quantity), max_quantity_breach_action="DO_NOTHING" if card.tolerant else None
        )
    return LicenseRateCard(
        id=card.add_on_id,
        enable_proration=card.prorated,
        rate_plan=rate_plan_shape(card.pricing_model, card.slabs),
        rate_values=rate_values_shape(card.rates),
        type="NAMED_LICENSE" if card.named else "LICENSE",
        display_name=card.display_name,
        name=card.name,
        tag=card.tag,
        invoice_timing="IN_ADVANCE" if card.in_advance else "IN_ARREARS",
        usage_cycle=card.usage_cycle,  # type: ignore[arg-type]  # checked when the plan was made
        config=config,
        prorated_refund_mode=card.refund,
    )


def _license(card: LicenseRateCard, add_on: AddOn | None, path: str) -> LicenseCard:
    if add_on is None or add_on.status == "ARCHIVED":
        raise Invalid(f"{path}.id", f"there is no add-on {card.id!r}")
    if add_on.type not in ("LICENSE", "NAMED_LICENSE"):
        rule = f"add-on {card.id!r} is of type {add_on.type}; a licence needs a LICENSE or NAMED_LICENSE one"
        raise Invalid(f"{path}.id", rule)
    if card.type not in (None, add_on.type):
        raise Invalid(f"{path}.type", f"add-on {card.id!r} is of type {add_on.type}")
    if card.invoice_timing == "PREPAID":
        raise Invalid(f"{path}.invoiceTiming", "a licence is IN_ADVANCE or IN_ARREARS")
    config = card.config or LicenseRateCardConfig()
    return LicenseCard(
        name=card.name or f"license-{card.id}",
        add_on=add_on.key,
        add_on_id=card.id,
        pricing_model=card.rate_plan.pricing_model,
        slabs=slabs_of(card.rate_plan, path),
        rates=rates_of(card.rate_values, path),
        prorated=card.enable_proration,
        named=add_on.type == "NAMED_LICENSE",
        in_advance=card.invoice_timing == "IN_ADVANCE",
        usage_cycle=card.usage_cycle,
        max_quantity=None if config.max_quantity is None else Decimal(config.max_quantity),
        tolerant=config.max_quantity_breach_action is not None,
        refund=card.prorated_refund_mode or "NONE",
        display_name=card.display_name,
        tag=card.tag,
    )
