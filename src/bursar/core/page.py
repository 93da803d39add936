"""One page of a list, and the bookmark that leads to the next."""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Items in order; `after` is the sort key of the last one where more follow, else None."""

    items: list[T]
    after: str | None = None
