"""Revenue over time, and the usage and revenue of whole cycles: what usage rate cards have come to, before rounding."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

from bursar.catalog import plans
from bursar.catalog.definitions import UsageCard
from bursar.core.caller import Caller
from bursar.core.errors import Invalid
from bursar.core.period import Period
from bursar.db.database import Connection, Row
from bursar.invoicing.pricing import charge
from bursar.invoicing.store import queries
from bursar.usage import quantities

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class RevenuePoint:
    """What usage of one account and meter brought between two bounds."""

    account: int
    meter: int
    """Internal key of the usage meter."""
    meter_id: str
    place: int
    """Index of the lower bound."""
    currency: str
    amount: Decimal
    """12 decimals, not rounded to the currency."""


@dataclass(frozen=True, slots=True)
class CycleUsage:
    """What one account used of a meter that its plan prices, in one whole billing period."""

    account: int
    meter: int
    place: int
    """Index of the lower bound of the time in which the period begins."""
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class _Step:
    """A stretch of one cycle between two bounds."""

    place: int
    period: Period


@dataclass(frozen=True, slots=True)
class _Priced:
    """A billing period and one of the cards of its plan."""

    row: Row
    plan: str
    card: UsageCard
    deferred: bool
    """Whether the plan tells nothing of revenue before the grace of the period has ended."""

    def told(self, now: datetime) -> bool:
        """Whether what the period brings is told."""
        return not self.deferred or bool(self.row["due_at"] <= now)

    def cost(self, currency: str, quantity: Decimal) -> Decimal:
        """What a quantity costs, 12 decimals. Raises `Invalid` where the plan has no prices in the currency."""
        if not quantity:
            return _ZERO
        try:
            return charge(self.card, currency, quantity).amount
        except KeyError:
            rule = f"price plan {self.plan!r} has no prices in {currency}; ask for the currency INVOICE"
            raise Invalid("configs.CURRENCY", rule) from None


async def revenue(
    connection: Connection,
    caller: Caller,
    bounds: Sequence[datetime],
    accounts: Sequence[int] | None = None,
    meters: Sequence[int] | None = None,
    *,
    currency: str | None = None,
) -> list[RevenuePoint]:
    """Revenue per account and usage meter in each `[bounds[i], bounds[i+1])`, zero ones left out.

    Inside a cycle it is what the cycle's quantity costs at the upper bound less what it cost at the lower: with slabs,
    the same quantity brings more or less by its place in the cycle. Commitments and other lines are left out. Counts
    cycles that have been opened (`opening.open_cycles`). Everything is priced in `currency`, or by None in the currency
    of each account. Periods of plans with deferred revenue count once their grace has ended. Raises `Invalid` where a
    plan has no prices in `currency`.
    """
    wanted = [
        (entry, _steps(entry.row, bounds))
        for entry in await _priced(connection, caller, bounds, accounts, meters)
        if entry.told(caller.now)
    ]
    keys = [
        (entry.row["account"], entry.card.meter, step.period.start, step.period.end)
        for entry, some in wanted
        for step in some
    ]
    used = iter(await quantities.sums(connection, caller.workspace, keys))
    totals: defaultdict[tuple[int, int, str, int, str], Decimal] = defaultdict(Decimal)
    for entry, some in wanted:
        unit = currency or entry.row["currency"]
        quantity = cost = _ZERO
        for step in some:
            quantity += next(used)
            before, cost = cost, entry.cost(unit, quantity)
            if step.place >= 0:
                totals[entry.row["account"], entry.card.meter, entry.card.meter_id, step.place, unit] += cost - before
    return _points(totals)


async def cycle_usage(
    connection: Connection,
    caller: Caller,
    bounds: Sequence[datetime],
    accounts: Sequence[int] | None = None,
    meters: Sequence[int] | None = None,
) -> list[CycleUsage]:
    """What was used in the billing periods that begin in each `[bounds[i], bounds[i+1])`, zero ones left out.

    Periods count as a whole, also where they end beyond the last bound. Counts cycles that have been opened.
    """
    begun = await _begun(connection, caller, bounds, accounts, meters)
    return [
        CycleUsage(entry.row["account"], entry.card.meter, place, quantity)
        for entry, place, quantity in begun
        if quantity
    ]


async def cycle_revenue(
    connection: Connection,
    caller: Caller,
    bounds: Sequence[datetime],
    accounts: Sequence[int] | None = None,
    meters: Sequence[int] | None = None,
    *,
    currency: str | None = None,
) -> list[RevenuePoint]:
    """What `cycle_usage` costs: the usage rate cards of the billing periods that begin between two bounds.

    Those of plans with deferred revenue count once their grace has ended.
    """
    totals: defaultdict[tuple[int, int, str, int, str], Decimal] = defaultdict(Decimal)
    for entry, place, quantity in await _begun(connection, caller, bounds, accounts, meters):
        if not entry.told(caller.now):
            continue
        unit = currency or entry.row["currency"]
        totals[entry.row["account"], entry.card.meter, entry.card.meter_id, place, unit] += entry.cost(unit, quantity)
    return _points(totals)


async def _priced(
    connection: Connection,
    caller: Caller,
    bounds: Sequence[datetime],
    accounts: Sequence[int] | None,
    meters: Sequence[int] | None,
) -> list[_Priced]:
    """The billing periods that overlap the bounds, with each of their usage rate cards."""
    rows = await connection.fetch(
        queries.list_periods, caller.workspace, bounds[0], bounds[-1], None if accounts is None else list(accounts)
    )
    versions = await plans.versions(connection, caller.workspace, list({row["price_plan_version"] for row in rows}))
    found = [(row, versions[row["price_plan_version"]]) for row in rows]
    return [
        _Priced(row, plan.name, card, plan.details.deferred_revenue)
        for row, plan in found
        for card in plan.details.usage
        if meters is None or card.meter in meters
    ]


async def _begun(
    connection: Connection,
    caller: Caller,
    bounds: Sequence[datetime],
    accounts: Sequence[int] | None,
    meters: Sequence[int] | None,
) -> list[tuple[_Priced, int, Decimal]]:
    """The billing periods that begin between the bounds: each card, the place of its beginning, its quantity."""
    found = [
        entry
        for entry in await _priced(connection, caller, bounds, accounts, meters)
        if entry.row["starts_at"] >= bounds[0]
    ]
    keys = [(entry.row["account"], entry.card.meter, entry.row["starts_at"], entry.row["ends_at"]) for entry in found]
    used = await quantities.sums(connection, caller.workspace, keys)
    return [
        (entry, _place(entry.row["starts_at"], bounds), quantity) for entry, quantity in zip(found, used, strict=True)
    ]


def _points(totals: dict[tuple[int, int, str, int, str], Decimal]) -> list[RevenuePoint]:
    return [
        RevenuePoint(account, meter, meter_id, place, currency, amount)
        for (account, meter, meter_id, place, currency), amount in sorted(totals.items())
        if amount
    ]


def _place(moment: datetime, bounds: Sequence[datetime]) -> int:
    return sum(bound <= moment for bound in bounds) - 1


def _steps(row: Row, bounds: Sequence[datetime]) -> list[_Step]:
    """A cycle cut at the bounds, from its start to the last of them; what lies before the first has place -1."""
    start, end = row["starts_at"], min(row["ends_at"], bounds[-1])
    cuts = [start, *(bound for bound in bounds if start < bound < end), end]
    return [_Step(_place(lower, bounds), Period(lower, upper)) for lower, upper in pairwise(cuts)]
