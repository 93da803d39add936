"""Commands on the clocks of workspaces."""

from typing import Annotated

import typer

from bursar.accounts import workspaces as tenants
from bursar.core.caller import Caller
from bursar.core.period import show_instant
from bursar.db.database import Database
from bursar.runtime.due import run_due
from bursar.runtime.output import WORKSPACE, DataDirOption, JsonOption, UrlOption, WorkspaceOption, instant, show
from bursar.runtime.session import caller_in, on_database

clock = typer.Typer(help="The clock of a sandbox.", no_args_is_help=False, rich_markup_mode=None)


@clock.command("show", epilog="Example: bursar clock show --workspace trial")
def show_clock(
    workspace: WorkspaceOption = WORKSPACE,
    data_dir: DataDirOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what time it is in a workspace."""

    async def work(db: Database) -> Caller:
        return await caller_in(db, workspace)

    caller = on_database(data_dir, database_url, work)
    show({"workspace": workspace, "now": caller.now}, show_instant(caller.now), as_json=as_json)


@clock.command("set", epilog="Example: bursar clock set 2024-06-01T00:00:00Z --workspace trial")
def set_clock(
    now: Annotated[str, typer.Argument(metavar="INSTANT", help="Where to put the clock, ISO 8601.")],
    workspace: WorkspaceOption = WORKSPACE,
    data_dir: DataDirOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move a sandbox's clock forward; what falls due on the way is run."""
    moment = instant(now, "INSTANT")

    async def work(db: Database) -> Caller:
        caller = await caller_in(db, workspace)
        async with db.transaction(caller.workspace) as connection:
            await tenants.set_clock(connection, caller, moment)
        moved = await caller_in(db, workspace)
        await run_due(db, moved)
        return moved

    caller = on_database(data_dir, database_url, work)
    show({"workspace": workspace, "now": caller.now}, show_instant(caller.now), as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(clock, name="clock")
