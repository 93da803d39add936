"""Files of events: CSV, a JSON object per line, Parquet. Each gives its rows in batches, from a place on."""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from bursar.core.errors import BursarError, Invalid
from bursar.core.period import show_instant
from bursar.runtime.import_lines import Batch, CsvFile, JsonLines, add, hash_prefix, header_of
from bursar.runtime.import_mapping import Columns, translation
from bursar.usage.event import BATCH_LIMIT
from bursar.usage.import_marks import Place


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
        return header_of(path)
    return list(_parquet(path).schema_arrow.names) if kind is Format.PARQUET else ()


def open_source(path: Path, kind: Format, mapping: Columns | None) -> Source:
    """A file, ready to be read. Raises `Invalid` where the mapping does not fit it, and `MissingParquet`."""
    if kind is Format.NDJSON:
        return JsonLines(path, mapping)
    if mapping is None:
        raise Invalid("--schema", "and the other columns must be named for a file of this format")
    return CsvFile(path, mapping) if kind is Format.CSV else ParquetFile(path, mapping)


class ParquetFile:
    """Columns of Parquet. Places are numbers of rows, and hold for the file as a whole."""

    unit = "rows"

    def __init__(self, path: Path, mapping: Columns) -> None:
        self._file = _parquet(path)
        self.size = self._file.metadata.num_rows
        self.columns: Sequence[str] = list(self._file.schema_arrow.names)
        self._translation = translation(mapping, self.columns, by_name=True)
        digest = hashlib.blake2b(digest_size=16)
        hash_prefix(digest, path, path.stat().st_size)
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
                add(batch, done, row, event)
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
