"""What a plan would charge for some usage: the arithmetic of an invoice without an invoice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType

from bursar.catalog import plans
from bursar.catalog.definitions import FeeCard, LicenseCard, PlanDetails, PricingRule, UsageCard
from bursar.catalog.plans import PlanVersion
from bursar.core.caller import Caller
from bursar.core.currencies import EXPONENTS
from bursar.core.cycles import days_in, local_date
from bursar.core.decimals import SCALE, round_line
from bursar.core.errors import Invalid, WrongState
from bursar.core.period import FIRST, FOREVER, Period, show_instant
from bursar.db.database import Connection
from bursar.invoicing.pricing import charge
from bursar.invoicing.ruled import RuleBook, books_of
from bursar.purchases import licenses
from bursar.purchases import store as schedules
from bursar.purchases.model import AccountFacts, Segment, cycle_number
from bursar.purchases.named_licenses import Wanted
from bursar.rating.fees import falls_in, fee
from bursar.rating.licenses import by_day
from bursar.rating.pricing_rules import Verdict, run_rules
from bursar.rating.slabs import Charge
from bursar.usage import quantities

_ZERO = Decimal(0)
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class RunningCycle:
    """The cycle of an account at an instant, as far as its plan covers it."""

    account: AccountFacts
    segment: Segment
    period: Period

    @property
    def number(self) -> int:
        """Of the association, from 0."""
        return cycle_number(self.segment.calendar, self.segment.anchor, self.period.start)


@dataclass(frozen=True, slots=True)
class Share:
    """The local days of a cycle that are charged, and those that it has."""

    days: int
    of_days: int


@dataclass(frozen=True, slots=True)
class UsageRevenue:
    """What the quantity of a meter costs by a card."""

    card: UsageCard
    charge: Charge
    ruled: Decimal = _ZERO
    """What pricing rules made more, or less, of it."""


@dataclass(frozen=True, slots=True)
class FeeRevenue:
    """What of a fee is charged, 12 decimals; zero in a cycle in which it is not due."""

    card: FeeCard
    amount: Decimal


@dataclass(frozen=True, slots=True)
class LicenseRevenue:
    """What the most licences of a cycle cost by a card, for the days that are charged."""

    card: LicenseCard
    charge: Charge
    share: Share
    """Of the cycle."""


@dataclass(frozen=True, slots=True)
class Addition:
    """What a pricing rule adds."""

    rule: PricingRule
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Calculation:
    """What a plan charges, card by card, before rounding to the currency; commitments are left out."""

    usage: list[UsageRevenue]
    fees: list[FeeRevenue]
    added: list[Addition] = field(default_factory=list)
    licenses: list[LicenseRevenue] = field(default_factory=list)


def calculate(
    details: PlanDetails,
    currency: str,
    used: Mapping[int, Decimal],
    cycle: int,
    share: Share | None = None,
    held: Mapping[int, Decimal] = MappingProxyType({}),
) -> Calculation:
    """What a plan charges in the cycle of a number, counted from 0, for quantities by internal key of the meter.

    Its pricing rules are applied, those for the invoice in advance too. `held` are the most licences, by internal key
    of the add-on. `share` prorates fees and licences that are charged by the day.

    Raises `Invalid` for a currency that the plan does not have.
    """
    if currency not in details.currencies:
        raise Invalid("currencyConfig.currency", f"{currency!r} is not among the plan's supported currencies")
    part = share or Share(1, 1)
    fees = []
    for card in details.fees:
        due = falls_in(cycle, recurring=card.recurring, interval=card.interval, offset=card.offset)
        rate = card.in_currency(currency)
        amount = fee(rate, part.days, part.of_days, prorated=card.prorated, opens_cycle=True) if due else None
        fees.append(FeeRevenue(card, amount or _ZERO))
    usage = [UsageRevenue(card, charge(card, currency, used.get(card.meter, _ZERO))) for card in details.usage]
    licenses = [
        LicenseRevenue(
            card, charge(card, currency, held.get(card.add_on, _ZERO)), part if card.prorated else Share(1, 1)
        )
        for card in details.licenses
    ]
    found = Calculation(usage, fees, licenses=licenses)
    for in_advance, book in books_of(details).items():
        found = _ruled(found, book, currency, cycle, in_advance=in_advance)
    return found


def _ruled(found: Calculation, book: RuleBook, currency: str, cycle: int, *, in_advance: bool) -> Calculation:
    """A calculation with the rules for one of the invoices applied."""
    usage = {} if in_advance else {f"urc.{entry.card.meter_id}": entry for entry in found.usage}
    fees = {f"ff.{entry.card.add_on_id}": entry for entry in found.fees if entry.card.in_advance is in_advance}
    idle = {
        f"revenue.{key}"
        for key, entry in fees.items()
        if not falls_in(cycle, recurring=entry.card.recurring, interval=entry.card.interval, offset=entry.card.offset)
    }
    runs = run_rules(
        book.steps,
        {f"usage.{key}": entry.charge.quantity for key, entry in usage.items()}
        | {f"revenue.{key}": entry.charge.amount for key, entry in usage.items()}
        | {f"revenue.{key}": entry.amount for key, entry in fees.items()},
        rate=lambda name, quantity: charge(usage[name.removeprefix("revenue.")].card, currency, quantity).amount,
        rounded=lambda amount: round_line(amount, EXPONENTS.get(currency, SCALE)),
        uncharged=frozenset(idle),
    )
    added = list(found.added)
    for rule, run in zip(book.rules, runs, strict=True):
        if run.verdict is not Verdict.TRUE:
            continue
        if rule.action.target is None:
            added.append(Addition(rule, run.new_revenue))
        elif rule.key in usage:
            card = usage[rule.key].card
            rated = charge(card, currency, run.new_usage or _ZERO)
            usage[rule.key] = UsageRevenue(card, rated, run.new_revenue - rated.amount)
        else:
            fees[rule.key] = FeeRevenue(fees[rule.key].card, run.new_revenue)
    return Calculation(
        usage=[usage.get(f"urc.{entry.card.meter_id}", entry) for entry in found.usage],
        fees=[fees.get(f"ff.{entry.card.add_on_id}", entry) for entry in found.fees],
        added=added,
        licenses=found.licenses,
    )


def share_of(cycle: Period, current: datetime, zone: str, field: str) -> Share:
    """What is left of a cycle from an instant on, in local days. Raises `Invalid` for an instant outside it."""
    if current not in cycle:
        raise Invalid(field, "must lie in the cycle")
    return Share(days_in(Period(current, cycle.end), zone), days_in(cycle, zone))


async def running_cycle(connection: Connection, caller: Caller, account_id: str, moment: datetime) -> RunningCycle:
    """The cycle of an account at an instant. Raises `NotFound`, or `WrongState` where no plan is associated then."""
    account = await schedules.find_account(connection, caller.workspace, account_id)
    for segment in await schedules.segments_of(connection, caller.workspace, account.key):
        if FIRST <= moment < FOREVER and moment in segment.period:
            period = segment.calendar.cycle_at(moment).overlap(segment.period)
            assert period is not None, "both hold the instant"
            return RunningCycle(account, segment, period)
    raise WrongState(f"account {account_id!r} has no price plan at {show_instant(moment)}")


async def plan_of(connection: Connection, caller: Caller, cycle: RunningCycle) -> PlanVersion:
    """The plan that holds in a cycle."""
    return await plans.version(connection, caller.workspace, cycle.segment.version)


async def held_in(
    connection: Connection, caller: Caller, account: AccountFacts, cards: Sequence[LicenseCard], period: Period
) -> dict[int, Decimal]:
    """The most licences that an account had on any day of a period, by internal key of the add-on."""
    wanted = [Wanted(account.key, card.add_on, card.named, period) for card in cards]
    found = await licenses.histories(connection, caller.workspace, wanted)
    first = local_date(period.start, account.zone)
    end = local_date(period.end - _INSTANT, account.zone) + timedelta(days=1)
    return {
        card.add_on: max(days.quantity for days in by_day(changes, first, end, account.zone))
        for card, changes in zip(cards, found, strict=True)
    }


async def used_in(
    connection: Connection, caller: Caller, account: int, cards: Sequence[UsageCard], period: Period
) -> dict[int, Decimal]:
    """What an account used of the meters of some cards, by their internal keys."""
    keys = [(account, card.meter, period.start, period.end) for card in cards]
    found = await quantities.sums(connection, caller.workspace, keys)
    return {card.meter: quantity for card, quantity in zip(cards, found, strict=True)}
