"""What a price plan says otherwise for a single association: a version of its own, which leaves the plan as it is."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

import msgspec

from bursar.catalog.definitions import PlanDetails, to_text
from bursar.catalog.model import check_plan
from bursar.catalog.plans import PlanChange, PlanVersion
from bursar.catalog.pricing_rules import PATH as RULES
from bursar.catalog.pricing_rules import kept
from bursar.catalog.schemas import queries
from bursar.core.caller import Caller
from bursar.core.errors import Invalid
from bursar.core.ids import draw
from bursar.db.database import Connection

_PATH = "pricePlanDetailsOverride"


class _Priced(Protocol):
    @property
    def currency(self) -> str: ...


P = TypeVar("P", bound=_Priced)


def overridden(plan: PlanVersion, change: PlanChange) -> PlanVersion:
    """What a plan version says with the parts of `change` in place of its own; nothing is kept of it yet.

    Currencies can only become fewer; prices that the plan has in the others then fall away. Raises `Invalid` for what
    could not be billed.
    """
    details = plan.details
    if change.currencies is not None:
        for index, currency in enumerate(change.currencies):
            if currency not in details.currencies:
                raise Invalid(f"{_PATH}.supportedCurrencies[{index}]", f"{currency!r} is not a currency of the plan")
        details = _narrowed(details, change.currencies)
    merged = change.applied(details)
    try:
        check_plan(merged, plan.type)
    except Invalid as error:
        raise Invalid(_field(error.field, own_rules=change.rules is not None), error.rule) from None
    active = tuple(currency for currency in plan.active_currencies if currency in merged.currencies)
    return replace(plan, details=merged, active_currencies=active, override=change)


async def keep(connection: Connection, caller: Caller, plan: PlanVersion) -> PlanVersion:
    """Keep what `overridden` made of a version, for an association to name."""
    assert plan.override is not None
    said = plan.override
    if said.rules is not None:
        details = kept(plan.details)
        said = replace(said, rules=details.rules)
        plan = replace(plan, details=details, override=said)
    wire_id = draw("sch")
    change = msgspec.json.Encoder(decimal_format="number").encode(_said(said)).decode()
    key = await connection.fetchval(
        queries.insert_plan_override,
        caller.workspace,
        plan.plan,
        wire_id,
        plan.version,
        plan.revision,
        to_text(plan.details),
        caller.wall,
        plan.version_key,
        change,
    )
    return replace(plan, version_key=key, version_id=wire_id)


def _field(field: str, *, own_rules: bool) -> str:
    """The field of an override that a rule of the whole plan is about. Rules of the plan itself fail for its cards."""
    if field.startswith(RULES):
        return f"{RULES}Override{field.removeprefix(RULES)}" if own_rules else _PATH
    return _PATH + field.removeprefix("pricePlanDetails")


def _said(change: PlanChange) -> dict[str, object]:
    names = ("currencies", "cycle", "usage", "fees", "commitment", "rules", "entitlements", "licenses")
    parts = {name: getattr(change, name) for name in names}
    return {name: part for name, part in parts.items() if part is not None}


def _narrowed(details: PlanDetails, currencies: Sequence[str]) -> PlanDetails:
    """A plan in some of its currencies."""

    def only(rates: Sequence[P]) -> list[P]:
        return [rate for rate in rates if rate.currency in currencies]

    commitment = details.commitment
    return msgspec.structs.replace(
        details,
        currencies=list(currencies),
        usage=[msgspec.structs.replace(card, rates=only(card.rates)) for card in details.usage],
        fees=[msgspec.structs.replace(card, rates=only(card.rates)) for card in details.fees],
        entitlements=[msgspec.structs.replace(card, rates=only(card.rates)) for card in details.entitlements],
        licenses=[msgspec.structs.replace(card, rates=only(card.rates)) for card in details.licenses],
        commitment=commitment and msgspec.structs.replace(commitment, rates=only(commitment.rates)),
    )
