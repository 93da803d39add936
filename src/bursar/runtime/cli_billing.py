"""Commands on billing: the bill run, the proof that everything holds, the demonstration."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from bursar.accounts.workspaces import caller_of, list_workspaces
from bursar.core.caller import Caller
from bursar.core.errors import NotFound
from bursar.core.period import show_instant
from bursar.db.database import Database
from bursar.invoicing.billing import BillReport, bill
from bursar.runtime import collector, witness
from bursar.runtime.connect import database
from bursar.runtime.datadir import DataDir, default_data_dir
from bursar.runtime.demo import play
from bursar.runtime.hands import hands
from bursar.runtime.output import DataDirOption, JsonOption, PrivateCallbacksOption, UrlOption, instant, progress, show
from bursar.runtime.proof import prove
from bursar.runtime.session import on_database
from bursar.runtime.wall import wall
from bursar.runtime.worker import work as work_until_told


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file to the program."""
    app.command("bill", epilog="Example: bursar bill --workspace trial --as-of 2024-06-05T00:00:00Z")(bill_)
    app.command("verify", epilog="Example: bursar verify --data-dir ./data --json")(verify)
    app.command("worker", epilog="Example: bursar worker --database-url postgresql://bursar@db/bursar")(worker)
    app.command("demo", epilog="Example: bursar demo --events 120000")(demo)


def bill_(
    as_of: Annotated[str | None, typer.Option(help="Run what was due at this instant; default: now.")] = None,
    workspace: Annotated[str | None, typer.Option(help="Only this workspace; default: every one.")] = None,
    data_dir: DataDirOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Issue the invoices that are due. Run it as often as you like: each is issued once."""
    moment = instant(as_of, "--as-of") if as_of else None

    async def run(db: Database) -> list[tuple[str, BillReport]]:
        reports = []
        for name, caller in await _callers(db, workspace):
            if workspace is None and moment is not None and moment > caller.now:
                # A workspace whose clock is behind has nothing due by then; asked for by name, it says so.
                continue
            with progress(f"invoices of {name}", None, quiet=as_json) as advance:
                state = {"done": 0}

                def told(done: int, _due: int, state: dict[str, int] = state, advance: Any = advance) -> None:
                    advance(done - state["done"])
                    state["done"] = done

                reports.append((name, await bill(db, caller, moment, told, hands=hands)))
        return reports

    collector.settle()
    reports = on_database(data_dir, database_url, run)
    rows = [
        {
            "workspace": name,
            "as_of": report.as_of,
            "opened": report.opened,
            "issued": report.issued,
            "first": report.first,
            "last": report.last,
            "failed": report.failed,
        }
        for name, report in reports
    ]
    text = "\n".join(_sentence(row) for row in rows) or "no workspace has come to that instant"
    show(rows, text, as_json=as_json)
    if any(row["failed"] for row in rows):
        raise typer.Exit(1)


def verify(
    audit_head: Annotated[
        Path | None,
        typer.Option(
            help="Heads of the audit chains that were kept elsewhere, as `bursar audit head --json` prints them.",
            exists=True, dir_okay=False,
        ),
    ] = None,
    data_dir: DataDirOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Check every invariant over all data. Exit status 1 says that something does not hold, and prints what."""
    kept = witness.read(audit_head) if audit_head else {}
    if not audit_head and not database_url:
        kept = witness.read(DataDir(data_dir or default_data_dir()).heads)

    async def run(db: Database) -> dict[str, list[str]]:
        return await prove(db, kept=kept, quiet=as_json)

    problems = on_database(data_dir, database_url, run)
    broken = [f"{name}: {problem}" for name, found in problems.items() for problem in found]
    text = "\n".join(broken) if broken else f"verify: all invariants hold ({len(problems)} checks)"
    show({"holds": not broken, "checks": problems}, text, as_json=as_json)
    if broken:
        raise typer.Exit(1)


def worker(
    data_dir: DataDirOption = None,
    database_url: UrlOption = None,
    allow_private_callbacks: PrivateCallbacksOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run the worker alone, beside servers that were started with --no-worker."""

    with database(data_dir, database_url, lambda text: show({"message": text}, text, as_json=as_json), wall()) as dsn:
        show({"message": "worker ready"}, "the worker is ready", as_json=as_json)
        asyncio.run(work_until_told(dsn, private_callbacks=allow_private_callbacks))


def demo(
    events: Annotated[int, typer.Option(help="How many events to play.", min=20_000, max=5_000_000)] = 110_000,
    as_json: JsonOption = False,
) -> None:
    """Play a month of usage against a server of its own and show the invoice that it becomes, explained."""
    result = play(events, quiet=as_json)
    show(result, "", as_json=as_json) if as_json else None


async def _callers(db: Database, workspace: str | None) -> list[tuple[str, Caller]]:
    async with db.transaction(None) as connection:
        found = await list_workspaces(connection)
    chosen = [entry for entry in found if workspace is None or entry.name == workspace]
    if workspace is not None and not chosen:
        raise NotFound("workspace", workspace)
    return [(entry.name, caller_of(entry, wall(), "cli")) for entry in chosen]


def _sentence(row: dict[str, Any]) -> str:
    numbers = f", {row['first']} to {row['last']}" if row["first"] else ""
    failed = f"; {len(row['failed'])} cannot be posted: {', '.join(row['failed'])}" if row["failed"] else ""
    return f"{row['workspace']}: {row['issued']} invoices issued as of {show_instant(row['as_of'])}{numbers}{failed}"
