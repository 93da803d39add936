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


@dataclass(frozen=True, slots=True)
class _Gift:
    """Credits of a card for an account."""

    account: Account
    giver: _Giver
    card: CreditGrantCard
    amount: Decimal
    cycle_end: datetime | None
    """When the cycle ends that gives them, if one does."""
    price: Decimal | None = None
    """How much of them was paid for; that stands in `source`."""
    source: LedgerAccount | None = None


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
    exponent = await _exponent(connection, caller, account.currency)
    giver = _Giver(purchase.id, caller.now, purchase=purchase.key)
    wanted = [
        _Gift(account, giver, card, amount, None, min(paid[card.name], amount), source)
        for card, amount in bought(purchase.goods, details, account.currency, exponent)
    ]
    if wanted:
        await _give(connection, caller, wanted)
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
    schedules = list({segment.schedule for segment, _, _ in found})
    rows = await connection.fetch(queries.known_plan_credits, caller.workspace, schedules)
    known = {(row["schedule"], row["add_on"], row["starts_at"]) for row in rows}
    accounts = {
        key: await account_at(connection, caller.workspace, key)
        for key in sorted({segment.account for segment, _, _ in found})
    }
    exponents = {
        currency: await _exponent(connection, caller, currency)
        for currency in sorted({account.currency for account in accounts.values()})
    }
    wanted = []
    for segment, start, card in found:
        account = accounts[segment.account]
        amount = credit_amount(card, account.currency, exponents[account.currency])
        if (segment.schedule, card.add_on, start) not in known and account.status != "ARCHIVED" and amount:
            giver = _Giver(segment.schedule_id, start, schedule=segment.schedule)
            wanted.append(_Gift(account, giver, card, amount, segment.calendar.cycle_at(start).end))
    if wanted:
        await _give(connection, caller, wanted)
        crash.point("credits of cycles given")


async def _give(connection: Connection, caller: Caller, gifts: Sequence[_Gift]) -> None:
    unnamed = list({gift.card.add_on for gift in gifts if not gift.card.display_name})
    names = await add_ons.display_names(connection, caller.workspace, unnamed)
    new = []
    for gift in gifts:
        card, zone = gift.card, gift.account.timezone or caller.timezone
        credit = NewCredit(
            account_id=gift.account.id,
            purpose=(card.display_name or names[card.add_on])[:PURPOSE_LIMIT],
            amount=gift.amount,
            effective_from=local_date(gift.giver.starts_at, zone),
            effective_until=last_day(card, gift.giver.starts_at, zone, gift.cycle_end),
            priority=card.priority,
            entities=tuple(card.entities),
            grantor_id=gift.giver.id,
            paid=gift.source is not None,
            price=gift.price,
            source=gift.source,
        )
        new.append((gift.account, credit))
    keys = await grant_to(connection, caller, new)
    await connection.execute(
        queries.insert_plan_credits,
        caller.workspace,
        keys,
        [gift.giver.purchase for gift in gifts],
        [gift.giver.schedule for gift in gifts],
        [gift.card.add_on for gift in gifts],
        [gift.giver.starts_at for gift in gifts],
    )


async def _exponent(connection: Connection, caller: Caller, currency: str) -> int:
    found: int = await connection.fetchval(account_wallets.queries.decimals_of_currency, caller.workspace, currency)
    return found
