"""What the database itself says of payments, whatever a statement would write."""

from decimal import Decimal

import asyncpg
import pytest

from bursar.accounts.contractors import create_contractor
from bursar.accounts.terms import create_agreed
from bursar.core.caller import Caller
from bursar.db.database import Database
from bursar.invoicing.payments import Pay, pay

_COPY = """insert into payment (workspace, yeti_id, account, amount, currency, type, status, balance_before, created_at)
    select {}, yeti_id + 9, {}, amount, currency, type, status, balance_before, created_at
    from payment where key = $1"""
REFUSED = [
    (_COPY.format("workspace", "account + 1000"), "which its workspace does not have"),
    (_COPY.format("workspace + 1", "account"), "which its workspace does not have"),
    ("update payment set account = account + 1 where key = $1", "never changed"),
    ("update payment set workspace = workspace + 1 where key = $1", "never changed"),
]


async def _paid(database: Database, caller: Caller) -> int:
    """The key of a payment."""
    async with database.transaction(caller.workspace) as connection:
        owner = await create_contractor(connection, caller, {"name": "C", "vendor": False, "customer": True})
        made = await create_agreed(connection, caller, {"name": "A", "contractor": owner})
        await pay(connection, caller, Pay(made["id"], Decimal(5)))
        key: int = await connection.fetchval("select max(key) from payment")
        return key


@pytest.mark.parametrize(("statement", "message"), REFUSED)
async def test_a_payment_is_of_an_account_of_its_workspace(
    database: Database, caller: Caller, statement: str, message: str
) -> None:
    key = await _paid(database, caller)
    refusals = (asyncpg.ForeignKeyViolationError, asyncpg.InsufficientPrivilegeError)
    with pytest.raises(refusals, match=message):
        async with database.transaction(None) as connection:
            await connection.execute(statement, key)
