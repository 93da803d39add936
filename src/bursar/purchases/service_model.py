"""A carrier's services, decided: what may be made, when one renews next, and whether its account can pay for it."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from bursar.core import decimals
from bursar.core.cycles import local_date, local_midnight
from bursar.core.period import FIRST, FOREVER

RETRY = timedelta(hours=1)
"""How long after a renewal that could not be paid it is tried again."""
NAME_LIMIT = 255
DESCRIPTION_LIMIT = 10_000
BLANK = "can't be blank"
MUST_EXIST = "must exist"
DAY = timedelta(days=1)

Problem = tuple[str, str]
"""A field and the rule that it breaks."""


class RenewPeriod(StrEnum):
    """How long a renewal lasts."""

    DAY = "Day"
    MONTH = "Month"


@dataclass(frozen=True, slots=True)
class Limits:
    """Between which balances a renewal may leave an account."""

    min_balance: Decimal
    max_balance: Decimal


@dataclass(frozen=True, slots=True)
class Due:
    """A service that is to be renewed, and what that depends on."""

    key: int
    account: int
    """Internal key."""
    price: Decimal
    period: RenewPeriod
    force: bool
    limits: Limits


@dataclass(frozen=True, slots=True)
class Renewed:
    """A service goes on until `renew_at`."""

    service: Due
    renew_at: datetime


@dataclass(frozen=True, slots=True)
class Refused:
    """A service is suspended, and tried again at `due_at`."""

    service: Due
    due_at: datetime


def schedule_problems(period: str | None, renew_at: datetime | None) -> list[Problem]:
    """What is wrong with a period and the first renewal: either both are given or neither."""
    problems = []
    if period is not None and period not in set(RenewPeriod):
        problems.append(("renew_period_id", "is not included in the list"))
    if period is not None and renew_at is None:
        problems.append(("renew_at", BLANK))
    elif period is None and renew_at is not None:
        problems.append(("renew_at", "must be blank"))
    elif renew_at is not None and not FIRST <= renew_at < FOREVER:
        problems.append(("renew_at", "is invalid"))
    return problems


def length_problems(field: str, text: str | None, limit: int) -> list[Problem]:
    """What is wrong with a text that is longer than `limit` characters."""
    return [(field, f"is too long (maximum is {limit} characters)")] if text and len(text) > limit else []


def next_renewal(period: RenewPeriod, now: datetime, zone: str) -> datetime:
    """The first start of a day, or of a month, of `zone` that comes after `now`."""
    day = _following(local_date(now, zone), period)
    # A clock set back over midnight shows yesterday again after today began: that start is past.
    while (start := local_midnight(day, zone)) <= now:
        day = _following(day, period)
    return start


def _following(day: date, period: RenewPeriod) -> date:
    return day + DAY if period is RenewPeriod.DAY else (day.replace(day=1) + 32 * DAY).replace(day=1)


def enough(price: Decimal, balance: Decimal, limits: Limits) -> bool:
    """Whether a balance allows a renewal: a price must not take it below its minimum, a bonus not above its maximum."""
    if price > 0:
        return balance - price >= limits.min_balance
    return not price or balance - price <= limits.max_balance


def renewal(due: Due, balance: Decimal, now: datetime, zone: str) -> Renewed | Refused:
    """What becomes of a service that is due at `now`, its account having `balance`.

    However long ago it fell due, it is renewed once, and goes on from `now`. A balance that could not be kept exactly
    is not enough either, forced or not.
    """
    if decimals.fits(balance - due.price) and (due.force or enough(due.price, balance, due.limits)):
        return Renewed(due, next_renewal(due.period, now, zone))
    return Refused(due, now + RETRY)
