"""Licences: how many an account has of an add-on, from which instant on. Pure.

Updates hold in the order of their instants, those of one instant in the order in which they came. So it does not matter
in which order updates of different instants are sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from bursar.core import decimals
from bursar.core.errors import Invalid, WrongState
from bursar.core.period import FIRST, FOREVER, show_instant

Kind = Literal["RELATIVE", "ABSOLUTE"]


@dataclass(frozen=True, slots=True)
class NewUpdate:
    """How many licences an account is to have: so many (ABSOLUTE), or so many more (RELATIVE)."""

    license_id: str
    account_id: str
    """The account's id, or an alias that leads to it."""
    kind: Kind
    amount: Decimal
    effective_from: datetime | None = None
    """None: now."""
    idempotency_key: str | None = None
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class LicenseUpdate:
    """An update as it stands."""

    key: int
    license_id: str
    account_id: str
    quantity: Decimal
    """How many there are from then on."""
    effective_from: datetime
    metadata: dict[str, str] | None
    created_at: datetime


def check_amount(new: NewUpdate) -> None:
    """Raise `Invalid` for an amount that cannot be."""
    if not decimals.fits(new.amount):
        raise Invalid("quantity", "must be a number below 10^26 with at most 12 decimals")
    if new.kind == "ABSOLUTE" and new.amount < 0:
        raise Invalid("quantity", "must not be negative")


def check_instant(start: datetime, closed_until: datetime | None) -> None:
    """Raise `Invalid` for an instant outside Bursar's time, `WrongState` for one that is invoiced."""
    if not FIRST <= start < FOREVER:
        raise Invalid("effectiveFrom", "must lie in [1970-01-01, 9999-01-01)")
    if closed_until is not None and start < closed_until:
        raise WrongState(f"effectiveFrom: the account is invoiced until {show_instant(closed_until)}")


def quantity_after(new: NewUpdate, before: Decimal) -> Decimal:
    """How many there are from the update on. Raises `Invalid` for less than none, and more than can be stored."""
    quantity = new.amount if new.kind == "ABSOLUTE" else before + new.amount
    if quantity < 0:
        raise Invalid("quantity", f"takes away more than the {decimals.show(before)} that there are")
    if not decimals.fits(quantity):
        raise Invalid("quantity", "must come to less than 10^26")
    return quantity


def check_later(least: Decimal | None, most: Decimal | None, more: Decimal) -> None:
    """Raise `Invalid` where later updates, of which `least` and `most` are the figures, cannot move along by `more`."""
    if least is not None and least + more < 0:
        raise Invalid("quantity", "would make a later RELATIVE update take away more than there are")
    if most is not None and not decimals.fits(most + more):
        raise Invalid("quantity", "must come to less than 10^26 in later updates")
