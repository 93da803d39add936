"""Commands on events."""

from pathlib import Path
from typing import Annotated

import typer

from bursar.core.errors import Invalid
from bursar.db.database import Database
from bursar.runtime.imports import Mapping, Report, check_mapping, import_rows, read_csv, read_mapping, write_rejects
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
from bursar.runtime.wall import wall
from bursar.usage.pipeline import Pipeline

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
    file: Annotated[Path, typer.Argument(help="CSV file with a header line.", exists=True, dir_okay=False)],
    schema: Annotated[str | None, typer.Option(help="Event schema: its name, or a column that holds it.")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="Column of the event id, or a text with {COLUMN}.")] = None,
    timestamp: Annotated[str | None, typer.Option(help="Column of the instant, ISO 8601; UTC without offset.")] = None,
    account: Annotated[str | None, typer.Option(help="Column of the account id or alias, or =ID for all rows.")] = None,
    attribute: Annotated[list[str] | None, typer.Option(help="NAME=COLUMN; may be repeated.")] = None,
    dimension: Annotated[list[str] | None, typer.Option(help="NAME=COLUMN or NAME==TEXT; may be repeated.")] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="JSON file with schema, id, timestamp, account, attributes, dimensions.")
    ] = None,
    rejects: Annotated[Path | None, typer.Option(help="Where refused rows go; default FILE.rejects.csv.")] = None,
    backfill: Annotated[
        bool, typer.Option("--backfill", help="Take history of any age into periods that are not invoiced.")
    ] = False,
    workspace: WorkspaceOption = WORKSPACE,
    data_dir: DataDirOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import events from a CSV file, the way the API takes them. Run it again: what is there already adds nothing."""
    columns, rows = read_csv(file)
    chosen = _mapping(columns, mapping, schema, id_, timestamp, account, attribute, dimension)
    check_mapping(chosen, columns)

    async def work(db: Database) -> Report:
        caller = await caller_in(db, workspace)
        with progress("rows", None, quiet=as_json) as advance:
            async with Pipeline(db, wall) as pipeline:
                return await import_rows(pipeline, caller.workspace, rows, chosen, backfill=backfill, progress=advance)

    report = on_database(data_dir, database_url, work)
    target = rejects or file.with_name(f"{file.name}.rejects.csv")
    if report.rejects:
        write_rejects(target, columns, report)
    result = {
        "rows": report.rows,
        "accepted": report.accepted,
        "known": report.known,
        "rejected": report.rejected,
        "rejects_file": str(target) if report.rejects else None,
    }
    text = f"{report.rows} rows: {report.accepted} accepted, {report.known} known already, {report.rejected} rejected"
    show(result, text + (f" (see {target})" if report.rejects else ""), as_json=as_json)


def _mapping(
    columns: list[str],
    path: Path | None,
    schema: str | None,
    id_: str | None,
    timestamp: str | None,
    account: str | None,
    attributes: list[str] | None,
    dimensions: list[str] | None,
) -> Mapping:
    base = read_mapping(path) if path else Mapping(schema="", id="", timestamp="", account="")
    chosen = Mapping(
        schema=_literal(schema, columns) or base.schema,
        id=id_ or base.id,
        timestamp=timestamp or base.timestamp,
        account=account or base.account,
        attributes={**base.attributes, **_pairs(attributes, "--attribute")},
        dimensions={**base.dimensions, **_pairs(dimensions, "--dimension")},
    )
    for name in ("schema", "id", "timestamp", "account"):
        if not getattr(chosen, name):
            raise Invalid(f"--{name}", "is required, as an option or in the mapping file")
    return chosen


def _literal(text: str | None, columns: list[str]) -> str | None:
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
