"""Customers, accounts and their aliases: what they are, what may be asked of them, and the rules that decide."""

from dataclasses import dataclass
from datetime import datetime

import msgspec

from bursar.core.errors import Invalid, WrongState

ALIASES_LIMIT = 10
"""Aliases in force per account: the client cannot read an account with more."""


class Address(msgspec.Struct, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """A postal address; every part is optional."""

    phone_number: str | None = None
    line1: str | None = None
    line2: str | None = None
    postal_code: str | None = None
    city: str | None = None
    state: str | None = None
    country: str | None = None

    def one_line(self) -> str:
        """The parts in their usual order, joined by commas."""
        parts = (self.line1, self.line2, self.postal_code, self.city, self.state, self.country)
        return ", ".join(part for part in parts if part)


class BillingInformation(msgspec.Struct, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """Where invoices are sent."""

    email_recipients: list[str] | None = None
    additional_email_recipients: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """A named value kept with a customer or an account."""

    id: str
    value: str
    namespace: str
    name: str
    data_type: str


@dataclass(frozen=True, slots=True)
class NewAlias:
    """An alias to give to an account, over `[effective_from, effective_until)`; None is open."""

    value: str
    effective_from: datetime | None = None
    effective_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class AliasRemoval:
    """An alias to end: its value or the id of its entry, and from when (None: now)."""

    name: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Alias:
    """An alias of an account."""

    key: int
    wire_id: str
    value: str
    effective_from: datetime | None
    effective_until: datetime | None
    created_at: datetime
    updated_at: datetime

    def in_force(self, at: datetime) -> bool:
        """Whether the alias leads to its account at an instant."""
        after = self.effective_from is None or self.effective_from <= at
        return after and (self.effective_until is None or at < self.effective_until)


@dataclass(frozen=True, slots=True)
class Customer:
    """Who is billed through accounts."""

    key: int
    id: str
    wire_id: str
    name: str
    primary_email: str
    address: Address
    status: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Account:
    """What uses, buys and owes."""

    key: int
    id: str
    wire_id: str
    customer_key: int
    customer_id: str
    customer_wire_id: str
    name: str
    currency: str
    timezone: str | None
    net_term_days: int | None
    status: str
    primary_email: str | None
    address: Address | None
    billing_information: BillingInformation | None
    metadata: dict[str, str]
    tags: list[str]
    closed_from: datetime | None
    closed_until: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account to make."""

    id: str
    name: str
    currency: str | None = None
    status: str = "ACTIVE"
    aliases: tuple[NewAlias, ...] = ()
    net_term_days: int | None = None
    primary_email: str | None = None
    address: Address | None = None
    billing_information: BillingInformation | None = None
    metadata: dict[str, str] | None = None
    tags: tuple[str, ...] = ()
    settings: tuple[Setting, ...] = ()


@dataclass(frozen=True, slots=True)
class NewCustomer:
    """A customer to make, with its first account; without one, an account of the same id and name is made."""

    id: str
    name: str
    primary_email: str
    address: Address
    settings: tuple[Setting, ...] = ()
    account: NewAccount | None = None


@dataclass(frozen=True, slots=True)
class AccountChange:
    """What to change of an account; None leaves a field as it is."""

    name: str | None = None
    status: str | None = None
    currency: str | None = None
    net_term_days: int | None = None
    primary_email: str | None = None
    address: Address | None = None
    billing_information: BillingInformation | None = None
    metadata: dict[str, str] | None = None
    tags: tuple[str, ...] | None = None


def may_change(kind: str, identifier: str, status: str) -> None:
    """Raise `WrongState` for an archived object."""
    if status == "ARCHIVED":
        raise WrongState(f"{kind} {identifier!r} is archived and cannot be changed")


def settle_alias(new: NewAlias, ended: datetime | None, field: str) -> NewAlias:
    """The alias as it will be kept.

    An alias that another account held until `ended` begins there where no start is asked for, so that the past keeps
    leading to the account that it belonged to.
    """
    start = new.effective_from if new.effective_from is not None else ended
    if start is not None and new.effective_until is not None and start >= new.effective_until:
        raise Invalid(field, f"alias {new.value!r} must end after it begins")
    return NewAlias(new.value, start, new.effective_until)


def count_aliases(identifier: str, in_force: int) -> None:
    """Raise `Invalid` where an account would have more aliases than it may."""
    if in_force > ALIASES_LIMIT:
        raise Invalid("aliases", f"account {identifier!r} may have at most {ALIASES_LIMIT} aliases in force")
