"""Events from a file: rows become the same requests that the API takes, through the same pipeline."""

import asyncio
import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from bursar.core.errors import Invalid
from bursar.core.period import parse_instant, show_instant
from bursar.usage.event import BATCH_LIMIT, Parsed, Refused, parse_batch
from bursar.usage.flush import Receipt, Submission
from bursar.usage.pipeline import Pipeline
from bursar.usage.states import MEANING

IN_FLIGHT = 8

Row = tuple[int, dict[str, str]]


class Mapping(msgspec.Struct, forbid_unknown_fields=True):
    """How a row becomes an event.

    Every value is the name of a column, a text with columns in braces (`gpu-{TIMESTAMP}`), or `=text` as it stands.
    """

    schema: str
    id: str
    timestamp: str
    account: str
    attributes: dict[str, str] = {}
    dimensions: dict[str, str] = {}


@dataclass(slots=True)
class Report:
    """What became of a file's rows."""

    rows: int = 0
    accepted: int = 0
    known: int = 0
    """Rows that were there already, with the same content."""
    rejected: int = 0
    rejects: list[tuple[int, str, dict[str, str]]] = field(default_factory=list)
    """Line, reason and row of those that were refused."""


def read_mapping(path: Path) -> Mapping:
    """The mapping of a JSON file. Raises `Invalid`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Mapping)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid(str(path), f"is not a mapping: {error}") from None


def check_mapping(mapping: Mapping, columns: list[str]) -> None:
    """Raise `Invalid` for a value that names no column."""
    named = {"id": mapping.id, "timestamp": mapping.timestamp, "account": mapping.account, "schema": mapping.schema}
    named |= {f"attribute {name}": text for name, text in mapping.attributes.items()}
    named |= {f"dimension {name}": text for name, text in mapping.dimensions.items()}
    example = dict.fromkeys(columns, "")
    for name, text in named.items():
        _value(text, example, name)


async def import_rows(
    pipeline: Pipeline,
    workspace: int,
    rows: Iterator[Row],
    mapping: Mapping,
    *,
    backfill: bool,
    progress: Callable[[int], None],
) -> Report:
    """Admit the rows of a file; rows that are there already with the same content count as nothing."""
    report = Report()
    running: set[asyncio.Task[int]] = set()
    for batch in _batches(rows):
        if len(running) >= IN_FLIGHT:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                progress(task.result())
        running.add(asyncio.create_task(_admit(pipeline, workspace, batch, mapping, report, backfill)))
    for task in running:
        progress(await task)
    report.rejects.sort(key=lambda entry: entry[0])
    return report


def read_csv(path: Path) -> tuple[list[str], Iterator[Row]]:
    """The columns of a CSV file and its rows with their line numbers."""
    handle = path.open(newline="", encoding="utf-8-sig", errors="replace")
    reader = csv.DictReader(handle, strict=False)
    columns = [name or "" for name in reader.fieldnames or []]

    def rows() -> Iterator[Row]:
        with handle:
            for row in reader:
                yield reader.line_num, {str(name): value or "" for name, value in row.items() if isinstance(value, str)}

    return columns, rows()


def write_rejects(path: Path, columns: list[str], report: Report) -> None:
    """The refused rows as CSV: line, reason, then the row as it was."""
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["line", "reason", *columns])
        for line, reason, row in report.rejects:
            writer.writerow([line, reason, *(row.get(column, "") for column in columns)])


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH_LIMIT:
            yield batch
            batch = []
    if batch:
        yield batch


async def _admit(
    pipeline: Pipeline, workspace: int, rows: list[Row], mapping: Mapping, report: Report, backfill: bool
) -> int:
    events, kept, refused = [], [], []
    for line, row in rows:
        try:
            events.append(_event(mapping, row))
            kept.append((line, row))
        except (Invalid, ValueError) as error:
            refused.append((line, str(error), row))
    parsed = _parse(events) if events else None
    receipt = Receipt()
    if parsed is not None:
        refused += [_at(kept, entry.index, entry.message) for entry in parsed.refused]
        if parsed.events:
            receipt = await pipeline.submit(Submission(workspace, None, parsed, backfill, skip_known=True))
    for place, _, state, reason in receipt.verdicts:
        refused.append(_at(kept, place, f"{state.name}: {reason or MEANING[state]}"))
    report.rows += len(rows)
    report.known += receipt.known
    report.rejected += len(refused)
    report.accepted += len(rows) - receipt.known - len(refused)
    report.rejects += refused
    return len(rows)


def _at(rows: list[Row], place: int, reason: str) -> tuple[int, str, dict[str, str]]:
    line, row = rows[place]
    return line, reason, row


def _parse(events: list[dict[str, object]]) -> Parsed:
    body = json.dumps({"events": events}).encode()
    try:
        return parse_batch(body)
    except Invalid as error:
        # Not one event of the batch has the right shape; find out for each on its own.
        return Parsed(body, [], [Refused(i, None, _why(event, error)) for i, event in enumerate(events)], len(events))


def _why(event: dict[str, object], fallback: Invalid) -> str:
    try:
        parse_batch(json.dumps({"events": [event]}).encode())
    except Invalid as error:
        return error.message.removeprefix("events[0]: ")
    return fallback.message


def _event(mapping: Mapping, row: dict[str, str]) -> dict[str, object]:
    return {
        "schemaName": _value(mapping.schema, row, "schema"),
        "id": _value(mapping.id, row, "id"),
        "timestamp": show_instant(parse_instant(_value(mapping.timestamp, row, "timestamp"))),
        "accountId": _value(mapping.account, row, "account"),
        "attributes": [
            {"name": name, "value": _value(text, row, name).strip()} for name, text in mapping.attributes.items()
        ],
        "dimensions": {name: _value(text, row, name) for name, text in mapping.dimensions.items()},
    }


def _value(text: str, row: dict[str, str], name: str) -> str:
    if text.startswith("="):
        return text[1:]
    if text in row:
        return row[text]
    if "{" in text:
        try:
            return text.format_map(row)
        except (KeyError, ValueError, IndexError, AttributeError):
            pass
    raise Invalid(name, f"{text!r} is not a column, a text with columns in braces, or =text")
