"""Orders are carried out: what was bought is granted once, in the transaction in which it is paid.

Whoever pays an order holds its invoice first; then the account's gate is passed, where an association was bought, then
wallets are held, then purchases.
"""

from collections.abc import Sequence
from decimal import Decimal

from msgspec import UNSET

from bursar.accounts import gate
from bursar.accounts.model import Account, may_change
from bursar.accounts.store import get_account, lock_account
from bursar.catalog import plans
from bursar.catalog.plans import PlanVersion
from bursar.core import crash
from bursar.core.caller import Caller
from bursar.core.cycles import local_date
from bursar.core.decimals import show
from bursar.core.errors import Invalid, WrongState
from bursar.db import audit
from bursar.db.database import Connection
from bursar.db.queries import Queries
from bursar.invoicing import release, store
from bursar.invoicing.document import Document, Line, frozen
from bursar.invoicing.model import in_advance, plan_line
from bursar.ledger.credit_model import ALL_USAGE
from bursar.ledger.credit_service import NewCredit, grant_all
from bursar.ledger.model import Kind, LedgerAccount, Posting, Transaction, side
from bursar.ledger.service import balances_held, post
from bursar.purchases import orders as purchases
from bursar.purchases import service as schedules
from bursar.purchases.model import span
from bursar.purchases.order_model import Purchase

queries = Queries("bursar.invoicing", "orders.sql")

CAUSE = "purchase"
_ZERO = Decimal(0)


async def prepare(connection: Connection, caller: Caller, invoices: Sequence[int]) -> None:
    """Hold what granting the purchases of orders, by key, will need, in the order in which everybody holds it."""
    if not invoices:
        return
    rows = await connection.fetch(queries.purchases_of_invoices, caller.workspace, list(invoices))
    waiting = [row for row in rows if row["status"] == "PENDING"]
    for name in sorted({row["account_id"] for row in waiting if row["type"] == "PREPAID"}):
        await lock_account(connection, caller.workspace, name)
    for account in sorted({row["account"] for row in waiting if row["type"] == "ASSOCIATION"}):
        await gate.change(connection, caller.workspace, "account", account)
    wallets = {row["account"]: row["currency"] for row in waiting}
    if wallets:
        await balances_held(connection, caller, wallets)


async def paid(connection: Connection, caller: Caller, invoices: Sequence[int]) -> None:
    """Carry out the purchases that wait for orders, by key, which are paid from now on; each once.

    What cannot be carried out any more fails, and what was paid for it goes into the account's wallet.
    """
    if not invoices:
        return
    rows = await connection.fetch(queries.purchases_of_invoices, caller.workspace, list(invoices))
    for purchase in await purchases.lock(connection, caller.workspace, [row["key"] for row in rows]):
        if purchase.status != "PENDING":
            continue
        try:
            await fulfil(connection, caller, purchase)
        except (WrongState, Invalid) as refused:
            await _give_back(connection, caller, purchase, refused.message)


async def withdraw(connection: Connection, caller: Caller, invoice: int, identifier: str) -> None:
    """Let the purchase that waits for an order fail, which is being taken back. Its invoice is held.

    Raises `WrongState` where it was granted already.
    """
    rows = await connection.fetch(queries.purchases_of_invoices, caller.workspace, [invoice])
    for purchase in await purchases.lock(connection, caller.workspace, [row["key"] for row in rows]):
        if purchase.status == "SUCCESS":
            raise WrongState(f"invoice {identifier!r} is the order of purchase {purchase.id!r}, which has been granted")
        if purchase.status == "PENDING":
            await purchases.settle(connection, caller, purchase, "FAILURE", "the order was taken back")
            await audit.record(connection, caller, "fail", "purchase", purchase.id, {"reason": "order taken back"})
            crash.point("purchase withdrawn")


async def fulfil(connection: Connection, caller: Caller, purchase: Purchase) -> None:
    """Grant what a purchase that is held was to give, and let its price be earned.

    Raises `WrongState` or `Invalid` for what cannot be granted any more; then nothing is written.
    """
    account = await get_account(connection, caller.workspace, purchase.account_id)
    may_change("account", account.id, account.status)
    invoice, document = await _order(connection, caller, purchase)
    schedule = None
    if purchase.type == "ENTITLEMENT_GRANT":
        plan = await _plan(connection, caller, purchase)
        await purchases.grant(connection, caller, account, purchase, plan)
        await _post(connection, caller, account, purchase, earned(document, account.key))
    elif purchase.type == "ASSOCIATION":
        schedule = await _associate(connection, caller, purchase)
        if in_advance(document) and document.total:
            await release.begin(connection, caller, invoice, document)
    elif purchase.type == "PREPAID":
        await _credit(connection, caller, account, purchase, document)
    else:
        await _post(connection, caller, account, purchase, topped_up(purchase, document, account.key))
    await purchases.settle(connection, caller, purchase, "SUCCESS", schedule=schedule)
    await audit.record(connection, caller, "fulfil", "purchase", purchase.id, {"type": purchase.type})
    crash.point("purchase fulfilled")


def earned(document: Document, account: int) -> tuple[Posting, ...]:
    """The postings that make what was deferred of an order revenue."""
    postings: list[Posting] = []
    for entry in document.lines:
        postings += side(LedgerAccount(Kind.DEFERRED, document.currency, account), entry.unrounded)
        postings += side(LedgerAccount(Kind.REVENUE, document.currency, detail=plan_line(entry)), -entry.unrounded)
    return tuple(postings)


def topped_up(purchase: Purchase, document: Document, account: int) -> tuple[Posting, ...]:
    """The postings of a top-up: what it cost, and beside it a discount or a fee, make what the wallet gets."""
    topup = purchase.goods.topup
    assert topup is not None, "a top-up has an amount"
    currency, more = document.currency, topup.amount - topup.price
    return (
        *side(LedgerAccount(Kind.DEFERRED, currency, account), topup.price),
        *side(LedgerAccount(Kind.WALLET, currency, account), -topup.amount),
        *side(LedgerAccount(Kind.DISCOUNT, currency, detail="wallet_topup"), max(more, _ZERO)),
        *side(LedgerAccount(Kind.REVENUE, currency, detail="wallet_topup"), min(more, _ZERO)),
    )


async def _credit(
    connection: Connection, caller: Caller, account: Account, purchase: Purchase, document: Document
) -> None:
    """Turn what was paid ahead into credits that usage draws down: those of units by the meter that they are of."""
    goods, currency = purchase.goods, document.currency
    deferred = LedgerAccount(Kind.DEFERRED, currency, account.key)
    today = local_date(caller.now, account.timezone or caller.timezone)
    new = [
        NewCredit(
            account_id=account.id,
            purpose=f"paid ahead: {entry.description}",
            amount=entry.amount,
            effective_from=goods.effective_from or today,
            effective_until=goods.effective_until,
            entities=(_billable(entry) or ALL_USAGE,),
            grantor_id=purchase.id,
            paid=True,
            source=deferred,
        )
        for entry in document.lines
        if entry.amount
    ]
    await grant_all(connection, caller, new)
    crash.point("purchase paid ahead")
    rounding = sum((entry.rounding for entry in document.lines), _ZERO)
    postings = (*side(deferred, rounding), *side(LedgerAccount(Kind.ROUNDING, currency), -rounding))
    await _post(connection, caller, account, purchase, postings)


def _billable(entry: Line) -> str | None:
    return None if entry.order is UNSET else entry.order.billable_id


async def _give_back(connection: Connection, caller: Caller, purchase: Purchase, reason: str) -> None:
    account = await get_account(connection, caller.workspace, purchase.account_id)
    _, document = await _order(connection, caller, purchase)
    deferred = sum((entry.unrounded for entry in document.lines), _ZERO)
    postings = (
        *side(LedgerAccount(Kind.DEFERRED, document.currency, account.key), deferred),
        *side(LedgerAccount(Kind.WALLET, document.currency, account.key), -document.total),
        *side(LedgerAccount(Kind.ROUNDING, document.currency), document.total - deferred),
    )
    await _post(connection, caller, account, purchase, postings)
    comment = f"{reason}; the {show(document.total)} {document.currency} that were paid are in the wallet"
    await purchases.settle(connection, caller, purchase, "FAILURE", comment)
    await audit.record(connection, caller, "fail", "purchase", purchase.id, {"reason": reason})


async def _associate(connection: Connection, caller: Caller, purchase: Purchase) -> int:
    goods = purchase.goods
    assert goods.effective_from is not None
    assert goods.effective_until is not None
    plan = await _plan(connection, caller, purchase)
    facts = await schedules.enter(connection, caller, purchase.account_id)
    await plans.hold(connection, caller.workspace, plan.id)
    held = await plans.find(connection, caller.workspace, plan.id)
    if held.status != "ACTIVE":
        raise WrongState(f"price plan {plan.id!r} is {held.status}")
    period = span(goods.effective_from, goods.effective_until, facts.zone)
    schedule, _ = await schedules.associate_version(connection, caller, facts, plan, period)
    crash.point("purchase associated")
    return schedule


async def _plan(connection: Connection, caller: Caller, purchase: Purchase) -> PlanVersion:
    assert purchase.version is not None, "what is bought of a plan names its version"
    return await plans.version(connection, caller.workspace, purchase.version)


async def _order(connection: Connection, caller: Caller, purchase: Purchase) -> tuple[int, Document]:
    """The invoice of a purchase and its document, parties left out."""
    (row,) = await connection.fetch(queries.invoices_of_purchases, caller.workspace, [purchase.key])
    (header,) = await store.headers(connection, caller.workspace, [row["invoice"]])
    assert header.content is not None, "an order is issued as it is made"
    return header.key, frozen(header.content)


async def _post(
    connection: Connection, caller: Caller, account: Account, purchase: Purchase, postings: tuple[Posting, ...]
) -> None:
    if postings:
        day = local_date(caller.now, account.timezone or caller.timezone)
        await post(connection, caller, Transaction(CAUSE, purchase.key, day, f"purchase {purchase.id}", postings))
