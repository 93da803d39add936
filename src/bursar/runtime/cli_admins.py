"""Commands on the users of the carrier's door."""

import asyncio
import os
import sys
from typing import Annotated, Any

import typer

from bursar.accounts import admins as service
from bursar.accounts.passwords import check_password, hash_password
from bursar.accounts.workspaces import caller_of
from bursar.core.errors import Invalid, NotFound
from bursar.db.database import Database
from bursar.runtime.output import WORKSPACE, DataDirOption, JsonOption, UrlOption, WorkspaceOption, show, table
from bursar.runtime.session import caller_in, on_database
from bursar.runtime.wall import wall

PASSWORD = "BURSAR_ADMIN_PASSWORD"  # noqa: S105 - the name of the variable

admins = typer.Typer(help="Users of the carrier's door.", no_args_is_help=False, rich_markup_mode=None)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name that the user logs in with.")]
StdinOption = Annotated[
    bool, typer.Option("--password-stdin", help=f"Read the password from standard input instead of {PASSWORD}.")
]


@admins.command("add", epilog="Example: bursar admin add carrier --allow 192.0.2.0/24 --password-stdin < password.txt")
def add(
    name: NameArgument,
    allow: Annotated[
        list[str] | None, typer.Option(help="Address or network from which it is served; everywhere when left out.")
    ] = None,
    password_stdin: StdinOption = False,
    workspace: WorkspaceOption = WORKSPACE,
    data_dir: DataDirOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a user of a workspace. Names are unique on the whole server."""
    digest = _hash(_password(from_stdin=password_stdin))

    async def work(db: Database) -> service.AdminUser:
        caller = await caller_in(db, workspace)
        async with db.transaction(caller.workspace) as connection:
            return await service.add_admin(connection, caller, name, digest, allow)

    made = on_database(data_dir, database_url, work)
    show({**_admin(made), "workspace": workspace}, f"made the user {name} of {workspace}", as_json=as_json)


@admins.command("passwd", epilog="Example: bursar admin passwd carrier --password-stdin < password.txt")
def passwd(
    name: NameArgument,
    password_stdin: StdinOption = False,
    data_dir: DataDirOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a user another password. Every token of the user ends."""
    digest = _hash(_password(from_stdin=password_stdin))

    async def work(db: Database) -> service.AdminUser:
        caller = caller_of((await _found(db, name)).workspace, wall(), "cli")
        async with db.transaction(caller.workspace) as connection:
            return await service.set_password(connection, caller, name, digest)

    show(_admin(on_database(data_dir, database_url, work)), f"changed the password of {name}", as_json=as_json)


@admins.command("disable", epilog="Example: bursar admin disable carrier")
def disable(
    name: NameArgument, data_dir: DataDirOption = None, database_url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """Let a user in no more. Its tokens stop working."""
    changed = on_database(data_dir, database_url, lambda db: _set_enabled(db, name, enabled=False))
    show(_admin(changed), f"disabled {name}", as_json=as_json)


@admins.command("enable", epilog="Example: bursar admin enable carrier")
def enable(
    name: NameArgument, data_dir: DataDirOption = None, database_url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """Let a user in again."""
    changed = on_database(data_dir, database_url, lambda db: _set_enabled(db, name, enabled=True))
    show(_admin(changed), f"enabled {name}", as_json=as_json)


@admins.command("list", epilog="Example: bursar admin list --workspace default --json")
def list_admins(
    workspace: WorkspaceOption = WORKSPACE,
    data_dir: DataDirOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List a workspace's users."""

    async def work(db: Database) -> list[dict[str, Any]]:
        caller = await caller_in(db, workspace)
        async with db.transaction(caller.workspace) as connection:
            return [_admin(user) for user in await service.list_admins(connection, caller)]

    rows = on_database(data_dir, database_url, work)
    show(rows, table(rows, ["username", "enabled", "allowed_ips", "created_at"]), as_json=as_json)


async def _found(db: Database, name: str) -> service.AdminLogin:
    found = await service.admin_by_name(db, name)
    if found is None:
        raise NotFound("user", name)
    return found


async def _set_enabled(db: Database, name: str, *, enabled: bool) -> service.AdminUser:
    caller = caller_of((await _found(db, name)).workspace, wall(), "cli")
    async with db.transaction(caller.workspace) as connection:
        return await service.set_enabled(connection, caller, name, enabled=enabled)


def _password(*, from_stdin: bool) -> str:
    """The password, which is shown nowhere. Raises `Invalid` where there is none."""
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif PASSWORD in os.environ:
        password = os.environ[PASSWORD]
    elif sys.stdin.isatty():
        password = str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    else:
        raise Invalid("", f"give the password by --password-stdin or in {PASSWORD}")
    check_password(password)
    return password


def _hash(password: str) -> str:
    return asyncio.run(hash_password(password))


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(admins, name="admin")


def _admin(user: service.AdminUser) -> dict[str, Any]:
    return {
        "username": user.username,
        "enabled": user.enabled,
        "allowed_ips": user.allowed_ips,
        "created_at": user.created_at,
        "updated_at": user.updated_at,
    }
