"""Customers, accounts and their aliases: what they are, what may be asked of them, and the rules that decide."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from bursar.core.errors import Invalid, Taken, WrongState
from bursar.core.period import FIRST, FOREVER

ALIASES_LIMIT = 10
"""Aliases in force per account: the client cannot read an account with more."""
ERASED = "[erased]"
"""The name of whoever was erased."""
SECRET_BYTES = 32
ADDRESS_LIMIT = 1000
"""Characters of an address in one line: the client cannot read a customer with more."""


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
    """A named value kept with an account, a customer or the whole workspace."""

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
    field: str = "aliases"
    """Where the request gave it, for an error to name."""


@dataclass(frozen=True, slots=True)
class AliasRemoval:
    """An alias to end: its value or the id of its entry, and from when (None: now)."""

    name: str
    at: datetime | None = None
    field: str = "aliases"


@dataclass(frozen=True, slots=True)
class Name:
    """What a value has led to: an account over `[starts_at, ends_at)`, or, as an alias that none has, nothing yet."""

    value: str
    account: int | None
    account_id: str | None
    kind: str
    starts_at: datetime | None
    ends_at: datetime | None

    def overlaps(self, start: datetime | None, end: datetime | None) -> bool:
        """Whether the name leads to its account at some instant of `[start, end)`."""
        if self.account is None:
            return False
        before = end is not None and self.starts_at is not None and end <= self.starts_at
        after = start is not None and self.ends_at is not None and start >= self.ends_at
        return not before and not after


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
        return after and not self.ended(at)

    def ended(self, at: datetime) -> bool:
        """Whether the alias no longer leads to its account at an instant or ever after."""
        return self.effective_until is not None and self.effective_until <= at


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
    primary_email: str
    """Its own, else its customer's."""
    address: Address
    """Its own, else its customer's."""
    billing_information: BillingInformation
    """Its own; else invoices go to the primary e-mail."""
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


def check_address(address: Address, field: str) -> None:
    """Raise `Invalid` for an address that is too long to be shown."""
    if len(address.one_line()) > ADDRESS_LIMIT:
        raise Invalid(field, f"must have at most {ADDRESS_LIMIT} characters in all")


def tidy_tags(tags: Sequence[str]) -> list[str]:
    """Tags as they are kept: in lower case, each once."""
    return list(dict.fromkeys(tag.lower() for tag in tags))


def free_id(identifier: str, known: Sequence[Name], field: str) -> None:
    """Raise `Taken` where the id of a new account is or was an id or an alias."""
    for name in known:
        if name.value != identifier:
            continue
        if name.kind == "ID":
            raise Taken(field, f"account {identifier!r} exists already")
        whose = f" of account {name.account_id!r}" if name.account_id is not None else ""
        raise Taken(field, f"{identifier!r} is or was an alias{whose}")


def settle_aliases(
    account: Account, new: Sequence[NewAlias], known: Sequence[Name], mine: Sequence[Alias], now: datetime
) -> list[NewAlias]:
    """The aliases as an account will keep them. `known` is what their values have led to, `mine` what it has already.

    An alias that an account held before begins where that ended, if no start is asked for, so that the past keeps
    leading to the account that it belonged to. An account's own id is no alias and left out. Raises `Taken` for a value
    that is another account's, or this one's already, at a common time; `Invalid` for more aliases than there may be.
    """
    names, settled = list(known), list[NewAlias]()
    for alias in new:
        if alias.value == account.id:
            continue
        start, end = _span(alias)
        past = [n.ends_at for n in names if n.value == alias.value and n.ends_at is not None and n.ends_at <= now]
        if start is None and past:
            start = max(past)
        if start is not None and end is not None and start >= end:
            raise Invalid(alias.field, f"alias {alias.value!r} must end after it begins")
        for name in names:
            if name.value == alias.value and name.overlaps(start, end):
                raise Taken(alias.field, _conflict(account, name))
        names.append(Name(alias.value, account.key, account.id, "ALIAS", start, end))
        settled.append(replace(alias, effective_from=start, effective_until=end))
    spans = [(a.effective_from, a.effective_until) for a in mine]
    spans += [(a.effective_from, a.effective_until) for a in settled]
    if most_in_force(spans, now) > ALIASES_LIMIT:
        raise Invalid("aliases", f"account {account.id!r} may have at most {ALIASES_LIMIT} aliases in force")
    return settled


def most_in_force(spans: Sequence[tuple[datetime | None, datetime | None]], since: datetime) -> int:
    """How many of the spans `[start, end)` hold at once, at most, from an instant on."""
    instants = [since, *(start for start, _ in spans if start is not None and start > since)]
    return max(
        sum((start is None or start <= at) and (end is None or at < end) for start, end in spans) for at in instants
    )


def _span(alias: NewAlias) -> tuple[datetime | None, datetime | None]:
    """From when until when, with the wire's first and last instants as open ends."""
    start, end = alias.effective_from, alias.effective_until
    if (end is not None and end <= FIRST) or (start is not None and start >= FOREVER):
        raise Invalid(alias.field, f"alias {alias.value!r} must lie between the years 1970 and 9999")
    return start if start is None or start > FIRST else None, end if end is None or end < FOREVER else None


def _conflict(account: Account, name: Name) -> str:
    if name.account == account.key:
        return f"account {account.id!r} has the alias {name.value!r} already"
    what = "the id" if name.kind == "ID" else "an alias"
    return f"{name.value!r} is {what} of account {name.account_id!r} at that time"
