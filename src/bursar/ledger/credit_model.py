"""What a credit is, when it may be used, and in which order credits are. Pure."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from bursar.core.errors import WrongState
from bursar.ledger.model import Kind, LedgerAccount

ALL_USAGE = "ALL_USAGE_METER_RATE_CARDS"
ALL_FEES = "ALL_FIXED_FEE_RATE_CARDS"
"""Words that stand for all rate cards of a kind among the entities of a credit."""

ACTIVE, CONSUMED, EXPIRED, VOIDED = "ACTIVE", "CONSUMED", "EXPIRED", "VOIDED"


@dataclass(frozen=True, slots=True)
class Credit:
    """Money that an account has in advance for what it will be invoiced."""

    key: int
    id: str
    account: int
    account_id: str
    customer_id: str
    currency: str
    zone: str
    purpose: str
    entities: tuple[str, ...]
    """What it may be used for: ids of meters, add-ons, features and price plans, or all of a kind; none: everything."""
    priority: int
    """Lower ones are used first."""
    effective_from: date
    effective_until: date | None
    """Exclusive; None: it does not expire."""
    starts_at: datetime
    ends_at: datetime | None
    grantor_id: str | None
    idempotency_key: str | None
    granted: Decimal
    paid: Decimal
    """How much of what was granted was paid for."""
    consumed: Decimal
    lapsed: Decimal
    """What expired, or was voided."""
    voided: bool
    created_at: datetime
    updated_at: datetime

    @property
    def left(self) -> Decimal:
        """What may still be used."""
        return self.granted - self.consumed - self.lapsed

    @property
    def ledger_account(self) -> LedgerAccount:
        """Where what is left of it stands."""
        return LedgerAccount(Kind.CREDIT, self.currency, self.account, self.id)

    def status(self, now: datetime) -> str:
        """What it is at an instant. One whose range is over is EXPIRED, whether or not that has been posted yet."""
        if self.voided:
            return VOIDED
        if self.granted == self.consumed:
            return CONSUMED
        return EXPIRED if self.lapsed or (self.ends_at is not None and self.ends_at <= now) else ACTIVE

    def covers(self, first: datetime, last: datetime) -> bool:
        """Whether it was in force at any instant from the first to the last, both included."""
        return self.starts_at <= last and (self.ends_at is None or self.ends_at > first)

    def order(self) -> tuple[int, bool, datetime, int]:
        """The order in which credits are used: by priority, then those that end soonest, then the oldest."""
        return (self.priority, self.ends_at is None, self.ends_at or self.starts_at, self.key)


def check_voidable(credit: Credit, now: datetime) -> None:
    """Raise `WrongState` unless a credit is active."""
    status = credit.status(now)
    if status != ACTIVE:
        raise WrongState(f"credit {credit.id!r} is {status}; only an active one can change")


def voided_shares(credit: Credit) -> tuple[Decimal, Decimal]:
    """Of what is left of a credit, what was paid for and is owed, and what was only given. The gift is used first."""
    owed = min(credit.left, credit.paid)
    return owed, credit.left - owed
