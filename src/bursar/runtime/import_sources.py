"""Files of events: CSV, a JSON object per line, Parquet. Each gives its rows in batches, from a place on."""

import csv
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import msgspec
from msgspec import Raw

from bursar.core.errors import BursarError, Invalid
from bursar.core.period import show_instant
from bursar.runtime.import_mapping import Columns, translation
from bursar.usage.event import BATCH_LIMIT
from bursar.usage.import_marks import Place

BOM = b"\xef\xbb\xbf"
READ = 1 << 20
"""Bytes that are read at a time where they are only looked through."""


class MissingParquet(BursarError):
    """Parquet needs pyarrow: pip install 'bursar[parquet]'."""


class Format(StrEnum):
    """What a file is."""

    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"


_SUFFIXES = {
    ".csv": Format.CSV,
    ".ndjson": Format.NDJSON,
    ".jsonl": Format.NDJSON,
    ".json": Format.NDJSON,
    ".parquet": Format.PARQUET,
}


_NOWHERE = Place(0, 0, b"")


@dataclass(slots=True)
class Batch:
    """Rows that follow one another in a file."""

    lines: list[int] = field(default_factory=list)
    """The line in which each row ends, or its number where there are no lines."""
    rows: list[Any] = field(default_factory=list)
    events: list[bytes] = field(default_factory=list)
    """JSON of the rows that may be events."""
    places: list[int] = field(default_factory=list)
    """Which rows these are."""
    sound: bool = True
    """Whether each of `events` is known to be JSON of one value."""
    refused: list[tuple[int, str]] = field(default_factory=list)
    """The others, with why."""
    end: Place = _NOWHERE
    """Where the row that follows begins."""
    size: int = 0
    """What of the source's `size` it is."""


class Source(Protocol):
    """A file."""

    columns: Sequence[str]
    """Names for the `cells` of a row."""
    size: int
    """Of the whole."""
    unit: str
    """What sizes count."""

    def has(self, place: Place) -> bool:
        """Whether everything before a place is what it was."""

    def batches(self, start: Place | None) -> Iterator[Batch]:
        """Its rows from a place on, or all of them. Raises `Invalid` for what cannot be read at all."""

    def cells(self, row: Any) -> Sequence[str]:
        """A row of it as texts."""


def format_of(path: Path, named: str | None) -> Format:
    """The format that was named, or else that of the file's name. Raises `Invalid`."""
    known = named if named is not None else _SUFFIXES.get(path.suffix.lower())
    if known is None or known not in list(Format):
        raise Invalid("--format", f"must be one of {', '.join(Format)}, since the name of {path.name} does not say it")
    return Format(known)


def names_of(path: Path, kind: Format) -> Sequence[str]:
    """The columns of a file; none of a format whose rows name their own. Raises as `open_source` does."""
    if kind is Format.CSV:
        return _header(path)
    return list(_parquet(path).schema_arrow.names) if kind is Format.PARQUET else ()


def open_source(path: Path, kind: Format, mapping: Columns | None) -> Source:
    """A file, ready to be read. Raises `Invalid` where the mapping does not fit it, and `MissingParquet`."""
    if kind is Format.NDJSON:
        return JsonLines(path, mapping)
    if mapping is None:
        raise Invalid("--schema", "and the other columns must be named for a file of this format")
    return CsvFile(path, mapping) if kind is Format.CSV else ParquetFile(path, mapping)


class _Lines:
    """The lines of a file from a place on, and the place behind the last one that was read."""

    def __init__(self, path: Path, start: Place | None) -> None:
        self._path = path
        self.position, self.line = (0, 0) if start is None else (start.position, start.line)
        self._hash = hashlib.blake2b(digest_size=16)
        self._read: list[bytes] = []
        """What is not in the hash yet: a line by itself costs as much as ten."""
        if start is not None:
            _hash_prefix(self._hash, path, start.position)

    @property
    def place(self) -> Place:
        """Where the next line begins."""
        self._hash.update(b"".join(self._read))
        self._read.clear()
        return Place(self.position, self.line, self._hash.digest())

    def __iter__(self) -> Iterator[bytes]:
        with self._path.open("rb") as handle:
            handle.seek(self.position)
            for line in handle:
                first = self.position == 0 and line.startswith(BOM)
                self.position += len(line)
                self.line += 1
                self._read.append(line)
                yield line[len(BOM) :] if first else line


def _hash_prefix(digest: Any, path: Path, length: int) -> int:
    """Add the first bytes of a file to a digest; returns how many there were."""
    left = length
    with path.open("rb") as handle:
        while left and (part := handle.read(min(READ, left))):
            digest.update(part)
            left -= len(part)
    return length - left


def _has_lines(path: Path, place: Place) -> bool:
    digest = hashlib.blake2b(digest_size=16)
    return _hash_prefix(digest, path, place.position) == place.position and digest.digest() == place.digest


def _batches(
    rows: Iterator[tuple[int, Any]],
    lines: _Lines,
    event: Callable[[Any], bytes],
    sound: Callable[[Batch], bool] = lambda _: True,
) -> Iterator[Batch]:
    """Rows with their lines in batches; `event` makes JSON of a row, or raises `Invalid` or `ValueError`."""
    while True:
        before, batch = lines.position, Batch()
        for line, row in islice(rows, BATCH_LIMIT):
            _add(batch, line, row, event)
        if not batch.rows:
            return
        batch.end, batch.size, batch.sound = lines.place, lines.position - before, sound(batch)
        yield batch


def _add(batch: Batch, line: int, row: Any, event: Callable[[Any], bytes]) -> None:
    place = len(batch.rows)
    batch.lines.append(line)
    batch.rows.append(row)
    try:
        batch.events.append(event(row))
        batch.places.append(place)
    except (Invalid, ValueError) as error:
        batch.refused.append((place, str(error)))


_encode = msgspec.json.Encoder().encode


class CsvFile:
    """Comma-separated values behind a line of names."""

    unit = "bytes"

    def __init__(self, path: Path, mapping: Columns) -> None:
        self._path = path
        self.size = path.stat().st_size
        self.columns = _header(path)
        self._translation = translation(mapping, self.columns, by_name=False)

    def has(self, place: Place) -> bool:
        """Whether everything before a place is what it was."""
        return _has_lines(self._path, place)

    def batches(self, start: Place | None) -> Iterator[Batch]:
        """Its rows; empty ones are none."""
        lines = _Lines(self._path, start)
        rows = _csv_rows(self._path, lines)
        if start is None:
            next(rows, None)
        event = self._translation.event
        yield from _batches(((lines.line, row) for row in rows if row), lines, lambda row: _encode(event(row)))

    def cells(self, row: Any) -> Sequence[str]:
        """The row, without what stands behind the last column."""
        return list(row[: len(self.columns)])


def _header(path: Path) -> Sequence[str]:
    return next(_csv_rows(path, _Lines(path, None)), [])


def _csv_rows(path: Path, lines: _Lines) -> Iterator[list[str]]:
    try:
        yield from csv.reader(line.decode("utf-8", "replace") for line in lines)
    except csv.Error as error:
        raise Invalid(f"{path.name}, line {lines.line}", str(error)) from None


class JsonLines:
    """An object per line: an event as the API takes it or, with a mapping, fields that the mapping names."""

    unit = "bytes"
    columns: Sequence[str] = ("content",)

    def __init__(self, path: Path, mapping: Columns | None) -> None:
        self._path = path
        self.size = path.stat().st_size
        self._translation = None if mapping is None else translation(mapping, (), by_name=True)

    def has(self, place: Place) -> bool:
        """Whether everything before a place is what it was."""
        return _has_lines(self._path, place)

    def batches(self, start: Place | None) -> Iterator[Batch]:
        """Its lines; empty ones are none."""
        lines = _Lines(self._path, start)
        rows = ((lines.line, line) for raw in lines if (line := raw.strip()))
        return _batches(rows, lines, self._event, _sound if self._translation is None else lambda _: True)

    def cells(self, row: Any) -> Sequence[str]:
        """The line."""
        return [row.decode("utf-8", "replace")]

    def _event(self, line: bytes) -> bytes:
        return line if self._translation is None else _encode(self._translation.event(_flat(line)))


_fields = msgspec.json.Decoder(dict[str, Raw])
_value = msgspec.json.Decoder(Raw)
_string = msgspec.json.Decoder(str)


def _sound(batch: Batch) -> bool:
    """Whether each line of a batch is JSON of one value, of whatever shape."""
    try:
        for line in batch.events:
            _value.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _flat(line: bytes) -> dict[str, str]:
    """The fields of an object as texts, numbers with their digits. Raises `ValueError`."""
    try:
        fields = {name: bytes(raw) for name, raw in _fields.decode(line).items()}
        return {name: _string.decode(raw) if raw[:1] == b'"' else raw.decode() for name, raw in fields.items()}
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"not a JSON object: {error}") from None


class ParquetFile:
    """Columns of Parquet. Places are numbers of rows, and hold for the file as a whole."""

    unit = "rows"

    def __init__(self, path: Path, mapping: Columns) -> None:
        self._file = _parquet(path)
        self.size = self._file.metadata.num_rows
        self.columns: Sequence[str] = list(self._file.schema_arrow.names)
        self._translation = translation(mapping, self.columns, by_name=True)
        digest = hashlib.blake2b(digest_size=16)
        _hash_prefix(digest, path, path.stat().st_size)
        self._digest = digest.digest()

    def has(self, place: Place) -> bool:
        """Whether the file is what it was."""
        return place.digest == self._digest and place.position <= self.size

    def batches(self, start: Place | None) -> Iterator[Batch]:
        """Its rows."""
        done = first = 0 if start is None else start.position
        event = self._translation.event
        seen = 0
        for table in self._file.iter_batches(batch_size=BATCH_LIMIT):
            seen += table.num_rows
            if seen <= first:
                continue
            batch = Batch()
            for row in _texts(table)[max(0, first - (seen - table.num_rows)) :]:
                done += 1
                _add(batch, done, row, lambda row: _encode(event(row)))
            batch.end, batch.size = Place(done, done, self._digest), len(batch.rows)
            yield batch

    def cells(self, row: Any) -> Sequence[str]:
        """The row."""
        return [row.get(name, "") for name in self.columns]


def _parquet(path: Path) -> Any:
    """pyarrow's view of a file."""
    try:
        from pyarrow import ArrowException, parquet  # noqa: PLC0415 - an extra that most installations lack
    except ImportError:
        raise MissingParquet from None
    try:
        return parquet.ParquetFile(path)
    except (ArrowException, OSError) as error:
        raise Invalid(path.name, f"is not Parquet: {error}") from None


def _texts(table: Any) -> list[dict[str, str]]:
    """The rows of a table of pyarrow as texts; a field without a value is left out."""
    from pyarrow import timestamp, types  # noqa: PLC0415 - as above

    columns = {}
    for name, column in zip(table.schema.names, table.columns, strict=True):
        # Python's instants have microseconds; digits beyond are cut, as everywhere.
        fine = types.is_timestamp(column.type) and column.type.unit == "ns"
        columns[name] = (column.cast(timestamp("us", column.type.tz), safe=False) if fine else column).to_pylist()
    rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
    return [{name: _text(value) for name, value in row.items() if value is not None} for row in rows]


def _text(value: Any) -> str:
    """A value as a CSV file would have it; a binary number as the shortest decimal that names it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{Decimal(repr(value)):f}"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return show_instant(value)
    if isinstance(value, date):
        return value.isoformat()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
