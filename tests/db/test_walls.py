"""Row-level security in the database itself, and on a PostgreSQL whose owner may not make roles."""

import uuid

import asyncpg
import psycopg
import pytest

from bursar.core.caller import Caller
from bursar.db.database import API_ROLE, Database
from bursar.db.migrate import RoleMissing, migrate
from tests.conftest import new_workspace

OF_NO_WORKSPACE = {
    "alembic_version": "which release made the tables",
    "audit_sealer": "one row that says whose turn it is to seal",
    "server_secret": "what signs the JWTs of every workspace; requests never read it as themselves",
}

TABLES = """
    select c.relname as name, c.relrowsecurity as walled,
        array(select polname::text from pg_policy where polrelid = c.oid) as policies
    from pg_class c
    where c.relnamespace = 'bursar'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition"""


async def test_every_table_stands_behind_the_wall_or_on_the_list(database: Database) -> None:
    async with database.transaction(None) as connection:
        rows = await connection.fetch(TABLES)
        open_ = {row["name"] for row in rows if not (row["walled"] and row["policies"] == ["one_workspace"])}
        granted = {
            row["table_name"]
            for row in await connection.fetch(
                "select distinct table_name from information_schema.role_table_grants where grantee = $1", API_ROLE
            )
        }
    assert open_ == OF_NO_WORKSPACE.keys()
    assert not granted & OF_NO_WORKSPACE.keys()


async def test_a_transaction_sees_its_own_workspace_only(database: Database, caller: Caller) -> None:
    other, _, _ = await new_workspace(database)
    async with database.transaction(caller.workspace) as connection:
        assert [row["key"] for row in await connection.fetch("select key from workspace")] == [caller.workspace]
        assert not await connection.fetch("select from token where workspace = $1", other.workspace)
    async with database.reading(caller.workspace) as connection:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await connection.execute("update workspace set name = 'x'")
    # The role and the workspace end with the transaction.
    async with database.transaction(None) as connection:
        keys = {row["key"] for row in await connection.fetch("select key from workspace")}
    assert {caller.workspace, other.workspace} <= keys


async def test_writes_into_another_workspace_are_refused(database: Database, caller: Caller) -> None:
    other, _, _ = await new_workspace(database)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with database.transaction(caller.workspace) as connection:
            await connection.execute(
                "insert into currency (workspace, code, exponent) values ($1, 'XTS', 2)", other.workspace
            )


@pytest.mark.parametrize(
    "statement",
    [
        "select from server_secret",
        "update audit set action = 'x'",
        "delete from audit",
        "delete from event_key",
        "update usage_rollup set quantity = 0",
        "update usage_day set quantity = 0",
        "delete from usage_delta",
        "update posting set amount = 0",
        "delete from ledger_transaction",
        "update invoice_document set total = 0",
        "delete from workspace",
    ],
)
async def test_requests_cannot_touch_what_is_not_theirs_to_write(
    database: Database, caller: Caller, statement: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
        async with database.transaction(caller.workspace) as connection:
            await connection.execute(statement)


async def test_an_owner_that_may_not_make_roles_is_told_what_to_run(dsn: str) -> None:
    name = f"plain_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(dsn, autocommit=True) as superuser:
        superuser.execute(f"create role {name} login password 'x'")
        superuser.execute(f"create database {name} owner {name}")
        place = psycopg.conninfo.conninfo_to_dict(dsn)
    plain = f"postgresql://{name}:x@/{name}?host={place['host']}&port={place.get('port', 5432)}"
    try:
        with pytest.raises(RoleMissing) as refused:
            migrate(plain)
        command = refused.value.message.partition("once: ")[2]
        assert command == f'grant {API_ROLE} to "{name}";'
        with psycopg.connect(dsn, autocommit=True) as superuser:
            superuser.execute(command)
        migrate(plain)
        db = await Database.open(plain, size=1)
        made, _, _ = await new_workspace(db)
        async with db.transaction(made.workspace) as connection:
            assert await connection.fetchval("select count(*) from workspace") == 1
        await db.close()
    finally:
        with psycopg.connect(dsn, autocommit=True) as superuser:
            superuser.execute(f"drop database {name} with (force)")
            superuser.execute(f"drop role {name}")
