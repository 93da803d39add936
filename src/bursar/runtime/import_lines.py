"""Files of events whose rows are lines: CSV, and JSON with an object per line. Each gives its rows in batches."""

import csv
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw

from bursar.core.errors import Invalid
from bursar.runtime.import_mapping import Columns, translation
from bursar.usage.event import BATCH_LIMIT
from bursar.usage.import_marks import Place

BOM = b"\xef\xbb\xbf"
READ = 1 << 20
"""Bytes that are read at a time where they are only looked through."""

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


class _Lines:
    """The lines of a file from a place on, and the place behind the last one that was read."""

    def __init__(self, path: Path, start: Place | None) -> None:
        self._path = path
        self.position, self.line = (0, 0) if start is None else (start.position, start.line)
        self._hash = hashlib.blake2b(digest_size=16)
        self._read: list[bytes] = []
        """What is not in the hash yet: a line by itself costs as much as ten."""
        if start is not None:
            hash_prefix(self._hash, path, start.position)

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


def hash_prefix(digest: Any, path: Path, length: int) -> int:
    """Add the first bytes of a file to a digest; returns how many there were."""
    left = length
    with path.open("rb") as handle:
        while left and (part := handle.read(min(READ, left))):
            digest.update(part)
            left -= len(part)
    return length - left


def _has_lines(path: Path, place: Place) -> bool:
    digest = hashlib.blake2b(digest_size=16)
    return hash_prefix(digest, path, place.position) == place.position and digest.digest() == place.digest


def _batch(lines: list[int], rows: list[Any], event: Callable[[Any], bytes]) -> Batch:
    """Rows with their lines; `event` makes JSON of a row, or raises `Invalid` or `ValueError`."""
    try:
        return Batch(lines, rows, list(map(event, rows)), list(range(len(rows))))
    except (Invalid, ValueError):
        batch = Batch()
        for line, row in zip(lines, rows, strict=True):
            add(batch, line, row, event)
        return batch


def add(batch: Batch, line: int, row: Any, event: Callable[[Any], bytes]) -> None:
    """Another row, with its event where it is one."""
    place = len(batch.rows)
    batch.lines.append(line)
    batch.rows.append(row)
    try:
        batch.events.append(event(row))
        batch.places.append(place)
    except (Invalid, ValueError) as error:
        batch.refused.append((place, str(error)))


_Read = tuple[list[int], list[list[str]]]
"""Rows of CSV: in which line each ends, counted from one, and their cells. Empty ones are none."""


class CsvFile:
    """Comma-separated values behind a line of names."""

    unit = "bytes"

    def __init__(self, path: Path, mapping: Columns) -> None:
        self._path = path
        self.size = path.stat().st_size
        self.columns = header_of(path)
        self._translation = translation(mapping, self.columns, by_name=False)

    def has(self, place: Place) -> bool:
        """Whether everything before a place is what it was."""
        return _has_lines(self._path, place)

    def batches(self, start: Place | None) -> Iterator[Batch]:
        """Its rows; empty ones are none."""
        lines = _Lines(self._path, start)
        following = iter(lines)
        if start is None:
            next(_csv_rows(self._path, lines, following), None)
        while True:
            before, first = lines.position, lines.line
            some = list(islice(following, BATCH_LIMIT))
            if not some:
                return
            plain = plain_rows(b"".join(some))
            numbers, rows = plain or self._rows(lines, some, following)
            event = self._translation.plain_event if plain else self._translation.event
            batch = _batch([first + number for number in numbers], rows, event)
            batch.end, batch.size = lines.place, lines.position - before
            yield batch

    def _rows(self, lines: _Lines, some: list[bytes], following: Iterator[bytes]) -> _Read:
        """The rows of some lines, and of as many of the following ones as the last row takes."""
        found: _Read = ([], [])
        for number, row in _csv_rows(self._path, lines, chain(some, following)):
            if row:
                found[0].append(number)
                found[1].append(row)
            if number >= len(some):
                break
        return found

    def cells(self, row: Any) -> Sequence[str]:
        """The row, without what stands behind the last column."""
        return list(row[: len(self.columns)])


def header_of(path: Path) -> Sequence[str]:
    """The names in the first row of a file of CSV; none of an empty one."""
    lines = _Lines(path, None)
    _, row = next(_csv_rows(path, lines, iter(lines)), (0, []))
    return row


def _csv_rows(path: Path, lines: _Lines, following: Iterator[bytes]) -> Iterator[tuple[int, list[str]]]:
    """The rows of the following ones of a file's lines, with how many lines were read by the end of each."""
    reader = csv.reader(line.decode("utf-8", "replace") for line in following)
    try:
        yield from ((reader.line_num, row) for row in reader)
    except csv.Error as error:
        raise Invalid(f"{path.name}, line {lines.line}", str(error)) from None


_SPECIAL = bytes({*range(32), *b'"\\'} - {*b"\r\n"})


def plain_rows(content: bytes) -> _Read | None:
    """The rows of whole lines none of whose texts needs a quote, here or in JSON; None where that is not known.

    A quarter of the time of the module `csv`, and what it gives.
    """
    if len(content.translate(None, _SPECIAL)) < len(content) or content.count(b"\r") != content.count(b"\r\n"):
        return None
    texts = content.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    if max(map(len, texts)) > csv.field_size_limit():
        return None
    return [line for line, text in enumerate(texts, 1) if text], [text.split(",") for text in texts if text]


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
        following = iter(lines)
        while True:
            before, first = lines.position, lines.line
            some = [line.strip() for line in islice(following, BATCH_LIMIT)]
            if not some:
                return
            numbers = [first + number for number, line in enumerate(some, 1) if line]
            batch = _batch(numbers, [line for line in some if line], self._event)
            batch.sound = self._translation is not None or _sound(batch)
            batch.end, batch.size = lines.place, lines.position - before
            yield batch

    def cells(self, row: Any) -> Sequence[str]:
        """The line."""
        return [row.decode("utf-8", "replace")]

    def _event(self, line: bytes) -> bytes:
        return line if self._translation is None else self._translation.event(_flat(line))


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
