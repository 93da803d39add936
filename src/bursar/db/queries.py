"""Named SQL statements, read from a room's `queries.sql`.

A file holds statements headed by `-- name: verb_object` and one line of purpose. They are plain text with positional
parameters ($1, $2 ...), so what stands in the file is what PostgreSQL prepares.
"""

import re
from collections.abc import Iterable
from decimal import Decimal
from importlib import resources
from uuid import UUID

_HEAD = re.compile(r"^-- name: ([a-z][a-z0-9_]*)$", re.MULTILINE)


def numbers(values: Iterable[int | Decimal | UUID | None]) -> str:
    """An array of numbers or UUIDs, or nulls, as PostgreSQL writes it, for a parameter `$1::text::bigint[]`.

    The driver encodes a text of thousands of numbers in a fraction of the time that it takes for a list of them.
    """
    return f"{{{','.join(map(str, values)).replace('None', 'null')}}}"


def texts(values: Iterable[str | None]) -> str:
    """An array of texts, or nulls, as PostgreSQL writes it, for a parameter `$1::text::text[]`; as `numbers`."""
    given = list(values)
    there = [value for value in given if value is not None]
    if len(there) < len(given):
        return f"{{{','.join(['null' if value is None else _quoted(value) for value in given])}}}"
    whole = '","'.join(there)
    # More quotation marks than those between the texts; of no texts at all, there are more than none less two.
    if "\\" in whole or whole.count('"') > 2 * (len(there) - 1):
        return f"{{{','.join(map(_quoted, there))}}}"
    return f'{{"{whole}"}}'


def _quoted(text: str) -> str:
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


class Queries:
    """The statements of one room as attributes: `queries.insert_customer` is its text."""

    def __init__(self, package: str, file: str = "queries.sql") -> None:
        text = resources.files(package).joinpath(file).read_text(encoding="utf-8")
        parts = _HEAD.split(text)
        self._statements: dict[str, str] = {}
        for name, body in zip(parts[1::2], parts[2::2], strict=True):
            if name in self._statements:
                raise ValueError(f"{package}/{file} names {name} twice")
            self._statements[name] = body.strip().rstrip(";")

    def __getattr__(self, name: str) -> str:
        try:
            return self._statements[name]
        except KeyError:
            raise AttributeError(f"no statement named {name}") from None
