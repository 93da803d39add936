"""Grants that somebody else holds are seen as that one leaves them, whatever the statement saw as it began."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest

from bursar.accounts.store import get_account
from bursar.catalog.features import get_feature
from bursar.core.period import Period
from bursar.db.database import Database
from bursar.purchases import grants
from bursar.purchases.grant_model import Draw
from bursar.purchases.grants import NewGrant, Pair
from tests.conftest import Server, Tenant
from tests.http.togai.catalog import customer, expect

NOON = datetime(2024, 5, 10, 12, tzinfo=UTC)
EVENT = b"\x01" * 16


def _ready(server: Server, accounts: int) -> tuple[Tenant, str]:
    tenant = server.workspace(clock=NOON)
    for number in range(accounts):
        customer(tenant.http, f"a{number}")
    feature = expect(tenant.http.post("/features", json={"name": "Seats", "schemaAssociations": []}), 200)["id"]
    return tenant, feature


async def _give(db: Database, tenant: Tenant, feature: str, account: str, name: str, days: int) -> Pair:
    caller = tenant.caller
    async with db.transaction(caller.workspace) as connection:
        found = await get_feature(connection, caller.workspace, feature)
        owner = await get_account(connection, caller.workspace, account)
        until = NOON + timedelta(days=days)
        await grants.give(
            connection, caller, owner, [NewGrant(found, name, "ENTITLEMENT", Period(NOON, until), Decimal(10))]
        )
        return owner.key, found.key


async def _forget(db: Database, tenant: Tenant) -> None:
    """Leave no books that do not hold to those who look at everybody's: nothing was entered of what was changed."""
    async with db.transaction(None) as connection:
        await connection.execute("set local session_replication_role = replica")
        for table in ("feature_entry", "feature_grant", "feature_balance"):
            await connection.execute(f"delete from {table} where workspace = $1", tenant.caller.workspace)


@pytest.mark.parametrize("change", ["drawn", "voided", "cut"])
def test_a_grant_is_as_its_holder_left_it(server: Server, change: str) -> None:
    tenant, feature = _ready(server, 1)
    later = NOON + timedelta(days=2)

    async def work(db: Database) -> None:
        pair = await _give(db, tenant, feature, "a0", "short", 3)
        await _give(db, tenant, feature, "a0", "long", 9)
        async with db.transaction(None) as second:
            async with db.transaction(None) as first:
                stock = (await grants.hold(first, [pair], later))[pair]
                assert [grant.id for grant in stock.grants] == ["short", "long"]
                waiting = asyncio.create_task(grants.hold(second, [pair], later))
                await asyncio.sleep(0.1)
                assert not waiting.done(), "nobody waits for the balance"
                key = stock.grants[0].key
                if change == "drawn":
                    draw = (tenant.caller.workspace, EVENT, Draw(key, Decimal(4)))
                    await grants.take(first, NOON, [stock], [draw])
                elif change == "voided":
                    await first.execute(grants.queries.void_grant, tenant.caller.workspace, key, NOON)
                else:
                    await first.execute(grants.queries.change_grant, tenant.caller.workspace, key, later, Decimal(10))
            found = (await asyncio.wait_for(waiting, 5))[pair].grants
        used = [(grant.id, int(grant.used)) for grant in found]
        assert used == ([("short", 4), ("long", 0)] if change == "drawn" else [("long", 0)])

    try:
        server.run(work)
    finally:
        server.run(lambda db: _forget(db, tenant))


def test_balances_are_held_in_the_order_of_their_keys(server: Server) -> None:
    """As everybody holds them: who waits for the one with the lowest key has none of the others meanwhile."""
    tenant, feature = _ready(server, 4)

    async def work(db: Database) -> None:
        # The account that has the lowest key is not the first one whose balance was made.
        pairs = [await _give(db, tenant, feature, f"a{number}", "pack", 9) for number in (2, 3, 0, 1)]
        free = "select account from bursar.feature_balance where account = any(%s) for update skip locked"
        async with db.transaction(None) as second:
            async with db.transaction(None) as first:
                await grants.hold(first, pairs[:1], NOON)
                waiting = asyncio.create_task(grants.hold(second, pairs, NOON))
                await asyncio.sleep(0.1)
                assert not waiting.done(), "nobody waits for the balance"
                with psycopg.connect(server.dsn) as third:
                    rows = third.execute(free, [[account for account, _ in pairs]]).fetchall()
                assert {account for (account,) in rows} == {account for account, _ in pairs[1:]}
            assert set(await asyncio.wait_for(waiting, 5)) == set(pairs)

    server.run(work)
