"""What `verify` finds wrong with settings, customers and accounts that somebody has touched in the database."""

from contextlib import suppress

import pytest

from bursar.accounts.model import Address, NewAccount, NewCustomer, Setting
from bursar.accounts.service import create_account, create_customer
from bursar.accounts.settings import SettingChange, create_setting, get_setting, update_setting
from bursar.accounts.verify import CHECKS
from bursar.core.caller import Caller
from bursar.db.database import Connection, Database


class Undone(Exception):
    """Ends a transaction whose doings nobody else may see."""


async def _found(connection: Connection, caller: Caller) -> list[str]:
    mine = f"workspace {caller.workspace}"
    return [line for check in CHECKS for line in await check.run(connection) if mine in line]


@pytest.mark.parametrize(
    ("tampering", "word"),
    [
        ("update setting set value = '3' where workspace = $1", "newest version"),
        ("update setting set data_type = 'STRING' where workspace = $1", "newest version"),
        ("delete from account_terms where workspace = $1", "account 'acme'"),
        ("delete from account_profile where workspace = $1", "account 'acme'"),
        ("delete from customer_profile where workspace = $1", "customer 'acme'"),
    ],
)
async def test_what_was_touched_is_found(database: Database, caller: Caller, tampering: str, word: str) -> None:
    with suppress(Undone):
        async with database.transaction(None) as connection:
            await create_customer(connection, caller, NewCustomer("acme", "Acme", "a@example.com", Address()))
            await create_setting(connection, caller, "CUSTOMER", "acme", Setting("x", "1", "USER", "X", "NUMERIC"))
            path = "setting.USER.x.CUSTOMER.acme"
            await update_setting(connection, caller, path, SettingChange(value="2"))
            assert (await get_setting(connection, caller.workspace, path)).setting.value == "2"
            assert await _found(connection, caller) == []
            await connection.execute(tampering, caller.workspace)
            (line,) = await _found(connection, caller)
            assert word in line
            raise Undone


async def test_a_name_of_two_accounts_is_found(database: Database, caller: Caller) -> None:
    with suppress(Undone):
        async with database.transaction(None) as connection:
            await create_customer(connection, caller, NewCustomer("acme", "Acme", "a@example.com", Address()))
            other = await create_account(connection, caller, "acme", NewAccount("other", "Other"))
            assert await _found(connection, caller) == []
            await connection.execute("set local session_replication_role = replica")  # past every wall
            await connection.execute(
                "update account_name set account = $2 where workspace = $1 and value = 'acme'",
                caller.workspace,
                other.key,
            )
            assert await _found(connection, caller) == []
            await connection.execute(
                "insert into account_name (workspace, value, account, kind, wire_id, effective, created_at, updated_at)"
                " select $1, 'acme', key, 'ALIAS', 'again', tstzrange($2, null), $2, $2 from account"
                " where workspace = $1 and togai_id = 'acme'",
                caller.workspace, caller.wall,
            )  # fmt: skip
            (line,) = await _found(connection, caller)
            assert "'acme'" in line
            raise Undone
