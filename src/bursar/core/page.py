"""One page of a list, and the bookmark that leads to the next."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from bursar.core.errors import Invalid

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Items in order; `after` is the sort key of the last one where more follow, else None."""

    items: list[T]
    after: str | None = None


def key_of(after: str | None, *, digits: int = 18, field: str = "nextToken") -> int:
    """The key in a list's bookmark; 0, before every key, where there is none.

    `digits` is how many the column of the keys can hold. Raises `Invalid` naming `field` for what is no such bookmark.
    """
    if after is None:
        return 0
    if not (after.isascii() and after.isdigit() and len(after) <= digits):
        raise Invalid(field, "is not a bookmark of this list")
    return int(after)
