"""Statements, decided: which window one may have, and what may become of it. Words are those of the carrier's door."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bursar.core.cycles import local_instant
from bursar.core.errors import Rejected, WrongState
from bursar.core.invoice_periods import InvoiceType
from bursar.core.period import FIRST, FOREVER, Period

BLANK = "can't be blank"
INVALID = "is invalid"
ENDS_FIRST = "must be greater than start date"
EMPTY = "start_time must be less then end_time"
FUTURE = "end_time can't be in future"
OVERLAPPING = "have invoice inside provided period"
AUTOMATIC = "have invoices auto generation enabled"
REACHED = "invoice exists with end_date greater than or equal to current end_date"

Problem = tuple[str, str]
"""A field, or "" for the whole, and the rule that it breaks."""


class State(StrEnum):
    """How far a statement got."""

    NEW = "New"
    """Not filled yet."""
    PENDING = "Pending"
    APPROVED = "Approved"


TYPES: dict[InvoiceType, str] = {
    InvoiceType.MANUAL: "Manual",
    InvoiceType.AUTO_FULL: "Auto Full",
    InvoiceType.AUTO_PARTIAL: "Auto Partial",
}
"""What statements are called by how they came about."""


@dataclass(frozen=True, slots=True)
class Billed:
    """The account of a statement that somebody asks for."""

    zone: str
    automatic: bool
    """Whether its statements are made by themselves."""


def window(account: Billed | None, start: str | None, end: str | None, now: datetime) -> Period:
    """The window of a statement made by hand, its ends read in the account's zone. Raises `Rejected`."""
    zone = account.zone if account else "UTC"
    problems: list[Problem] = []
    if account is None:
        problems.append(("account", BLANK))
    elif account.automatic:
        problems.append(("account", AUTOMATIC))
    first = _end(start, zone, "start_date", problems)
    last = _end(end, zone, "end_date", problems)
    if first and last and last < first:
        problems.append(("end_date", ENDS_FIRST))
    if problems or first is None or last is None:
        raise Rejected(problems)
    if first == last:
        raise Rejected([("", EMPTY)])
    if last > now:
        raise Rejected([("", FUTURE)])
    return Period(first, last)


def _end(text: str | None, zone: str, field: str, problems: list[Problem]) -> datetime | None:
    if text is None or not text.strip():
        problems.append((field, BLANK))
        return None
    try:
        moment = local_instant(text, zone)
    except ValueError:
        moment = FOREVER
    if not FIRST <= moment < FOREVER:
        problems.append((field, INVALID))
        return None
    return moment


def next_window(period: Period, ends: Sequence[datetime]) -> Period | None:
    """The window of an automatic statement: what of `period` comes after the `ends` of those that there are.

    None where one of them reaches its end.
    """
    last = max(ends, default=period.start)
    return Period(max(period.start, last), period.end) if last < period.end else None


def may_approve(state: State) -> None:
    """Raises `WrongState` for a statement that is not filled, or is approved."""
    if state is State.APPROVED:
        raise WrongState("Invoice already approved")
    if state is State.NEW:
        raise WrongState("Invoice can't be approved")


def may_delete(state: State) -> None:
    """Raises `WrongState` for a statement that is approved."""
    if state is State.APPROVED:
        raise WrongState("Invoice is approved and can't be deleted")
