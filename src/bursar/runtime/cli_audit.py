"""Commands on the audit trail."""

from typing import Annotated, Any

import typer

from bursar.core.page import Page
from bursar.db import audit
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
from bursar.runtime.witness import named_heads, plain

trail = typer.Typer(help="The trail of every write.", no_args_is_help=False, rich_markup_mode=None)

Option = typer.Option


@trail.command("list", epilog="Example: bursar audit list --kind price_plan --since 2026-01-01T00:00:00Z --limit 20")
def list_entries(
    actor: Annotated[str | None, Option(help="Who did it, such as token:<prefix>, cli or worker.")] = None,
    action: Annotated[str | None, Option(help="What was done, such as create or issue.")] = None,
    kind: Annotated[str | None, Option(help="The kind of object, such as customer.")] = None,
    object_id: Annotated[str | None, Option("--object", help="The object's id.")] = None,
    since: Annotated[str | None, Option(help="Recorded at this instant or later.")] = None,
    until: Annotated[str | None, Option(help="Recorded before this instant.")] = None,
    after: Annotated[str | None, Option(help="Go on after the bookmark that the last page gave.")] = None,
    limit: Annotated[int, Option(help="How many.", min=1, max=1000)] = 50,
    workspace: WorkspaceOption = WORKSPACE,
    data_dir: DataDirOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List a workspace's audit entries, newest first."""
    wanted = audit.Filter(
        actor, action, kind, object_id,
        instant(since, "--since") if since else None, instant(until, "--until") if until else None,
    )  # fmt: skip

    async def work(db: Database) -> Page[audit.Entry]:
        caller = await caller_in(db, workspace)
        async with db.reading(caller.workspace) as connection:
            return await audit.list_entries(connection, caller, wanted, after, limit)

    page = on_database(data_dir, database_url, work)
    rows = [_entry(entry) for entry in page.items]
    text = table(rows, ["number", "recorded_at", "actor", "action", "kind", "object"])
    more = f"\nmore: --after {page.after}" if page.after else ""
    show({"entries": rows, "next": page.after}, text + more, as_json=as_json)


@trail.command("head", epilog="Example: bursar audit head --json > heads.json; bursar verify --audit-head heads.json")
def head(data_dir: DataDirOption = None, database_url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Show the last link of each workspace's chain: keep it elsewhere, and `verify` finds a chain that was cut."""

    async def work(db: Database) -> dict[str, Any]:
        async with db.snapshot() as connection:
            return plain(await named_heads(connection))

    heads = on_database(data_dir, database_url, work)
    rows = [{"workspace": name, **entry} for name, entry in heads.items()]
    show(heads, table(rows, ["workspace", "number", "hash"]), as_json=as_json)


def _entry(entry: audit.Entry) -> dict[str, Any]:
    return {
        "number": entry.number,
        "recorded_at": entry.recorded_at,
        "actor": entry.actor,
        "action": entry.action,
        "kind": entry.kind,
        "object": entry.object,
        "detail": entry.detail,
        "hash": entry.hash.hex() if entry.hash else None,
    }


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(trail, name="audit")
