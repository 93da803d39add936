"""Files made for a workspace, kept in the database; fetched by links that are signed and end by themselves."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from bursar.accounts.tokens import server_secret
from bursar.core import ids
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, NotFound, TooLarge
from bursar.db import audit
from bursar.db.database import Connection, Database
from bursar.db.queries import Queries

queries = Queries("bursar.accounts", "files.sql")

FILE_LIMIT = 16 * 2**20
WORKSPACE_LIMIT = 2**30
"""Bytes of one file, and of all files of a workspace."""
LONGEST_LINK = timedelta(days=7)

_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]{1,100}", re.ASCII)
_SECRET = "files"  # noqa: S105 - the name of a secret, not one


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file without its content."""

    id: str
    name: str
    media_type: str
    size: int
    """Bytes."""
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Link:
    """What opens a file for whoever holds it, until it ends."""

    file: str
    expires: int
    """Seconds since 1970."""
    signature: str


@dataclass(frozen=True, slots=True)
class Content:
    """What a link leads to."""

    name: str
    media_type: str
    content: bytes


async def keep(connection: Connection, caller: Caller, name: str, media_type: str, content: bytes) -> StoredFile:
    """Keep a file for a workspace.

    Raises `Invalid` for a name that no file can have, `TooLarge` beyond 16 MiB or where the workspace's files would
    come to more than 1 GiB.
    """
    if not 1 <= len(name) <= 255 or not name.isprintable() or set(name) & set('/\\"'):
        raise Invalid("name", "must be 1 to 255 printable characters without slashes and quotes")
    if not _MEDIA_TYPE.fullmatch(media_type):
        raise Invalid("mediaType", "is not a media type")
    if len(content) > FILE_LIMIT:
        raise TooLarge(f"a file may have {FILE_LIMIT} bytes at most")
    await connection.execute(queries.hold_files, caller.workspace)
    if await connection.fetchval(queries.stored_bytes, caller.workspace) + len(content) > WORKSPACE_LIMIT:
        raise TooLarge(f"the files of a workspace may have {WORKSPACE_LIMIT} bytes at most")
    identifier = ids.draw("file")
    await connection.execute(
        queries.insert_file, caller.workspace, identifier, name, media_type, len(content), content, caller.wall
    )
    await audit.record(connection, caller, "keep", "file", identifier, {"size": len(content)})
    return await get_file(connection, caller.workspace, identifier)


async def get_file(connection: Connection, workspace: int, identifier: str) -> StoredFile:
    """The file of an id. Raises `NotFound`."""
    row = await connection.fetchrow(queries.file, workspace, identifier)
    if row is None:
        raise NotFound("file", identifier)
    return StoredFile(row["wire_id"], row["name"], row["media_type"], row["size"], row["created_at"])


async def link(db: Database, caller: Caller, identifier: str, life: timedelta) -> Link:
    """A link to a file of the caller's workspace that ends after `life` of wall time. Raises `NotFound`."""
    async with db.transaction(caller.workspace) as connection:
        found = await get_file(connection, caller.workspace, identifier)
    expires = int((caller.wall + life).timestamp())
    return Link(found.id, expires, _sign(await server_secret(db, _SECRET), found.id, expires))


async def follow(db: Database, given: Link, wall: datetime) -> Content:
    """What a link leads to. Raises `NotFound` for a file that is not there and for a link that opens nothing, alike."""
    signature = _sign(await server_secret(db, _SECRET), given.file, given.expires)
    sound = hmac.compare_digest(signature.encode(), given.signature.encode())
    row = await db.lookup(queries.file_of_link, given.file) if sound and given.expires > wall.timestamp() else None
    if row is None:
        raise NotFound("file", given.file)
    return Content(row["name"], row["media_type"], row["content"])


def _sign(secret: bytes, identifier: str, expires: int) -> str:
    return hmac.new(secret, f"{expires}:{identifier}".encode(), hashlib.sha256).hexdigest()
