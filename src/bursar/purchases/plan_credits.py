"""Credits that plans give: with what is bought, once, and with the cycles of an association as they open.

The ledger has the credits; what is kept here says of each which purchase or cycle gave it, so that none gives it twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from bursar.accounts.model import Account
from bursar.accounts.store import account_at
from bursar.catalog import add_ons
from bursar.catalog.definitions import CreditGrantCard, PlanDetails
from bursar.core import crash
from bursar.core.caller import Caller
from bursar.core.cycles import local_date, local_midnight
from bursar.core.decimals import round_line
from bursar.core.durations import parse_duration
from bursar.db.database import Connection
from bursar.db.queries import Queries
from bursar.ledger import account_wallets
from bursar.ledger.credit_service import PURPOSE_LIMIT, NewCredit, grant_to
from bursar.ledger.model import LedgerAccount
from bursar.purchases.model import Segment, cycle_number, opens_cycle
from bursar.purchases.order_model import Goods, Purchase
from bursar.rating.fees import falls_in

queries = Queries("bursar.purchases", "plan_credits.sql")

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Giver:
    """A purchase or the cycle of an association; keys are internal ones."""

    id: str
    """On the wire."""
    starts_at: datetime
    purchase: int | None = None
    schedule: int | None = None


def credits_due(details: PlanDetails, cycle: int, *, opens: bool) -> list[CreditGrantCard]:
    """The cards that grant credits with a cycle of an association, if it begins for that with a period. Pure."""
    return [
        card
        for card in details.credits
        if opens and falls_in(cycle, recurring=card.recurring is not False, interval=card.interval, offset=card.offset)
    ]


def credit_amount(card: CreditGrantCard, currency: str, exponent: int, times: Decimal = Decimal(1)) -> Decimal:
    """How much a card gives, so many times, rounded toward zero to the currency's decimals. Pure."""
    return round_line(card.terms_in(currency).amount * times, exponent)


def bought(goods: Goods, details: PlanDetails, currency: str, exponent: int) -> list[tuple[CreditGrantCard, Decimal]]:
    """The credits that a purchase gives, of each card that gives any. Pure."""
    found = [(card, credit_amount(card, currency, exponent, goods.times(card.add_on_id))) for card in details.credits]
    return [(card, amount) for card, amount in found if amount]


def last_day(card: CreditGrantCard, start: datetime, zone: str, cycle_end: datetime | None) -> date | None:
    """The day with which credits granted at `start` are over, exclusive; None: never.

    A duration counts to the end of the day on which it runs out. Pure.
    """
    if card.expiry == "NO_EXPIRY":
        return None
    if card.expiry == "PRICING_CYCLE":
        assert cycle_end is not None, "only what has cycles may end with one"
        return local_date(cycle_end, zone)
    assert card.duration is not None, "a card that ends by itself says when"
    end = parse_duration(card.duration).after(start, zone)
    day = local_date(end, zone)
    return day if local_midnight(day, zone) == end else day + _DAY


async def give_bought(
    connection: Connection,
    caller: Caller,
    account: Account,
    purchase: Purchase,
    details: PlanDetails,
    *,
    paid: Mapping[str, Decimal],
    source: LedgerAccount,
) -> None:
    """Give an account the credits that it bought; `paid` is what was paid for them, by card, and stands in `source`."""
    exponent = await _exponent(connection, caller, account)
    wanted = bought(purchase.goods, details, account.currency, exponent)
    giver = _Giver(purchase.id, caller.now, purchase=purchase.key)
    for card, amount in wanted:
        await _give(connection, caller, account, giver, card, amount, None, (paid[card.name], source))
    if wanted:
        crash.point("credits bought")


async def give_with_cycles(
    connection: Connection, caller: Caller, begun: Sequence[tuple[Segment, datetime, PlanDetails]]
) -> None:
    """Give the credits that come with cycles, each once; a cycle is that in which a segment's period begins.

    The segments are held. What has been given stays as it is, whatever the plan says by now. An archived account gets
    nothing.
    """
    found = [
        (segment, start, card)
        for segment, start, details in begun
        if details.credits
        for card in credits_due(
            details,
            cycle_number(segment.calendar, segment.anchor, start),
            opens=opens_cycle(segment.calendar, segment.anchor, start),
        )
    ]
    if not found:
        return
    known = {
        (row["schedule"], row["add_on"], row["starts_at"])
        for row in await connection.fetch(
            queries.known_plan_credits, caller.workspace, list({segment.schedule for segment, _, _ in found})
        )
    }
    for segment, start, card in found:
        account = await account_at(connection, caller.workspace, segment.account)
        amount = credit_amount(card, account.currency, await _exponent(connection, caller, account))
        if (segment.schedule, card.add_on, start) in known or account.status == "ARCHIVED" or not amount:
            continue
        giver = _Giver(segment.schedule_id, start, schedule=segment.schedule)
        cycle_end = segment.calendar.cycle_at(start).end
        await _give(connection, caller, account, giver, card, amount, cycle_end)
        crash.point("credits of a cycle")


async def _give(
    connection: Connection,
    caller: Caller,
    account: Account,
    giver: _Giver,
    card: CreditGrantCard,
    amount: Decimal,
    cycle_end: datetime | None,
    paid: tuple[Decimal, LedgerAccount] | None = None,
) -> None:
    """Grant the credits of a card; what is `paid` for them at most what they are, the rest is given."""
    zone = account.timezone or caller.timezone
    names = {} if card.display_name else await add_ons.display_names(connection, caller.workspace, [card.add_on])
    new = NewCredit(
        account_id=account.id,
        purpose=(card.display_name or names[card.add_on])[:PURPOSE_LIMIT],
        amount=amount,
        effective_from=local_date(giver.starts_at, zone),
        effective_until=last_day(card, giver.starts_at, zone, cycle_end),
        priority=card.priority,
        entities=tuple(card.entities),
        grantor_id=giver.id,
        paid=paid is not None,
        price=None if paid is None else min(paid[0], amount),
        source=None if paid is None else paid[1],
    )
    key = await grant_to(connection, caller, account, new)
    await connection.execute(
        queries.insert_plan_credit,
        key,
        caller.workspace,
        giver.purchase,
        giver.schedule,
        card.add_on,
        giver.starts_at,
    )


async def _exponent(connection: Connection, caller: Caller, account: Account) -> int:
    found: int = await connection.fetchval(
        account_wallets.queries.decimals_of_currency, caller.workspace, account.currency
    )
    return found
