"""Entries and holds belong to grants and wallets of their workspace, which stay: the database refuses anything else."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from bursar.accounts.store import get_account
from bursar.catalog.features import get_feature
from bursar.core.period import Period
from bursar.db.database import Database
from bursar.ledger.account_wallets import top_up
from bursar.purchases import grants
from bursar.purchases.grants import NewGrant
from bursar.purchases.holds import Place, place_all
from tests.conftest import Server, Tenant
from tests.http.togai.catalog import customer, expect

NOON = datetime(2024, 5, 10, 12, tzinfo=UTC)
ENTRY = """insert into bursar.feature_entry (workspace, feature_grant, kind, amount, event, feature_hold, recorded_at)
    values (%(workspace)s, %(grant)s, %(kind)s, -1, %(event)s, %(hold)s, '2024-05-10Z')"""
HOLD = """insert into bursar.wallet_hold (workspace, wire_id, ledger_account, amount, created_at, expires_at)
    values (%(workspace)s, 'hold.x', %(wallet)s, 1, '2024-05-10Z', '2024-05-11Z')"""
EVENT = "00000000-0000-0000-0000-000000000001"


@pytest.fixture(scope="module")
def owner(server: Server) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(server.dsn) as connection:
        yield connection


@pytest.fixture(scope="module")
def keys(server: Server, owner: psycopg.Connection[Any]) -> dict[str, Any]:
    """A grant, a hold of its units, a wallet and another ledger account of one workspace; `other` is another one."""
    tenant, other = server.workspace(clock=NOON), server.workspace(clock=NOON)
    customer(tenant.http)
    server.run(lambda db: _fill(db, tenant))
    own = tenant.caller.workspace
    find = {
        "grant": "select key from bursar.feature_grant where workspace = %s",
        "hold": "select key from bursar.feature_hold where workspace = %s",
        "wallet": "select key from bursar.ledger_account where workspace = %s and kind = 'wallet'",
        "cash": "select key from bursar.ledger_account where workspace = %s and kind = 'cash'",
    }
    found = {name: owner.execute(query, [own]).fetchall()[0][0] for name, query in find.items()}
    owner.rollback()
    return {"workspace": own, "other": other.caller.workspace, **found}


async def _fill(db: Database, tenant: Tenant) -> None:
    caller = tenant.caller
    feature = expect(tenant.http.post("/features", json={"name": "Seats", "schemaAssociations": []}), 200)["id"]
    async with db.transaction(caller.workspace) as connection:
        new = NewGrant(await get_feature(connection, caller.workspace, feature), "pack", "ENTITLEMENT",
                       Period(NOON, NOON + timedelta(days=9)), Decimal(10))  # fmt: skip
        await grants.give(connection, caller, await get_account(connection, caller.workspace, "acme"), [new])
        await top_up(connection, caller, "acme", Decimal(5))
        await place_all(connection, [(caller, [Place("acme", feature, Decimal(1), 60)])])


def _tried(owner: psycopg.Connection[Any], statement: str, values: dict[str, Any]) -> None:
    """Carried out, and undone."""
    try:
        owner.execute(statement, values)
    finally:
        owner.rollback()


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (ENTRY, {"kind": "DRAW", "event": EVENT, "hold": None}),
        (ENTRY, {"kind": "SETTLE", "event": None}),
        (HOLD, {}),
    ],
)
def test_what_belongs_is_let_in(
    owner: psycopg.Connection[Any], keys: dict[str, Any], statement: str, values: dict[str, Any]
) -> None:
    _tried(owner, statement, keys | values)


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (ENTRY, {"kind": "DRAW", "event": EVENT, "hold": None, "grant": 2**62}),
        (ENTRY, {"kind": "DRAW", "event": EVENT, "hold": None, "workspace": "other"}),
        (ENTRY, {"kind": "SETTLE", "event": None, "hold": 2**62}),
        (HOLD, {"wallet": 2**62}),
        (HOLD, {"workspace": "other"}),
        (HOLD, {"wallet": "cash"}),
    ],
)
def test_what_belongs_to_nothing_is_refused(
    owner: psycopg.Connection[Any], keys: dict[str, Any], statement: str, values: dict[str, Any]
) -> None:
    given = keys | {name: keys[value] if isinstance(value, str) and value in keys else value
                    for name, value in values.items()}  # fmt: skip
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        _tried(owner, statement, given)


@pytest.mark.parametrize("table", ["feature_grant", "feature_hold"])
def test_what_entries_point_to_stays(owner: psycopg.Connection[Any], keys: dict[str, Any], table: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        _tried(owner, f"delete from bursar.{table} where workspace = %(workspace)s", keys)
