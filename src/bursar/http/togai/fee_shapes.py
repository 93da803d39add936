"""How the Togai dialect writes fixed-fee rate cards, and their translation to and from the catalogue's definition."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta

from bursar.catalog.add_ons import AddOn
from bursar.catalog.definitions import CurrencyRate, FeeCard
from bursar.core.errors import Invalid
from bursar.http.door import Body
from bursar.http.encode import number

CurrencyText = Annotated[str, Meta(min_length=1, max_length=10)]
Label = Annotated[str, Meta(max_length=255)]


class CurrencyRateValue(Body, kw_only=True):
    """An amount in one currency."""

    currency: CurrencyText
    rate: Decimal


class RecurrenceConfig(Body, kw_only=True, omit_defaults=True):
    """In which pricing cycles a card is charged."""

    interval: int | None = None
    offset: int | None = None


class FixedFeeRateCard(Body, kw_only=True, omit_defaults=True):
    """What is charged for an add-on whatever is used. Its `id` is the add-on's."""

    id: Annotated[str, Meta(min_length=1, max_length=50)]
    rate_values: Annotated[list[CurrencyRateValue], Meta(min_length=1, max_length=50)]
    enable_proration: bool
    display_name: Label | None = None
    name: Annotated[str, Meta(min_length=1, max_length=50)] | None = None
    tag: Annotated[str, Meta(max_length=50)] | None = None
    invoice_timing: Literal["IN_ADVANCE", "IN_ARREARS", "PREPAID"] | None = None
    type: Literal["ONE_TIME", "RECURRING"] | None = None
    recurrence_config: RecurrenceConfig | None = None


def fees_of(cards: Sequence[FixedFeeRateCard], add_ons: Mapping[str, AddOn], path: str) -> list[FeeCard]:
    """The fees that cards give; `add_ons` are those of their ids that exist."""
    return [_fee(card, add_ons.get(card.id), f"{path}[{index}]") for index, card in enumerate(cards)]


def fee_shape(fee: FeeCard) -> FixedFeeRateCard:
    """A fee as the wire shows it."""
    recurrence = None
    if fee.recurring or fee.offset:
        recurrence = RecurrenceConfig(interval=fee.interval, offset=fee.offset)
    return FixedFeeRateCard(
        id=fee.add_on_id,
        rate_values=[CurrencyRateValue(currency=r.currency, rate=number(r.rate)) for r in fee.rates],
        enable_proration=fee.prorated,
        display_name=fee.display_name,
        name=fee.name,
        tag=fee.tag,
        invoice_timing="IN_ADVANCE" if fee.in_advance else "IN_ARREARS",
        type="RECURRING" if fee.recurring else "ONE_TIME",
        recurrence_config=recurrence,
    )


def _fee(card: FixedFeeRateCard, add_on: AddOn | None, path: str) -> FeeCard:
    if add_on is None or add_on.status == "ARCHIVED":
        raise Invalid(f"{path}.id", f"there is no add-on {card.id!r}")
    if add_on.type != "FIXED_FEE":
        raise Invalid(f"{path}.id", f"add-on {card.id!r} is of type {add_on.type}; a fixed fee needs a FIXED_FEE one")
    if card.invoice_timing == "PREPAID":
        raise Invalid(f"{path}.invoiceTiming", "a fixed fee is IN_ADVANCE or IN_ARREARS")
    recurrence = card.recurrence_config or RecurrenceConfig()
    return FeeCard(
        name=card.name or f"fixed-fee-{card.id}",
        add_on=add_on.key,
        add_on_id=card.id,
        rates=[CurrencyRate(r.currency, r.rate) for r in card.rate_values],
        prorated=card.enable_proration,
        recurring=card.type != "ONE_TIME",
        in_advance=card.invoice_timing == "IN_ADVANCE",
        interval=1 if recurrence.interval is None else recurrence.interval,
        offset=0 if recurrence.offset is None else recurrence.offset,
        display_name=card.display_name,
        tag=card.tag,
    )
