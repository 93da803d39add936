"""The heads of the audit chains, kept in a file beside the database, where its superuser does not write."""

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from bursar.accounts.workspaces import list_workspaces
from bursar.core import crash
from bursar.core.errors import Invalid, Unavailable
from bursar.db.database import Connection, Database, outage
from bursar.db.seal import BATCH, Head, read_heads, seal, waiting

EVERY_SECONDS = 0.4
RETRY_SECONDS = 1.0

_log = structlog.get_logger()


async def keep_sealing(dsn: str, file: Path | None, stopping: asyncio.Event) -> None:
    """Seal what has been committed, within a second, until told to stop; note the heads in `file`."""
    db = await Database.open(dsn, size=1)
    whole = True
    try:
        while not stopping.is_set():
            pause = EVERY_SECONDS
            try:
                sealed = await _round(db, file, whole=whole)
                whole = whole and sealed == BATCH
                pause = 0 if sealed == BATCH else EVERY_SECONDS
            except Exception as error:  # noqa: BLE001 - sealing outlives whatever one round meets, and says it
                if not isinstance(error, Unavailable) and not outage(error):
                    _log.error("sealing_failed", error=repr(error), exc_info=error)
                pause = RETRY_SECONDS
            try:
                await asyncio.wait_for(stopping.wait(), pause)
            except TimeoutError:
                continue
    finally:
        await db.close()


async def _round(db: Database, file: Path | None, *, whole: bool) -> int:
    async with db.transaction(None) as connection:
        if not whole and not await waiting(connection):
            return 0
        sealed = await seal(connection, whole=whole)
    if sealed and file is not None:
        crash.point("links committed")
        async with db.transaction(None) as connection:
            write(file, await named_heads(connection))
    return sealed


async def named_heads(connection: Connection) -> dict[str, Head]:
    """The head of each workspace's chain by the workspace's name."""
    heads = await read_heads(connection)
    return {entry.name: heads[entry.key] for entry in await list_workspaces(connection) if entry.key in heads}


def plain(heads: Mapping[str, Head]) -> dict[str, Any]:
    """Heads as JSON carries them."""
    return {name: {"number": head.number, "hash": head.hash.hex()} for name, head in heads.items()}


def write(file: Path, heads: Mapping[str, Head]) -> None:
    """Replace the file by these heads: it is always whole, the old or the new."""
    following = file.with_suffix(".new")
    with following.open("w") as stream:
        json.dump(plain(heads), stream)
        stream.flush()
        os.fsync(stream.fileno())
    crash.point("heads written")
    following.replace(file)


def read(file: Path) -> dict[str, Head]:
    """The heads of a file as `write` or `bursar audit head --json` makes it; none where there is no file.

    Raises `Invalid` for another file.
    """
    try:
        entries = json.loads(file.read_text())
        return {name: Head(int(entry["number"]), bytes.fromhex(entry["hash"])) for name, entry in entries.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise Invalid("--audit-head", f"{file} does not hold heads as `bursar audit head --json` prints them") from None
