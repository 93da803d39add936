"""Which migrations there are and where a database stands, without loading the machinery that runs them."""

from importlib import resources

import asyncpg

from bursar.db.database import SESSION
from bursar.db.queries import Queries


async def ready(dsn: str) -> bool:
    """Whether the database stands at this release's newest migration."""
    connection = await asyncpg.connect(dsn, server_settings=SESSION, timeout=10)
    try:
        return bool(await connection.fetchval(Queries("bursar.db").migration_version) == _head())
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return False
    finally:
        await connection.close()


def migrations() -> set[str]:
    """The migrations that this release knows."""
    names = [entry.name for entry in resources.files("bursar.db").joinpath("migrations", "versions").iterdir()]
    return {name.removesuffix(".sql") for name in names if name.endswith(".sql")}


def _head() -> str:
    return max(migrations())
