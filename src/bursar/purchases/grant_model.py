"""The rules of grants: which are drawn and by how much, what is left, what may be changed. Pure; `now` is given.

A grant holds units of a feature over `[from, until)`. Those that end soonest are drawn first, of these the oldest;
overage comes after all others. A grant of overage may be without limit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal, NamedTuple

from bursar.core import decimals
from bursar.core.errors import BursarError, Invalid, WrongState
from bursar.core.period import Period

Source = Literal["ENTITLEMENT", "PRICE_PLAN", "OVERAGE", "REFUND"]
Status = Literal["ACTIVE", "EXPIRED", "VOIDED"]
OVERAGE: Source = "OVERAGE"

ZERO = Decimal(0)


class TooFewUnits(BursarError):
    """The grants in force do not hold what is needed."""

    def __init__(self, needed: Decimal, left: Decimal | None) -> None:
        self.needed = needed
        self.left = left
        """What they hold; None where no grant is in force at all."""
        super().__init__()


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant as it stands."""

    key: int
    id: str
    source: Source
    effective: Period
    granted: Decimal | None
    """Units in all; None: without limit."""
    used: Decimal
    voided: bool
    held: Decimal = ZERO
    """Units that are set aside, by holds whose time is not over."""

    @property
    def unused(self) -> Decimal | None:
        """Units that it has, those set aside included, whether or not it is in force; None: without limit."""
        if self.voided:
            return ZERO
        return None if self.granted is None else self.granted - self.used

    @property
    def left(self) -> Decimal | None:
        """`unused`, without what is set aside: what may be drawn."""
        unused = self.unused
        return None if unused is None else unused - self.held

    def in_force(self, now: datetime) -> bool:
        """Whether it may be drawn."""
        return not self.voided and now in self.effective

    def status(self, now: datetime) -> Status:
        """ACTIVE also before it begins."""
        if self.voided:
            return "VOIDED"
        return "EXPIRED" if now >= self.effective.end else "ACTIVE"


class Draw(NamedTuple):
    """So many units of the grant with this key."""

    grant: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Standing:
    """What an account has of a feature at an instant."""

    granted: Decimal
    balance: Decimal
    overage_limit: Decimal | None
    """Units that may be used beyond the balance, used ones included; None where there is no limit, or no overage."""
    used_overage: Decimal


@dataclass(slots=True)
class Stock:
    """The grants of one account and feature, held by one transaction, as it draws them, in their turn."""

    key: int
    """Of the balance that they belong to."""
    grants: list[Grant]
    """As they stood before the last draws: which have units, and how they differ, is what `draw` tells."""
    _turn_at: datetime | None = field(default=None, init=False)
    """The instant at which it is the turn of a grant that has units left; None: nobody knows whose turn it is."""
    _turn_key: int = field(default=0, init=False)
    _left: Decimal | None = field(default=None, init=False)
    """Its units; None: without limit."""
    _taken: Decimal = field(default=ZERO, init=False)
    """What was drawn of it since it stands in `grants`."""

    def __post_init__(self) -> None:
        self.grants.sort(key=_turn)

    def draw(self, needed: Decimal, now: datetime) -> list[Draw]:
        """Take units out. Raises `TooFewUnits`; then nothing is taken."""
        # Most often the grant whose turn it is has enough, and it is the one of the last time.
        if needed > 0 and self._turn_at == now and (self._left is None or self._left >= needed):
            self._taken += needed
            if self._left is not None:
                self._left -= needed
            return [Draw(self._turn_key, needed)]
        self._note()
        draws = draw(self.grants, needed, now)
        amounts = {entry.grant: entry.amount for entry in draws}
        self.grants = [
            replace(grant, used=grant.used + amounts[grant.key]) if grant.key in amounts else grant
            for grant in self.grants
        ]
        self._begin(now)
        return draws

    def reserve(self, needed: Decimal, now: datetime) -> list[Draw]:
        """Set units aside. Raises `TooFewUnits`; then nothing is."""
        self._note()
        draws = draw(self.grants, needed, now)
        amounts = {entry.grant: entry.amount for entry in draws}
        self.grants = [replace(grant, held=grant.held + amounts.get(grant.key, ZERO)) for grant in self.grants]
        return draws

    def _begin(self, now: datetime) -> None:
        """Remember the first grant that has units: it is drawn next."""
        for grant in self.grants:
            if grant.in_force(now) and grant.left != 0:
                self._turn_at, self._turn_key, self._left = now, grant.key, grant.left
                return

    def _note(self) -> None:
        """Write what was drawn of the grant whose turn it was into `grants`."""
        if self._taken:
            self.grants = [
                replace(grant, used=grant.used + self._taken) if grant.key == self._turn_key else grant
                for grant in self.grants
            ]
        self._turn_at, self._taken = None, ZERO


def draw(grants: Iterable[Grant], needed: Decimal, now: datetime) -> list[Draw]:
    """How many units of which grants make up what is needed; none for zero, which takes no more than a grant in force.

    Raises `TooFewUnits` where they do not hold as much: units are drawn whole or not at all.
    """
    usable = sorted((grant for grant in grants if grant.in_force(now)), key=_turn)
    if not usable:
        raise TooFewUnits(needed, None)
    draws = []
    missing = needed
    for grant in usable:
        amount = missing if grant.left is None else min(grant.left, missing)
        if amount > 0:
            draws.append(Draw(grant.key, amount))
            missing -= amount
    if missing > 0:
        raise TooFewUnits(needed, needed - missing)
    return draws


def standing(grants: Sequence[Grant], now: datetime) -> Standing:
    """What the grants in force come to."""
    usable = [grant for grant in grants if grant.in_force(now)]
    plain = [grant for grant in usable if grant.source != OVERAGE]
    overage = [grant for grant in usable if grant.source == OVERAGE]
    limits = [grant.granted for grant in overage if grant.granted is not None]
    return Standing(
        granted=sum((grant.granted or ZERO for grant in plain), ZERO),
        balance=sum((grant.left or ZERO for grant in plain), ZERO),
        overage_limit=sum(limits, ZERO) if limits and len(limits) == len(overage) else None,
        used_overage=sum((grant.used for grant in overage), ZERO),
    )


def value_of(grants: Iterable[Grant], now: datetime) -> str:
    """What an account is told of its entitlement to a feature.

    `false` without a grant in force; `unlimited` where one has no limit; `true` where they are of no units at all, as
    for a feature that one has or has not; else the units that are left.
    """
    usable = [grant for grant in grants if grant.in_force(now)]
    if not usable:
        return "false"
    if any(grant.granted is None for grant in usable):
        return "unlimited"
    if not any(grant.granted for grant in usable):
        return "true"
    return decimals.show(_left(usable))


def meets(grants: Iterable[Grant], asked: str, now: datetime) -> bool:
    """Whether the grants in force allow what is asked: a number of units, `true` or `false`, else the value itself."""
    usable = [grant for grant in grants if grant.in_force(now)]
    if asked in ("true", "false"):
        return bool(usable) == (asked == "true")
    if decimals.NUMERAL.fullmatch(asked):
        return bool(usable) and (any(grant.granted is None for grant in usable) or Decimal(asked) <= _left(usable))
    return asked == value_of(usable, now)


def _left(grants: Iterable[Grant]) -> Decimal:
    return sum((grant.left or ZERO for grant in grants), ZERO)


def edited(grant: Grant, until: datetime | None, granted: Decimal | None, now: datetime) -> Grant:
    """The grant with another end or number of units; None leaves one as it is.

    Raises `WrongState` unless it is active, `Invalid` for an end that is past, and for no more units than are used.
    """
    _check_active(grant, now)
    if until is not None:
        if until <= now:
            raise Invalid("effectiveUntil", "must lie in the future")
        if until <= grant.effective.start:
            raise Invalid("effectiveUntil", "must lie behind effectiveFrom")
        grant = replace(grant, effective=Period(grant.effective.start, until))
    if granted is not None:
        if grant.granted is None:
            raise Invalid("granted", "must be left out of an entry without limit")
        if not decimals.fits(granted):
            raise Invalid("granted", "must have at most 26 digits before the point and 12 behind it")
        if granted <= grant.used:
            raise Invalid("granted", f"must be greater than the {decimals.show(grant.used)} that are used")
        if granted < grant.used + grant.held:
            raise Invalid("granted", f"must leave the {decimals.show(grant.held)} that holds have of it")
        grant = replace(grant, granted=granted)
    return grant


def voided(grant: Grant, now: datetime) -> Grant:
    """The grant without what is left of it. Raises `WrongState` unless it is active and no hold has units of it."""
    _check_active(grant, now)
    if grant.held:
        held = decimals.show(grant.held)
        raise WrongState(f"holds have {held} of feature credit entry {grant.id!r}; settle or release them first")
    return replace(grant, voided=True)


def _check_active(grant: Grant, now: datetime) -> None:
    status = grant.status(now)
    if status != "ACTIVE":
        raise WrongState(f"feature credit entry {grant.id!r} is {status.lower()}")


def _turn(grant: Grant) -> tuple[bool, datetime, int]:
    return grant.source == OVERAGE, grant.effective.end, grant.key
