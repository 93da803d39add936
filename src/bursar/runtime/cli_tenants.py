"""Commands on workspaces and their tokens."""

from datetime import timedelta
from typing import Annotated, Any

import typer

from bursar.accounts import tokens as service
from bursar.accounts import workspaces as tenants
from bursar.db.database import Database
from bursar.runtime.output import (
    WORKSPACE,
    DataDirOption,
    JsonOption,
    UrlOption,
    WorkspaceOption,
    instant,
    show,
    table,
)
from bursar.runtime.session import caller_in, on_database
from bursar.runtime.wall import wall

tokens = typer.Typer(help="API tokens.", no_args_is_help=False, rich_markup_mode=None)
workspaces = typer.Typer(help="Workspaces, the tenants.", no_args_is_help=False, rich_markup_mode=None)


@tokens.command("create", epilog="Example: bursar token create --workspace default --scope ingest --name collector")
def create_token(
    name: Annotated[str, typer.Option(help="What the token is for.")] = "cli",
    scope: Annotated[
        list[str] | None, typer.Option(help=f"Some of {', '.join(service.SCOPES)}; all when left out.")
    ] = None,
    expires: Annotated[str | None, typer.Option(help="Instant from which it no longer works.")] = None,
    rate_limit: Annotated[
        int | None, typer.Option(help="Requests per minute that it may send; 0: no limit; default: the server's.")
    ] = None,
    workspace: WorkspaceOption = WORKSPACE,
    data_dir: DataDirOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token. It is shown once and cannot be read again."""
    until = instant(expires, "--expires") if expires else None

    async def work(db: Database) -> tuple[str, service.Token]:
        caller = await caller_in(db, workspace)
        async with db.transaction(caller.workspace) as connection:
            scopes = frozenset(scope) if scope else service.FULL
            return await service.create_token(
                connection, caller, name, scopes=scopes, expires_at=until, rate_limit=rate_limit
            )

    text, token = on_database(data_dir, database_url, work)
    show({"token": text, **_token(token), "workspace": workspace}, text, as_json=as_json)


@tokens.command("list", epilog="Example: bursar token list --workspace default --json")
def list_tokens(
    workspace: WorkspaceOption = WORKSPACE,
    data_dir: DataDirOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List a workspace's tokens, without their secrets."""

    async def work(db: Database) -> list[dict[str, Any]]:
        caller = await caller_in(db, workspace)
        rows: list[dict[str, Any]] = []
        after = None
        async with db.transaction(caller.workspace) as connection:
            while True:
                page = await service.list_tokens(connection, caller, after, 100)
                rows += [_token(token) for token in page.items]
                after = page.after
                if after is None:
                    return rows

    rows = on_database(data_dir, database_url, work)
    show(
        rows,
        table(rows, ["name", "prefix", "scopes", "created_at", "last_used_at", "expires_at", "revoked_at"]),
        as_json=as_json,
    )


@tokens.command("rotate", epilog="Example: bursar token rotate collector --overlap-hours 24")
def rotate_token(
    name: Annotated[str, typer.Argument(help="Name, prefix or text of the token.")],
    overlap_hours: Annotated[int, typer.Option(help="For how long the old token still works.", min=0, max=720)] = 24,
    expires: Annotated[str | None, typer.Option(help="Instant from which the new one no longer works.")] = None,
    workspace: WorkspaceOption = WORKSPACE,
    data_dir: DataDirOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a successor with the same name and scopes. It is shown once; the old token ends after the overlap."""
    until = instant(expires, "--expires") if expires else None

    async def work(db: Database) -> tuple[str, service.Token, service.Token]:
        caller = await caller_in(db, workspace)
        async with db.transaction(caller.workspace) as connection:
            return await service.rotate_token(connection, caller, name, timedelta(hours=overlap_hours), until)

    text, token, old = on_database(data_dir, database_url, work)
    show({"token": text, **_token(token), "old": _token(old), "workspace": workspace}, text, as_json=as_json)


@tokens.command("revoke", epilog="Example: bursar token revoke collector --workspace default")
def revoke_token(
    name: Annotated[str, typer.Argument(help="Name, prefix or text of the token.")],
    workspace: WorkspaceOption = WORKSPACE,
    data_dir: DataDirOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a token. It stops working at once."""

    async def work(db: Database) -> service.Token:
        caller = await caller_in(db, workspace)
        async with db.transaction(caller.workspace) as connection:
            return await service.revoke_token(connection, caller, name)

    token = on_database(data_dir, database_url, work)
    show({"revoked": token.prefix, "name": token.name}, f"revoked {token.name} ({token.prefix}...)", as_json=as_json)


@workspaces.command(
    "create", epilog="Example: bursar workspace create trial --sandbox --currency EUR --timezone Europe/Kyiv"
)
def create_workspace(
    name: Annotated[str, typer.Argument(help="Name of the workspace.")],
    sandbox: Annotated[bool, typer.Option("--sandbox", help="A workspace whose clock can be moved.")] = False,
    currency: Annotated[str, typer.Option(help="Base currency, ISO 4217.")] = "USD",
    timezone: Annotated[str, typer.Option(help="IANA time zone.")] = "UTC",
    data_dir: DataDirOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a workspace."""

    async def work(db: Database) -> tenants.Workspace:
        async with db.transaction(None) as connection:
            return await tenants.create_workspace(
                connection, wall(), "cli", name, sandbox=sandbox, currency=currency, timezone=timezone
            )

    made = on_database(data_dir, database_url, work)
    show(_workspace(made), f"made the {'sandbox' if sandbox else 'workspace'} {name}", as_json=as_json)


@workspaces.command("list", epilog="Example: bursar workspace list --json")
def list_workspaces(
    data_dir: DataDirOption = None, database_url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """List all workspaces."""

    async def work(db: Database) -> list[dict[str, Any]]:
        async with db.transaction(None) as connection:
            return [_workspace(workspace) for workspace in await tenants.list_workspaces(connection)]

    rows = on_database(data_dir, database_url, work)
    show(rows, table(rows, ["name", "sandbox", "currency", "timezone", "clock", "created_at"]), as_json=as_json)


def _token(token: service.Token) -> dict[str, Any]:
    return {
        "name": token.name,
        "prefix": token.prefix,
        "scopes": list(token.scopes),
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "last_used_at": token.last_used_at,
        "rate_limit": token.rate_limit,
        "revoked_at": token.revoked_at,
    }


def _workspace(workspace: tenants.Workspace) -> dict[str, Any]:
    return {
        "name": workspace.name,
        "sandbox": workspace.sandbox,
        "currency": workspace.currency,
        "timezone": workspace.timezone,
        "clock": workspace.clock_at,
        "created_at": workspace.created_at,
    }


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(tokens, name="token")
    app.add_typer(workspaces, name="workspace")
