"""Buying: a purchase or a proposal is made, gets its order, is answered, runs out of time.

A purchase is PENDING until its order is paid, unless it is paid later (POSTPAID) or costs nothing: then it is granted
at once. An order waits for nobody where the wallet covers it. There is one effect per idempotency key and account.
"""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace

import msgspec

from bursar.accounts import store as accounts
from bursar.accounts.model import Account, may_change
from bursar.catalog import plans
from bursar.catalog.overrides import keep, overridden
from bursar.catalog.plans import PlanVersion
from bursar.core import crash
from bursar.core.caller import Caller
from bursar.core.cycles import local_date
from bursar.core.errors import Invalid
from bursar.core.period import FOREVER
from bursar.db import audit
from bursar.db.database import Connection, Database
from bursar.db.idempotency import Attempt, KeyReused, Outcome, once
from bursar.invoicing import orders, placing, settlement
from bursar.invoicing.model import postable
from bursar.purchases import orders as purchases
from bursar.purchases import service as schedules
from bursar.purchases.order_model import (
    Answer,
    NewPurchase,
    Purchase,
    answered,
    check_grants,
    check_new,
    check_plan,
    check_quantities,
    check_topup,
)

_OPERATION = "purchase"
"""One name for purchases and proposals: a key belongs to one of either."""


async def buy(db: Database, caller: Caller, new: NewPurchase) -> str:
    """Buy; returns the id of the purchase. With an idempotency key, that of the first one under it.

    Raises `NotFound` for the account or the plan, `Invalid` for what cannot be bought or a key that belongs to another
    request, `WrongState` for an archived account or a plan that is not active.
    """
    return await _once(db, caller, new, "buy", lambda connection: _make(connection, caller, new, proposed=False))


async def propose(db: Database, caller: Caller, new: NewPurchase) -> str:
    """Propose a purchase, at the price of now; returns its id. Raises as `buy` does."""
    return await _once(db, caller, new, "propose", lambda connection: _make(connection, caller, new, proposed=True))


async def answer_proposal(db: Database, caller: Caller, identifier: str, answer: Answer) -> None:
    """Approve or decline a proposal. An approved one is a purchase from then on; a second time, nothing happens.

    Raises `NotFound`, `WrongState` for one that was answered otherwise or has expired, and as `buy` does.
    """
    await db.run(caller.workspace, lambda connection: _answer(connection, caller, identifier, answer))


async def _once(
    db: Database, caller: Caller, new: NewPurchase, verb: str, make: Callable[[Connection], Awaitable[Purchase]]
) -> str:
    if new.idempotency_key is None:
        return (await db.run(caller.workspace, make)).id
    digest = hashlib.sha256(msgspec.json.encode([verb, new], order="deterministic")).digest()
    attempt = Attempt(caller.workspace, _OPERATION, new.account_id, new.idempotency_key, digest)

    async def work(joined: Database) -> Outcome:
        made = await joined.run(caller.workspace, make)
        return Outcome(200, "text/plain", made.id.encode())

    try:
        outcome = await once(db, attempt, caller.wall, work)
    except KeyReused:
        rule = f"{new.idempotency_key!r} belongs to another purchase of account {new.account_id!r}; use a new key"
        raise Invalid("idempotencyKey", rule) from None
    return outcome.body.decode()


async def _make(connection: Connection, caller: Caller, new: NewPurchase, *, proposed: bool) -> Purchase:
    check_new(new, caller.now)
    if new.goods.type == "ASSOCIATION" and not proposed:
        # Before any row is held.
        await schedules.enter(connection, caller, new.account_id)
    account = await accounts.lock_account(connection, caller.workspace, new.account_id)
    may_change("account", account.id, account.status)
    if new.goods.type == "ASSOCIATION":
        new = _dated(new, caller, account)
    mode = new.payment_mode or await purchases.default_mode(connection, caller.workspace, account.key)
    exponent: int = await connection.fetchval(orders.queries.currency_exponent, caller.workspace, account.currency)
    if new.goods.topup is not None:
        check_topup(new.goods.topup, exponent, account.currency)
    plan = await _plan(connection, caller, account, new)
    priced = await placing.priced(connection, caller, account, new.goods, plan, exponent)
    if new.goods.type == "PREPAID" and not priced.content.total:
        raise Invalid("rateCardQuantities", "cost nothing at the plan's prices: there is nothing to pay ahead")
    if not postable(priced.content):
        raise Invalid("quantity", "makes the price larger than can be posted")
    if plan is not None and plan.override is not None:
        plan = await keep(connection, caller, plan)
    purchase = await purchases.insert(
        connection,
        caller,
        account,
        new,
        mode=mode,
        proposed=proposed,
        version=None if plan is None else plan.version_key,
        price=priced.content.total,
    )
    verb = "propose" if proposed else "buy"
    await audit.record(connection, caller, verb, "purchase", purchase.id, {"type": purchase.type, "mode": mode})
    return purchase if proposed else await _place(connection, caller, account, purchase)


def _dated(new: NewPurchase, caller: Caller, account: Account) -> NewPurchase:
    """An association from today on, and for good, where nothing else is said."""
    goods = new.goods
    today = local_date(caller.now, account.timezone or caller.timezone)
    dates = {
        "effective_from": goods.effective_from or today,
        "effective_until": goods.effective_until or FOREVER.date(),
    }
    return replace(new, goods=replace(goods, **dates))  # type: ignore[arg-type]  # both are dates


async def _plan(connection: Connection, caller: Caller, account: Account, new: NewPurchase) -> PlanVersion | None:
    """The plan that is bought, with what it says otherwise; not kept yet."""
    if new.price_plan_id is None:
        return None
    kind = "PURCHASE" if new.goods.type == "ENTITLEMENT_GRANT" else "BILLING"
    plan = await plans.hold(connection, caller.workspace, new.price_plan_id)
    check_plan(plan, kind, account.currency)
    if new.override is not None:
        plan = overridden(plan, new.override)
        check_plan(plan, kind, account.currency)
    check_quantities(new.goods.quantities, plan.details)
    if kind == "PURCHASE":
        check_grants(new.goods, plan.details)
    return plan


async def _place(connection: Connection, caller: Caller, account: Account, purchase: Purchase) -> Purchase:
    """Let a purchase that waits have its order, and be granted where it need not wait any longer."""
    plan = None
    if purchase.version is not None:
        plan = await plans.version(connection, caller.workspace, purchase.version)
    invoice = await placing.place(connection, caller, account, purchase, plan)
    crash.point("purchase placed")
    if purchase.payment_mode == "POSTPAID" or not purchase.price:
        await orders.fulfil(connection, caller, purchase)
    elif purchase.type != "WALLET_TOPUP":
        await settlement.pay_from_wallets(connection, caller, [invoice], whole=True)
    return await purchases.find(connection, caller.workspace, purchase.id)


async def _answer(connection: Connection, caller: Caller, identifier: str, answer: Answer) -> None:
    found = await purchases.find_proposal(connection, caller.workspace, identifier)
    if found.type == "ASSOCIATION" and answer == "APPROVE":
        await schedules.enter(connection, caller, found.account_id)
    account = await accounts.lock_account(connection, caller.workspace, found.account_id)
    (proposal,) = await purchases.lock(connection, caller.workspace, [found.key])
    wanted = answered(proposal, answer, caller.now)
    if wanted is None:
        return
    may_change("account", account.id, account.status)
    purchase = await purchases.answer(connection, caller, proposal, wanted)
    crash.point("proposal answered")
    await audit.record(connection, caller, answer.lower(), "purchase", identifier)
    if wanted == "APPROVED":
        await _place(connection, caller, account, purchase)
