"""A database of its own: its usage is written as rollups, which the checks of `usage` would find without events."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime

import pytest

from bursar.db.database import Database
from tests.invoicing.world import World
from tests.postgres import fresh_database

_numbers = itertools.count(1)
MakeWorld = Callable[..., Awaitable[World]]


@pytest.fixture(scope="package")
def books_dsn(dsn: str) -> Iterator[str]:
    with fresh_database(dsn) as made:
        yield made


@pytest.fixture(scope="package")
async def books(books_dsn: str) -> AsyncIterator[Database]:
    db = await Database.open(books_dsn)
    yield db
    await db.close()


@pytest.fixture
def make_world(books: Database) -> MakeWorld:
    async def make(now: datetime, timezone: str = "UTC") -> World:
        return await World.make(books, f"invoicing-{next(_numbers)}", now=now, timezone=timezone)

    return make
