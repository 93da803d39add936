"""What commands print, and the options that they share."""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from bursar.core.caller import DEFAULT
from bursar.core.errors import Invalid
from bursar.core.period import parse_instant, show_instant

DataDirOption = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Data directory of the embedded PostgreSQL.", file_okay=False, show_default=False),
]
UrlOption = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        help="Use this PostgreSQL (15 to 18) instead: postgresql://user@host/name.",
        envvar="DATABASE_URL",
        show_default=False,
    ),
]
PrivateCallbacksOption = Annotated[
    bool,
    typer.Option(
        "--allow-private-callbacks",
        help="Let requests to subscribers go to private and local addresses too.",
        envvar="BURSAR_ALLOW_PRIVATE_CALLBACKS",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
WorkspaceOption = Annotated[str, typer.Option("--workspace", help="Name of the workspace.")]
WORKSPACE = DEFAULT


def note(text: str) -> None:
    """A line for people, at once."""
    print(text, flush=True)


def remark(text: str) -> None:
    """A line for people that is not the command's result."""
    print(text, file=sys.stderr, flush=True)


def show(value: Any, text: str, *, as_json: bool) -> None:
    """The result of a command: as JSON, or as text for people."""
    print(json.dumps(value, default=_plain) if as_json else text, flush=True)


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows for people, in aligned columns."""
    cells = [[column.upper() for column in columns]]
    cells += [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def instant(text: str, field: str) -> datetime:
    """The instant of an argument. Raises `Invalid`."""
    try:
        return parse_instant(text)
    except ValueError:
        raise Invalid(field, f"{text!r} is not an ISO 8601 instant such as 2024-05-01T00:00:00Z") from None


class Advance(Protocol):
    """Tells a progress display how much more is done."""

    def __call__(self, done: int) -> None:
        """`done` more."""


@contextmanager
def progress(title: str, total: int | None, *, quiet: bool = False) -> Iterator[Advance]:
    """A bar on a terminal, plain lines every few seconds otherwise; on the error stream, so results stay clean."""
    if quiet:
        yield lambda done: None
        return
    if sys.stderr.isatty():
        # Imported where there is somebody to see it: it takes as long as many a command.
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(title, total=total)
            yield lambda done: bar.advance(task, done)
        return
    state = {"done": 0, "told": time.monotonic()}

    def advance(done: int) -> None:
        state["done"] += done
        if time.monotonic() - state["told"] > 2:
            state["told"] = time.monotonic()
            remark(f"{title}: {int(state['done'])}{f' of {total}' if total else ''}")

    yield advance
    remark(f"{title}: {int(state['done'])}, done")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return show_instant(value)
    if isinstance(value, list | tuple):
        return ",".join(str(item) for item in value)
    return str(value)


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return show_instant(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    raise TypeError(f"{type(value)} has no JSON form")
