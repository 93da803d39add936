"""Purchases and proposals as rows, and what they grant. That money is paid for them is invoicing's business."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from bursar.accounts.model import Account
from bursar.catalog.features import features_named
from bursar.catalog.plans import PlanVersion
from bursar.core.caller import Caller
from bursar.core.errors import NotFound, WrongState
from bursar.core.ids import draw
from bursar.core.page import Page, key_of
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries
from bursar.purchases.grant_model import Grant
from bursar.purchases.grants import NewGrant, give, grant_of
from bursar.purchases.order_model import (
    Goods,
    NewPurchase,
    PaymentMode,
    Proposal,
    Purchase,
    Status,
    Topup,
    grants_of,
)

queries = Queries("bursar.purchases", "orders.sql")

_encoder = msgspec.json.Encoder(decimal_format="number")
_quantities = msgspec.json.Decoder(dict[str, Decimal])


async def insert(
    connection: Connection,
    caller: Caller,
    account: Account,
    new: NewPurchase,
    *,
    mode: PaymentMode,
    proposed: bool,
    version: int | None,
    price: Decimal,
) -> Purchase:
    """Add a purchase that waits for its order, or a proposal that waits for its answer."""
    goods = new.goods
    topup = goods.topup
    identifier = draw("purchase")
    await connection.fetchval(
        queries.insert_purchase,
        caller.workspace,
        identifier,
        account.key,
        goods.type,
        mode,
        "ACTIVE" if proposed else None,
        None if proposed else "PENDING",
        version,
        goods.quantity,
        _encoder.encode(dict(goods.quantities)).decode() if goods.quantities else None,
        goods.effective_from,
        goods.effective_until,
        None if topup is None else topup.amount,
        None if topup is None else topup.price,
        price,
        account.currency,
        new.idempotency_key,
        new.expires_at,
        caller.wall,
    )
    return await find(connection, caller.workspace, identifier)


async def find(connection: Connection, workspace: int, identifier: str) -> Purchase:
    """The purchase or proposal of an id. Raises `NotFound`."""
    row = await connection.fetchrow(queries.find_purchase, workspace, identifier)
    if row is None:
        raise NotFound("purchase", identifier)
    return purchase_of(row)


async def find_proposal(connection: Connection, workspace: int, identifier: str) -> Purchase:
    """The proposal of an id, answered or not. Raises `NotFound`, for a purchase that was not proposed as well."""
    row = await connection.fetchrow(queries.find_purchase, workspace, identifier)
    if row is None or row["proposal"] is None:
        raise NotFound("purchase proposal", identifier)
    return purchase_of(row)


async def lock(connection: Connection, workspace: int, keys: Sequence[int]) -> list[Purchase]:
    """Purchases by key, which nobody else moves on until the transaction ends."""
    # Two statements: the second sees what whoever held them before has made of them.
    await connection.fetch(queries.lock_purchases, workspace, list(keys))
    return [purchase_of(row) for row in await connection.fetch(queries.purchases, workspace, list(keys))]


async def page(
    connection: Connection, workspace: int, account: int, after: str | None, limit: int, *, proposed: bool
) -> Page[Purchase]:
    """Purchases of an account, or those that were proposed to it, newest first."""
    before = key_of(after) or None
    rows = await connection.fetch(queries.list_purchases, workspace, account, before, limit + 1, proposed)
    items = [purchase_of(row) for row in rows[:limit]]
    return Page(items, str(items[-1].key) if len(rows) > limit else None)


async def list_past(connection: Connection, workspace: int, now: datetime, limit: int) -> list[int]:
    """Keys of purchases and proposals whose time has run out."""
    return [row["key"] for row in await connection.fetch(queries.list_past, workspace, now, limit)]


async def answer(connection: Connection, caller: Caller, purchase: Purchase, proposal: Proposal) -> Purchase:
    """Let a proposal that is held become what it was answered to be, or expired."""
    responded = None if proposal == "EXPIRED" else caller.now
    done = await connection.fetchval(
        queries.answer_proposal, caller.workspace, purchase.key, proposal, responded, caller.wall
    )
    assert done is not None, "a proposal that is held has been answered"
    return await find(connection, caller.workspace, purchase.id)


async def settle(
    connection: Connection,
    caller: Caller,
    purchase: Purchase,
    status: Status,
    comment: str | None = None,
    schedule: int | None = None,
) -> None:
    """End the waiting of a purchase that is held."""
    done = await connection.fetchval(
        queries.settle_purchase, caller.workspace, purchase.key, status, comment, schedule, caller.wall
    )
    assert done is not None, "a purchase that is held has been settled"


async def grant(
    connection: Connection, caller: Caller, account: Account, purchase: Purchase, plan: PlanVersion
) -> None:
    """Give an account the units of features that it bought, from now on."""
    wanted = grants_of(purchase, plan.details, caller.now, account.timezone or caller.timezone)
    features = await features_named(connection, caller.workspace, list({one.feature_id for one in wanted}))
    new = [
        NewGrant(features[one.feature_id], one.id, "ENTITLEMENT", one.effective, one.units, purchase.key)
        for one in wanted
    ]
    await give(connection, caller, account, new)


async def granted(connection: Connection, workspace: int, purchase: int) -> list[tuple[str, str, Grant, datetime]]:
    """What a purchase has granted: id and name of each feature, the grant, and when it was made."""
    rows = await connection.fetch(queries.grants_of_purchase, workspace, purchase)
    return [(row["feature_id"], row["feature_name"], grant_of(row), row["created_at"]) for row in rows]


async def default_mode(connection: Connection, workspace: int, account: int) -> PaymentMode:
    """How an account pays its purchases where nothing else is said: the setting `paymentMode` of namespace PURCHASE.

    Raises `WrongState` where that is neither PREPAID nor POSTPAID.
    """
    value = await connection.fetchval(queries.payment_mode_of, workspace, account)
    if value is None or value == "PREPAID":
        return "PREPAID"
    if value != "POSTPAID":
        raise WrongState(f"the setting 'paymentMode' of namespace PURCHASE must be PREPAID or POSTPAID, not {value!r}")
    return "POSTPAID"


def purchase_of(row: Row) -> Purchase:
    """The purchase of a row."""
    topup = None if row["topup_amount"] is None else Topup(row["topup_amount"], row["purchase_amount"])
    return Purchase(
        key=row["key"],
        id=row["wire_id"],
        account=row["account"],
        account_id=row["account_id"],
        goods=Goods(
            type=row["type"],
            quantity=row["quantity"],
            quantities={} if row["quantities"] is None else _quantities.decode(row["quantities"]),
            effective_from=row["effective_from"],
            effective_until=row["effective_until"],
            topup=topup,
        ),
        payment_mode=row["payment_mode"],
        proposal=row["proposal"],
        status=row["status"],
        version=row["price_plan_version"],
        price=row["price"],
        currency=row["currency"],
        idempotency_key=row["idempotency_key"],
        comment=row["comment"],
        schedule=row["schedule"],
        expires_at=row["expires_at"],
        answered_at=row["answered_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
