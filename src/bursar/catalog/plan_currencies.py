"""Currencies of a price plan: what it costs in one more, and taking away one that is not in force.

Neither makes a version: what the plan says in its other currencies stays as it is, and nobody can be on this one yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar

import msgspec

from bursar.catalog.definitions import (
    CardRates,
    Commitment,
    CurrencyRate,
    EntitlementCard,
    FeeCard,
    LicenseCard,
    PlanDetails,
    UsageCard,
)
from bursar.catalog.plans import PlanVersion, hold, revise
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, NotFound, WrongState
from bursar.db.database import Connection

C = TypeVar("C", UsageCard, LicenseCard, EntitlementCard)
R = TypeVar("R", CardRates, CurrencyRate)


@dataclass(frozen=True, slots=True)
class NewCurrency:
    """What a plan costs in a currency that it lacks."""

    currency: str
    usage: Mapping[str, CardRates]
    """By usage meter id."""
    fees: Mapping[str, Decimal]
    """By add-on id."""
    commitment: Decimal | None
    licenses: Mapping[str, CardRates] = field(default_factory=dict)
    """By add-on id."""
    entitlements: Mapping[str, CardRates] = field(default_factory=dict)
    """By feature id."""


def with_currency(details: PlanDetails, new: NewCurrency) -> PlanDetails:
    """A plan with one more currency. Raises `Invalid` for a known one, and for rates missing or superfluous."""
    if new.currency in details.currencies:
        raise Invalid("currency", f"{new.currency!r} is a currency of the plan already")
    _match("usageRates", "usage meter", new.usage, [card.meter_id for card in details.usage])
    _match("fixedFeeRates", "add-on", new.fees, [fee.add_on_id for fee in details.fees])
    _match("licenseRates", "add-on", new.licenses, [card.add_on_id for card in details.licenses])
    _match("billingEntitlementRates", "feature", new.entitlements, [card.feature_id for card in details.entitlements])
    commitment = details.commitment
    if (commitment is None) != (new.commitment is None):
        raise Invalid("minimumCommitmentRate", "is needed where the plan has a commitment, and only there")
    if commitment is not None and new.commitment is not None:
        rates = [*commitment.rates, CurrencyRate(new.currency, new.commitment)]
        commitment = Commitment(commitment.display_name, rates)
    return msgspec.structs.replace(
        details,
        currencies=[*details.currencies, new.currency],
        usage=[_priced(card, [*card.rates, new.usage[card.meter_id]]) for card in details.usage],
        fees=[_fee(fee, [*fee.rates, CurrencyRate(new.currency, new.fees[fee.add_on_id])]) for fee in details.fees],
        licenses=[_priced(card, [*card.rates, new.licenses[card.add_on_id]]) for card in details.licenses],
        entitlements=[_priced(card, [*card.rates, new.entitlements[card.feature_id]]) for card in details.entitlements],
        commitment=commitment,
    )


def without_currency(details: PlanDetails, currency: str) -> PlanDetails:
    """A plan without one of its currencies."""
    commitment = details.commitment
    if commitment is not None:
        commitment = Commitment(commitment.display_name, _without(commitment.rates, currency))
    return msgspec.structs.replace(
        details,
        currencies=[other for other in details.currencies if other != currency],
        usage=[_priced(card, _without(card.rates, currency)) for card in details.usage],
        fees=[_fee(fee, _without(fee.rates, currency)) for fee in details.fees],
        licenses=[_priced(card, _without(card.rates, currency)) for card in details.licenses],
        entitlements=[_priced(card, _without(card.rates, currency)) for card in details.entitlements],
        commitment=commitment,
    )


async def add_currency(connection: Connection, caller: Caller, identifier: str, new: NewCurrency) -> PlanVersion:
    """Say what a plan costs in one more currency, which can be activated then. Raises as `with_currency` does."""
    plan = await _enter(connection, caller, identifier)
    return await revise(connection, caller, plan, with_currency(plan.details, new), f"add {new.currency}")


async def remove_currency(connection: Connection, caller: Caller, identifier: str, currency: str) -> PlanVersion:
    """Take away a currency. Raises `NotFound`, `WrongState` for an active one, `Invalid` for the last."""
    plan = await _enter(connection, caller, identifier)
    if currency not in plan.details.currencies:
        raise NotFound(f"currency of price plan {identifier!r}", currency)
    if currency in plan.active_currencies:
        raise WrongState(f"{currency} is active in price plan {identifier!r}; only a draft currency can be removed")
    return await revise(connection, caller, plan, without_currency(plan.details, currency), f"remove {currency}")


async def _enter(connection: Connection, caller: Caller, identifier: str) -> PlanVersion:
    plan = await hold(connection, caller.workspace, identifier, change=True)
    if plan.status == "ARCHIVED":
        raise WrongState(f"price plan {identifier!r} is archived")
    return plan


def _match(field: str, kind: str, given: Mapping[str, object], wanted: list[str]) -> None:
    for name in given:
        if name not in wanted:
            raise Invalid(field, f"the plan has no rate card of {kind} {name!r}")
    for name in wanted:
        if name not in given:
            raise Invalid(field, f"has no rates of {kind} {name!r}")


def _without(rates: Sequence[R], currency: str) -> list[R]:
    return [entry for entry in rates if entry.currency != currency]


def _priced(card: C, rates: list[CardRates]) -> C:
    return msgspec.structs.replace(card, rates=rates)


def _fee(fee: FeeCard, rates: list[CurrencyRate]) -> FeeCard:
    return msgspec.structs.replace(fee, rates=rates)
