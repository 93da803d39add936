"""Services are renewed as time passes: each once, however many workers are at it and wherever one of them dies."""

from collections.abc import Sequence
from decimal import Decimal

from bursar.core import crash
from bursar.core.caller import Caller
from bursar.db import audit
from bursar.db.database import Connection, Database, Row
from bursar.ledger.service import available_held
from bursar.purchases.charges import NewCharge, charge_all
from bursar.purchases.provisioning import Counter, Provisioning, counters
from bursar.purchases.service_model import Due, Limits, Refused, Renewed, RenewPeriod, renewal
from bursar.purchases.service_store import from_text, queries, set_counters

RENEWAL = "Renew service"
_BATCH = 100


async def renew_services(db: Database, caller: Caller, *, batch: int = _BATCH) -> int:
    """Renew the services of a workspace that are due at its present, in order; returns how many were.

    They are renewed in transactions of at most `batch`. Those whose account cannot pay are suspended and tried again an
    hour later. Safe to run twice and to race.
    """
    renewed = 0

    async def once(connection: Connection) -> int | None:
        return await _renew_some(connection, caller, batch)

    while (count := await db.run(caller.workspace, once)) is not None:
        renewed += count
    return renewed


async def _renew_some(connection: Connection, caller: Caller, batch: int) -> int | None:
    """One batch; None where nothing is left to do."""
    rows = await connection.fetch(queries.lock_due_services, caller.workspace, caller.now, batch)
    if not rows:
        return None
    by_key = {row["key"]: row for row in rows}
    # Nobody spends between looking at a balance and charging it: the balances are held from here on.
    charged = {row["account"]: row["currency"] for row in rows if row["renew_price"]}
    balances = dict.fromkeys((row["account"] for row in rows), Decimal(0))
    balances |= await available_held(connection, caller, charged)
    renewed: list[Renewed] = []
    refused: list[Refused] = []
    for due in map(_due, rows):
        outcome = renewal(due, balances[due.account], caller.now, caller.timezone)
        if isinstance(outcome, Renewed):
            balances[due.account] -= due.price
            renewed.append(outcome)
        else:
            refused.append(outcome)
    await _go_on(connection, caller, renewed)
    await _suspend(connection, caller, refused)
    charges = [_charge(by_key[one.service.key], one.service) for one in renewed if one.service.price]
    await charge_all(connection, caller, charges)
    await set_counters(connection, caller.workspace, [_free_minutes(by_key[one.service.key]) for one in renewed])
    detail = {"renewed": len(renewed), "suspended": len(refused)}
    await audit.record(connection, caller, "renew", "services", "", detail)
    crash.point("services renewed")
    return len(renewed)


def _due(row: Row) -> Due:
    return Due(
        key=row["key"],
        account=row["account"],
        price=row["renew_price"],
        period=RenewPeriod(row["renew_period"]),
        force=row["force_renew"],
        limits=Limits(row["min_balance"], row["max_balance"]),
    )


async def _go_on(connection: Connection, caller: Caller, renewed: Sequence[Renewed]) -> None:
    if not renewed:
        return
    keys, moments = [one.service.key for one in renewed], [one.renew_at for one in renewed]
    done = await connection.execute(queries.renew_services, caller.workspace, caller.now, keys, moments)
    assert done == f"UPDATE {len(renewed)}", "a service is renewed once"


async def _suspend(connection: Connection, caller: Caller, refused: Sequence[Refused]) -> None:
    if not refused:
        return
    keys = [one.service.key for one in refused]
    done = await connection.execute(queries.suspend_services, caller.workspace, caller.now, keys, refused[0].due_at)
    assert done == f"UPDATE {len(refused)}", "a service is tried once"


def _charge(row: Row, due: Due) -> NewCharge:
    return NewCharge(due.account, due.price, RENEWAL, due.key, row["type_number"])


def _free_minutes(row: Row) -> tuple[int, int, list[Counter]]:
    free: list[Counter] = []
    if row["provisioning_class"] == Provisioning.FREE_MINUTES:
        free = counters(from_text(row["type_variables"]), from_text(row["variables"]))
    return row["key"], row["account"], free
