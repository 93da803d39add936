"""Orders: what a purchase costs, and the invoice that it is to be paid by, issued as it is made."""

from dataclasses import dataclass
from typing import Literal

import msgspec

from bursar.accounts.model import Account
from bursar.catalog import add_ons, features
from bursar.catalog.plans import PlanVersion
from bursar.core import ids
from bursar.core.caller import Caller
from bursar.core.cycles import add_days, local_date, local_midnight
from bursar.core.period import Period
from bursar.db.database import Connection
from bursar.invoicing import issuing, store
from bursar.invoicing.content import Drawn, advance_content, document_of
from bursar.invoicing.model import ORDER_ADVANCED, ORDER_ONCE, Content
from bursar.invoicing.order_lines import PlanOrder, money_content
from bursar.invoicing.orders import queries
from bursar.ledger.service import balances_held
from bursar.purchases import store as segments
from bursar.purchases.edits import On, edited
from bursar.purchases.model import billing_periods, refuse_invoiced, span
from bursar.purchases.order_model import Goods, Purchase


@dataclass(frozen=True, slots=True)
class Priced:
    """What a purchase costs."""

    content: Content
    period: Period
    """The time that it is for: of what is bought once, the day; of an association, its first billing period."""
    type: str
    """Of the order."""


async def priced(
    connection: Connection,
    caller: Caller,
    account: Account,
    goods: Goods,
    plan: PlanVersion | None,
    exponent: int,
) -> Priced:
    """What a purchase costs an account now, in its currency.

    Raises `Invalid` for dates that cannot be, `WrongState` for an association over time that is already invoiced.
    """
    zone = account.timezone or caller.timezone
    if goods.type == "ASSOCIATION":
        assert plan is not None
        return await _association(connection, caller, account, goods, plan, exponent)
    start = local_midnight(local_date(caller.now, zone), zone)
    today = Period(start, add_days(start, 1, zone))
    if goods.topup is not None:
        kind: Literal["WALLET_TOPUP", "PREPAID"] = "PREPAID" if goods.type == "PREPAID" else "WALLET_TOPUP"
        return Priced(money_content(kind, goods.topup, account.currency, exponent), today, ORDER_ONCE)
    assert plan is not None
    names = await _names(connection, caller, plan)
    return Priced(PlanOrder(plan, goods, account.currency, exponent, names).content(), today, ORDER_ONCE)


async def place(
    connection: Connection, caller: Caller, account: Account, purchase: Purchase, plan: PlanVersion | None
) -> int:
    """Make and issue the order of a purchase; returns the key of its invoice.

    The wallet is held from here on: the order may be paid from it, or be for it.
    """
    exponent: int = await connection.fetchval(queries.currency_exponent, caller.workspace, account.currency)
    one = await priced(connection, caller, account, purchase.goods, plan, exponent)
    assert one.content.total == purchase.price, "a purchase costs what it was said to cost"
    # Wallets come before other balances, whoever holds them.
    await balances_held(connection, caller, {account.key: account.currency})
    invoice: int = await connection.fetchval(
        queries.insert_order,
        caller.workspace,
        ids.draw("inv"),
        account.key,
        one.type,
        one.period.start,
        one.period.end,
        caller.now,
        caller.wall,
        purchase.key,
    )
    (header,) = await store.headers(connection, caller.workspace, [invoice])
    if purchase.payment_mode == "PREPAID":
        header = msgspec.structs.replace(header, net_term_days=0)
    drawn = Drawn(header, document_of(header, one.content, plan), one.content)
    await issuing.issue(connection, caller, [drawn])
    return invoice


async def _association(
    connection: Connection, caller: Caller, account: Account, goods: Goods, plan: PlanVersion, exponent: int
) -> Priced:
    assert goods.effective_from is not None
    assert goods.effective_until is not None
    facts = await segments.find_account(connection, caller.workspace, account.id)
    period = span(goods.effective_from, goods.effective_until, facts.zone)
    refuse_invoiced(facts, period)
    (segment,) = edited(facts, [], On(period, plan, retain=False), 1)
    first = next(billing_periods(segment, segment.period.start)).period
    names = await add_ons.display_names(connection, caller.workspace, [fee.add_on for fee in plan.details.fees])
    called = await features.names_of_features(
        connection, caller.workspace, [card.feature for card in plan.details.entitlements]
    )
    content = advance_content(plan, segment, first, account.currency, exponent, names, called)
    return Priced(content, first, ORDER_ADVANCED)


async def _names(connection: Connection, caller: Caller, plan: PlanVersion) -> dict[str, str]:
    cards = plan.details.entitlements
    found = await features.features_named(connection, caller.workspace, [card.feature_id for card in cards])
    called = await add_ons.display_names(connection, caller.workspace, [fee.add_on for fee in plan.details.fees])
    names = {fee.add_on_id: called[fee.add_on] for fee in plan.details.fees}
    measured = await store.meters(connection, caller.workspace, [card.meter for card in plan.details.usage])
    names |= {card.meter_id: measured[card.meter].name for card in plan.details.usage}
    return names | {identifier: feature.display_name for identifier, feature in found.items()}
