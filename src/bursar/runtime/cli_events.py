"""Commands on events."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from bursar.core.errors import Invalid
from bursar.db.database import Database
from bursar.runtime import collector
from bursar.runtime.import_hands import count_for
from bursar.runtime.import_mapping import Columns, read_columns
from bursar.runtime.import_sources import format_of, names_of, open_source
from bursar.runtime.imports import Import, Rejects, Report, identity
from bursar.runtime.output import (
    WORKSPACE,
    DataDirOption,
    JsonOption,
    UrlOption,
    WorkspaceOption,
    progress,
    show,
)
from bursar.runtime.session import caller_in, on_database

imports = typer.Typer(help="Bring data in.", no_args_is_help=False, rich_markup_mode=None)

_EXAMPLE = (
    "Example: bursar import events usage.csv --schema llm --id 'req-{TIMESTAMP}' --timestamp TIMESTAMP "
    "--account =acme --attribute tokens=ContextTokens --dimension model==big"
)


@imports.callback()
def group() -> None:
    """Bring data in."""


@imports.command("events", epilog=_EXAMPLE)
def events(
    file: Annotated[
        Path, typer.Argument(help="CSV, JSON lines (.ndjson, .jsonl) or Parquet.", exists=True, dir_okay=False)
    ],
    schema: Annotated[str | None, typer.Option(help="Event schema: its name, or a column that holds it.")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="Column of the event id, or a text with {COLUMN}.")] = None,
    timestamp: Annotated[str | None, typer.Option(help="Column of the instant, ISO 8601; UTC without offset.")] = None,
    account: Annotated[str | None, typer.Option(help="Column of the account id or alias, or =ID for all rows.")] = None,
    attribute: Annotated[list[str] | None, typer.Option(help="NAME=COLUMN; may be repeated.")] = None,
    dimension: Annotated[list[str] | None, typer.Option(help="NAME=COLUMN or NAME==TEXT; may be repeated.")] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="JSON file with schema, id, timestamp, account, attributes, dimensions.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--format", help="csv, ndjson or parquet; default: as the file's name says.")
    ] = None,
    rejects: Annotated[Path | None, typer.Option(help="Where refused rows go; default FILE.rejects.csv.")] = None,
    backfill: Annotated[
        bool, typer.Option("--backfill", help="Take history of any age into periods that are not invoiced.")
    ] = False,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Look at every row, also where an import was cut off behind them.")
    ] = False,
    workspace: WorkspaceOption = WORKSPACE,
    data_dir: DataDirOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import events from a file, the way the API takes them. Run it again: what is there already adds nothing.

    JSON lines are events as the API takes them, unless columns are named. One that was cut off goes on where it was.
    """
    chosen = format_of(file, kind)
    values = {"id": id_, "timestamp": timestamp, "account": account}
    columns = _columns(names_of(file, chosen), mapping, schema, values, attribute, dimension)
    source = open_source(file, chosen, columns)
    target = rejects or file.with_name(f"{file.name}.rejects.csv")

    async def work(db: Database) -> Report:
        caller = await caller_in(db, workspace)
        name = identity(file, chosen, columns, backfill=backfill)
        with progress(f"{file.name} ({source.unit})", source.size, quiet=as_json) as advance:
            run = Import(
                db, caller.workspace, source, name, Rejects(target, source.columns), backfill, advance, count_for(file)
            )
            return await run.run(resume=not from_start)

    collector.settle()
    report = on_database(data_dir, database_url, work)
    result = {
        "rows": report.rows,
        "accepted": report.accepted,
        "known": report.known,
        "rejected": report.rejected,
        "resumed": report.resumed,
        "rejects_file": str(target) if report.rejected else None,
    }
    text = f"{report.rows} rows: {report.accepted} accepted, {report.known} known already, {report.rejected} rejected"
    text += f", {report.resumed} of them before it was cut off" if report.resumed else ""
    show(result, text + (f" (see {target})" if report.rejected else ""), as_json=as_json)


def _columns(
    names: Sequence[str],
    path: Path | None,
    schema: str | None,
    values: Mapping[str, str | None],
    attributes: list[str] | None,
    dimensions: list[str] | None,
) -> Columns | None:
    """How rows become events, by the names of their columns; None where nothing says it."""
    if not any((path, schema, *values.values(), attributes, dimensions)):
        return None
    base = read_columns(path) if path else Columns(schema="", id="", timestamp="", account="")
    chosen = Columns(
        schema=_literal(schema, names) or base.schema,
        id=values["id"] or base.id,
        timestamp=values["timestamp"] or base.timestamp,
        account=values["account"] or base.account,
        attributes={**base.attributes, **_pairs(attributes, "--attribute")},
        dimensions={**base.dimensions, **_pairs(dimensions, "--dimension")},
    )
    for name in ("schema", "id", "timestamp", "account"):
        if not getattr(chosen, name):
            raise Invalid(f"--{name}", "is required, as an option or in the mapping file")
    return chosen


def _literal(text: str | None, columns: Sequence[str]) -> str | None:
    """A schema is named as it is, unless a column or a pattern is meant."""
    if text is None or text in columns or text.startswith("=") or "{" in text:
        return text
    return f"={text}"


def _pairs(texts: list[str] | None, option: str) -> dict[str, str]:
    pairs = {}
    for text in texts or ():
        name, found, value = text.partition("=")
        if not found or not name or not value:
            raise Invalid(option, f"{text!r} is not NAME=COLUMN")
        pairs[name] = value
    return pairs


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(imports, name="import")
