"""API tokens: shown once, kept as a hash; and the short-lived JWTs that stand for them."""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from bursar.accounts.workspaces import caller_of, workspace_of
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, NotFound, Taken, Unauthenticated
from bursar.core.ids import ALPHABET
from bursar.core.page import Page, key_of
from bursar.core.period import show_instant
from bursar.db import audit
from bursar.db.database import Connection, Database, Row
from bursar.db.queries import Queries

queries = Queries("bursar.accounts", "tokens.sql")

SCOPES = ("read", "write", "ingest", "backfill", "admin")
FULL = frozenset(SCOPES)
LIFE_OF_JWT = timedelta(hours=24)
TEXT_LIMIT = 512
NAME_LIMIT = 100
RATE_LIMIT = 2_000_000_000
OVERLAP = timedelta(days=30)
_STALE = timedelta(minutes=1)
_PREFIX = 12
_AUDIENCE = "bursar-api"
_PLAIN = re.compile(rf"[!-~]{{1,{TEXT_LIMIT}}}")


@dataclass(frozen=True, slots=True)
class Access:
    """What a token opens: a workspace, within scopes."""

    caller: Caller
    scopes: frozenset[str]
    token: int | None
    """Key of the token; None where a request was admitted without one of its own."""
    rate_limit: int | None
    """Requests per minute; 0: no limit; None: the server's default."""

    def allows(self, scope: str) -> bool:
        """Whether `scope` is among the token's."""
        return scope in self.scopes


@dataclass(frozen=True, slots=True)
class Token:
    """A token without its secret."""

    key: int
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    rate_limit: int | None
    """Requests per minute; 0: no limit; None: the server's default."""


async def authenticate(db: Database, text: str, wall: datetime) -> Access:
    """The access that `text` gives: a token, or a JWT issued for one. Raises `Unauthenticated`."""
    if len(text) > 2 * TEXT_LIMIT or not text.isascii():
        raise Unauthenticated("the token is not valid")
    key = await _token_of_jwt(db, text, wall)
    if key is not None:
        row = await db.shared_lookup(queries.token_by_key, key)
    else:
        row = await db.shared_lookup(queries.token_by_hash, _hash(text))
    row = _usable(row, wall)
    if row["last_used_at"] is None or wall - row["last_used_at"] > _STALE:
        await db.lookup(queries.touch_token, row["token_key"], wall, wall - _STALE)
    workspace = workspace_of(row)
    caller = caller_of(workspace, wall, f"token:{row['prefix']}")
    return Access(caller, frozenset(row["scopes"]), row["token_key"], row["rate_limit"])


async def lender(db: Database, token: int, wall: datetime) -> tuple[Caller, datetime | None]:
    """Who a token in use acts as, and when it ends. Raises `Unauthenticated` once it is revoked or has expired."""
    row = _usable(await db.lookup(queries.token_by_key, token), wall)
    return caller_of(workspace_of(row), wall, f"token:{row['prefix']}"), row["expires_at"]


async def issue_jwt(db: Database, access: Access, presented: str) -> str:
    """A JWT for the token that was presented, valid for 24 hours; a presented JWT comes back as it is."""
    if await _token_of_jwt(db, presented, access.caller.wall) is not None:
        return presented
    claims = {
        "sub": str(access.token),
        "aud": _AUDIENCE,
        "iat": int(access.caller.wall.timestamp()),
        "exp": int((access.caller.wall + LIFE_OF_JWT).timestamp()),
    }
    return jwt.encode({"alg": "HS256"}, claims, await signing_key(db))


async def create_token(
    connection: Connection,
    caller: Caller,
    name: str,
    *,
    scopes: frozenset[str] = FULL,
    text: str | None = None,
    expires_at: datetime | None = None,
    rate_limit: int | None = None,
) -> tuple[str, Token]:
    """A new token: its text, never to be seen again, and what is kept of it. A given `text` is used as it is."""
    unknown = scopes - FULL
    if unknown or not scopes:
        raise Invalid("scopes", f"must be some of {', '.join(SCOPES)}")
    if text is not None and not _PLAIN.fullmatch(text):
        raise Invalid("token", f"must be 1 to {TEXT_LIMIT} printable ASCII characters without spaces")
    if not 1 <= len(name) <= NAME_LIMIT or not name.isprintable():
        raise Invalid("name", f"must be 1 to {NAME_LIMIT} printable characters")
    if expires_at is not None and expires_at <= caller.wall:
        raise Invalid("expiresAt", "must lie in the future")
    if rate_limit is not None and not 0 <= rate_limit <= RATE_LIMIT:
        raise Invalid("rateLimit", f"must be 0 to {RATE_LIMIT} requests per minute")
    value = text or "bursar_" + "".join(secrets.choice(ALPHABET) for _ in range(32))
    # Of a text that somebody chose, less is kept in the clear: it may be short.
    prefix = value[:_PREFIX] if text is None else value[: min(4, len(value) // 4)]
    row = await connection.fetchrow(
        queries.insert_token, caller.workspace, name, prefix, _hash(value), sorted(scopes), caller.wall, expires_at,
        rate_limit,
    )  # fmt: skip
    if row is None:
        raise Taken("token", "this token exists already")
    await audit.record(connection, caller, "create", "token", prefix, {"name": name, "scopes": sorted(scopes)})
    return value, _token(row)


async def list_tokens(connection: Connection, caller: Caller, after: str | None, limit: int) -> Page[Token]:
    """The workspace's tokens, oldest first."""
    rows = await connection.fetch(queries.list_tokens, caller.workspace, key_of(after, field="after"), limit + 1)
    tokens = [_token(row) for row in rows]
    return Page(tokens[:limit], str(tokens[limit - 1].key) if len(tokens) > limit else None)


async def revoke_token(connection: Connection, caller: Caller, name: str) -> Token:
    """End every use of the token with this name, prefix or text, and of its JWTs, at once.

    Raises `NotFound`, or `Invalid` where several tokens in force are meant.
    """
    row = await _in_force(connection, caller, name)
    revoked = await connection.fetchrow(queries.revoke_token, row["token_key"], caller.wall)
    assert revoked is not None
    await audit.record(connection, caller, "revoke", "token", row["prefix"])
    return _token(revoked)


async def rotate_token(
    connection: Connection, caller: Caller, name: str, overlap: timedelta, expires_at: datetime | None = None
) -> tuple[str, Token, Token]:
    """A successor with the same name, scopes and limit; returns its text, the successor and the old token.

    The old one works for `overlap` longer (0 to 30 days), or until it would have ended anyway. Raises `NotFound`, or
    `Invalid` where several tokens in force are meant.
    """
    if not timedelta(0) <= overlap <= OVERLAP:
        raise Invalid("overlapSeconds", f"must be 0 to {int(OVERLAP.total_seconds())}")
    row = await _in_force(connection, caller, name)
    ends = caller.wall + overlap if row["expires_at"] is None else min(row["expires_at"], caller.wall + overlap)
    old = await connection.fetchrow(queries.end_token, row["token_key"], ends)
    assert old is not None
    await audit.record(connection, caller, "rotate", "token", row["prefix"], {"until": show_instant(ends)})
    text, token = await create_token(
        connection, caller, row["token_name"], scopes=frozenset(row["scopes"]), expires_at=expires_at,
        rate_limit=row["rate_limit"],
    )  # fmt: skip
    return text, token, _token(old)


async def find_token(connection: Connection, caller: Caller, name: str) -> Token:
    """The token in force with this name or prefix. Raises `NotFound`, or `Invalid` where several are meant."""
    return _token(await _in_force(connection, caller, name))


async def _in_force(connection: Connection, caller: Caller, name: str) -> Row:
    rows = await connection.fetch(queries.find_tokens, caller.workspace, name, _hash(name), caller.wall)
    if not rows:
        raise NotFound("token", name)
    if len(rows) > 1:
        raise Invalid("name", f"{len(rows)} tokens are called {name!r}; give the prefix of one")
    return rows[0]


async def exists(connection: Connection, text: str) -> bool:
    """Whether a token with this text is known, revoked or not."""
    return bool(await connection.fetchval(queries.token_known, _hash(text)))


def _usable(row: Row | None, wall: datetime) -> Row:
    if row is None or row["revoked_at"] is not None:
        raise Unauthenticated("the token is not valid")
    if row["expires_at"] is not None and row["expires_at"] <= wall:
        raise Unauthenticated("the token has expired")
    return row


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _token(row: Row) -> Token:
    return Token(
        key=row["token_key"],
        name=row["token_name"],
        prefix=row["prefix"],
        scopes=tuple(row["scopes"]),
        created_at=row["token_created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
        rate_limit=row["rate_limit"],
    )


async def server_secret(db: Database, name: str) -> bytes:
    """The server's secret of a name, 32 bytes, drawn when it is first asked for."""
    row = await db.lookup(queries.secret, name)
    if row is None:
        await db.lookup(queries.insert_secret, name, secrets.token_bytes(32))
        row = await db.lookup(queries.secret, name)
    assert row is not None
    return bytes(row["secret"])


async def signing_key(db: Database) -> OctKey:
    """What signs JWTs. Each use has an audience of its own, which whoever takes a JWT must check."""
    return OctKey.import_key(await server_secret(db, "jwt"))


async def _token_of_jwt(db: Database, text: str, wall: datetime) -> int | None:
    """The token that a JWT of this server stands for; None for another text. Raises `Unauthenticated` past its time."""
    if text.count(".") != 2 or not text.startswith("ey"):
        return None
    try:
        claims = jwt.decode(text, await signing_key(db), algorithms=["HS256"]).claims
        if claims["aud"] != _AUDIENCE:
            raise Unauthenticated("the token is not valid")
        if claims["exp"] <= wall.timestamp():
            raise Unauthenticated("the token has expired")
        return int(claims["sub"])
    except (JoseError, ValueError, KeyError, TypeError):
        return None
