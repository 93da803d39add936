"""Revenue over time: what usage rate cards have come to, cycle by cycle, before rounding."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

from bursar.catalog import plans
from bursar.core.caller import Caller
from bursar.core.period import Period
from bursar.db.database import Connection, Row
from bursar.invoicing.model import charge
from bursar.invoicing.store import queries
from bursar.usage import quantities


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
class _Step:
    """A stretch of one cycle between two bounds."""

    place: int
    period: Period


async def revenue(
    connection: Connection,
    caller: Caller,
    bounds: Sequence[datetime],
    accounts: Sequence[int] | None = None,
    meters: Sequence[int] | None = None,
) -> list[RevenuePoint]:
    """Revenue per account and usage meter in each `[bounds[i], bounds[i+1])`, zero ones left out.

    Inside a cycle it is what the cycle's quantity costs at the upper bound less what it cost at the lower: with slabs,
    the same quantity brings more or less by its place in the cycle. Commitments and other lines are left out. Counts
    cycles that have been opened (`opening.open_cycles`).
    """
    rows = await connection.fetch(
        queries.list_periods, caller.workspace, bounds[0], bounds[-1], None if accounts is None else list(accounts)
    )
    versions = await plans.versions(connection, caller.workspace, list({row["price_plan_version"] for row in rows}))
    wanted = [
        (row, card, _steps(row, bounds))
        for row in rows
        for card in versions[row["price_plan_version"]].details.usage
        if meters is None or card.meter in meters
    ]
    keys = [
        (row["account"], card.meter, step.period.start, step.period.end) for row, card, some in wanted for step in some
    ]
    used = iter(await quantities.sums(connection, caller.workspace, keys))
    totals: defaultdict[tuple[int, int, str, int, str], Decimal] = defaultdict(Decimal)
    for row, card, some in wanted:
        quantity = cost = Decimal(0)
        for step in some:
            quantity += next(used)
            before, cost = cost, charge(card, row["currency"], quantity).amount
            if step.place >= 0:
                totals[row["account"], card.meter, card.meter_id, step.place, row["currency"]] += cost - before
    return [
        RevenuePoint(account, meter, meter_id, place, currency, amount)
        for (account, meter, meter_id, place, currency), amount in sorted(totals.items())
        if amount
    ]


def _steps(row: Row, bounds: Sequence[datetime]) -> list[_Step]:
    """A cycle cut at the bounds, from its start to the last of them; what lies before the first has place -1."""
    start, end = row["starts_at"], min(row["ends_at"], bounds[-1])
    cuts = [start, *(bound for bound in bounds if start < bound < end), end]
    return [_Step(sum(bound <= lower for bound in bounds) - 1, Period(lower, upper)) for lower, upper in pairwise(cuts)]
