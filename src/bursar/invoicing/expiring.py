"""What was not paid or answered in time comes to its end: by a job, and before anybody reads it."""

from bursar.core import crash
from bursar.core.caller import Caller
from bursar.db import audit
from bursar.db.database import Connection, Database
from bursar.invoicing import settling
from bursar.invoicing.orders import queries
from bursar.purchases import orders as purchases
from bursar.purchases.order_model import EXPIRED, Purchase, is_past

_BATCH = 50


async def expire_due(db: Database, caller: Caller) -> int:
    """End purchases and proposals whose time has run out; returns how many. Safe to run twice, to race and to kill.

    The order of a purchase is voided; what was paid of it in part goes back, or is owed from then on.
    """
    async with db.transaction(caller.workspace) as connection:
        if not await purchases.list_past(connection, caller.workspace, caller.now, 1):
            return 0
    expired = 0
    while count := await db.run(caller.workspace, lambda connection: _expire_some(connection, caller)):
        expired += count
    return expired


async def _expire_some(connection: Connection, caller: Caller) -> int:
    found = await purchases.list_past(connection, caller.workspace, caller.now, _BATCH)
    # Orders are held before their purchases, as by whoever pays them.
    for key in sorted(found):
        await connection.fetchrow(queries.hold_order, caller.workspace, key)
    for purchase in await purchases.lock(connection, caller.workspace, found):
        # Another may have been quicker.
        if is_past(purchase, caller.now):
            await _expire(connection, caller, purchase)
    if found:
        crash.point("purchases expired")
    return len(found)


async def _expire(connection: Connection, caller: Caller, purchase: Purchase) -> None:
    await audit.record(connection, caller, "expire", "purchase", purchase.id)
    if purchase.status is None:
        await purchases.answer(connection, caller, purchase, "EXPIRED")
        return
    await purchases.settle(connection, caller, purchase, "FAILURE", EXPIRED)
    row = await connection.fetchrow(queries.hold_order, caller.workspace, purchase.key)
    assert row is not None, "a purchase that waits has an order"
    if row["paid_amount"]:
        if row["status"] == "UN_COLLECTIBLE":
            await settling.change_status(connection, caller, row["wire_id"], "DUE")
        await settling.change_status(connection, caller, row["wire_id"], "REFUND_INITIATED")
    else:
        await settling.change_status(connection, caller, row["wire_id"], "VOID")
