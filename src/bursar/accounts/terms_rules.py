"""What a carrier may agree with an account, purely."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from bursar.accounts import invoice_terms
from bursar.core import decimals
from bursar.core.cycles import ZONES
from bursar.core.invoice_periods import InvoicePeriod, InvoiceType

TEXT_LIMIT = 255
BLANK = "can't be blank"
TAKEN = "has already been taken"
MISSING = "must exist"
TOO_LONG = f"is too long (maximum is {TEXT_LIMIT} characters)"
READ_ONLY = "is readonly"
ARCHIVED = "is archived"
NOT_LISTED = "is not included in the list"
LOW_BELOW_HIGH = "must be less than balance high threshold"

Problems = list[tuple[str, str]]

DEFAULTS: Mapping[str, Any] = {
    "name": None,
    "contractor": None,
    "currency": None,
    "min_balance": Decimal(0),
    "max_balance": Decimal(0),
    "vat": Decimal(0),
    "balance_low_threshold": None,
    "balance_high_threshold": None,
    "send_balance_notifications_to": None,
    "destination_rate_limit": None,
    "max_call_duration": None,
    "external_id": None,
    "uuid": None,
    "origination_capacity": None,
    "termination_capacity": None,
    "total_capacity": None,
    "send_invoices_to": None,
    "invoice_period_id": None,
    "timezone": "UTC",
    "invoice_template": None,
}
"""Every value that is agreed, and what it is where nobody says anything."""

_POSITIVE = ("max_call_duration", "origination_capacity", "termination_capacity", "total_capacity")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the database knows about values."""

    contractor: bool
    """Whether there is the contractor, not deleted."""
    archived: bool
    """Whether the contractor is archived at the other door."""
    currency: bool
    name: bool
    external_id: bool
    uuid: bool
    """Whether another account has it."""


def check_terms(values: Mapping[str, Any], facts: Facts, before: Mapping[str, Any] | None) -> Problems:
    """What breaks the rules; `before` is what was agreed, None for a new account."""
    problems: Problems = []
    if not (values["name"] or "").strip():
        problems.append(("name", BLANK))
    elif facts.name:
        problems.append(("name", TAKEN))
    elif len(values["name"]) > TEXT_LIMIT:
        problems.append(("name", TOO_LONG))
    problems += _contractor(values, facts, before)
    if before is None and not facts.currency:
        problems.append(("currency", MISSING))
        if values["currency"]:
            problems.append(("currency", "is not found"))
    problems += _amounts(values)
    given = [field for field in _POSITIVE if values[field] is not None]
    problems += [(field, "must be greater than 0") for field in given if values[field] <= 0]
    problems += [(field, TAKEN) for field in ("external_id", "uuid") if getattr(facts, field)]
    if before is not None and values["uuid"] is None:
        problems.append(("uuid", BLANK))
    if values["invoice_period_id"] is not None and values["invoice_period_id"] not in list(InvoicePeriod):
        problems.append(("invoice_period_id", NOT_LISTED))
    if not values["timezone"]:
        problems.append(("timezone", BLANK))
    elif values["timezone"] not in ZONES:
        problems.append(("timezone", f"{values['timezone'][:TEXT_LIMIT]} is not a valid timezone"))
    return problems


def _contractor(values: Mapping[str, Any], facts: Facts, before: Mapping[str, Any] | None) -> Problems:
    if before is not None and before["contractor"] == values["contractor"]:
        return []
    if not facts.contractor:
        return [("contractor", MISSING)]
    if facts.archived:
        return [("contractor", ARCHIVED)]
    # What was invoiced is sealed with the key of its customer.
    return [("contractor", READ_ONLY)] if before is not None and before["invoiced"] else []


def _amounts(values: Mapping[str, Any]) -> Problems:
    problems = [(field, BLANK) for field in ("min_balance", "max_balance", "vat") if values[field] is None]
    least, most, vat = values["min_balance"], values["max_balance"], values["vat"]
    if least is not None and most is not None and most < least:
        shown = decimals.show(least)
        problems.append(("max_balance", f"must be greater than or equal to {shown if '.' in shown else shown + '.0'}"))
    if vat is not None and vat < 0:
        problems.append(("vat", "must be greater than or equal to 0"))
    if vat is not None and vat > 100:
        problems.append(("vat", "must be less than or equal to 100"))
    low, high = values["balance_low_threshold"], values["balance_high_threshold"]
    if low is not None and high is not None and low >= high:
        problems.append(("balance_low_threshold", LOW_BELOW_HIGH))
    if values["destination_rate_limit"] is not None and values["destination_rate_limit"] < 0:
        problems.append(("destination_rate_limit", "must be greater than or equal to 0"))
    return problems


def next_invoice(
    values: Mapping[str, Any], before: Mapping[str, Any] | None, now: datetime
) -> tuple[datetime | None, InvoiceType | int | None]:
    """When the account is invoiced next and as what: at the end of the present period in its zone.

    That is set anew only where the period or the zone changes.
    """
    kind = values["invoice_period_id"]
    if kind is None:
        return None, None
    if before is not None and all(before[field] == values[field] for field in ("invoice_period_id", "timezone")):
        return before["next_invoice_at"], before["next_invoice_type"]
    following = invoice_terms.next_invoice(InvoicePeriod(kind), values["timezone"], now)
    return following.at, following.type
