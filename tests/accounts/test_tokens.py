"""Tokens: what opens a workspace, for how long, and how that ends."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from bursar.accounts import tokens
from bursar.accounts.tokens import (
    FULL,
    Access,
    authenticate,
    create_token,
    exists,
    issue_jwt,
    list_tokens,
    revoke_token,
)
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, NotFound, Taken, Unauthenticated
from bursar.db.database import Database

WALL = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def owner(caller: Caller) -> Caller:
    return replace(caller, wall=WALL)


async def create(db: Database, caller: Caller, name: str = "ci", **options: Any) -> str:
    async with db.transaction(caller.workspace) as connection:
        text, _ = await create_token(connection, caller, name, **options)
    return text


async def revoke(db: Database, caller: Caller, name: str) -> None:
    async with db.transaction(caller.workspace) as connection:
        await revoke_token(connection, caller, name)


async def refused(db: Database, text: str, wall: datetime = WALL) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await authenticate(db, text, wall)
    return caught.value.message


async def test_a_token_opens_its_workspace_within_its_scopes(database: Database, owner: Caller) -> None:
    text = await create(database, owner)
    assert text.startswith("bursar_")
    assert len(text) == len("bursar_") + 32
    access = await authenticate(database, text, WALL)
    assert (access.caller.workspace, access.scopes, access.caller.actor) == (
        owner.workspace,
        FULL,
        f"token:{text[:12]}",
    )
    narrow = await authenticate(database, await create(database, owner, scopes=frozenset({"ingest"})), WALL)
    assert [scope for scope in ("read", "write", "ingest", "backfill", "admin") if narrow.allows(scope)] == ["ingest"]
    for scopes in (frozenset[str](), frozenset({"root"})):
        with pytest.raises(Invalid, match="scopes"):
            await create(database, owner, scopes=scopes)


async def test_only_a_hash_of_a_token_is_kept(database: Database, owner: Caller) -> None:
    drawn, given = await create(database, owner), await create(database, owner, text="a-chosen-secret-of-mine")
    row = await database.lookup("select string_agg(t::text, ' ') as all from token t")
    assert row is not None
    assert drawn not in row["all"]
    assert given not in row["all"]
    async with database.transaction(owner.workspace) as connection:
        listed = (await list_tokens(connection, owner, None, 10)).items
        assert await exists(connection, given)
    assert [token.prefix for token in listed][1:] == [drawn[:12], "a-ch"]


@pytest.mark.parametrize("text", ["x", "~" * 512, "ey.a.b", "bursar_short", "a/b+c=="])
async def test_any_plain_text_can_be_a_token(database: Database, owner: Caller, text: str) -> None:
    text = text if text == "~" * 512 else f"{text}{owner.workspace}"
    await create(database, owner, text=text)
    assert (await authenticate(database, text, WALL)).caller.workspace == owner.workspace
    with pytest.raises(Taken):
        await create(database, owner, text=text)
    await revoke(database, owner, text)
    assert "not valid" in await refused(database, text)


@pytest.mark.parametrize("text", ["", " ", "a b", "x" * 513, "tab\t", "é", "\x7f", "line\n"])
async def test_other_texts_are_refused(database: Database, owner: Caller, text: str) -> None:
    with pytest.raises(Invalid, match="token"):
        await create(database, owner, text=text)
    await refused(database, text)


async def test_a_token_expires(database: Database, owner: Caller) -> None:
    end = WALL + timedelta(hours=1)
    text = await create(database, owner, expires_at=end)
    jwt_text = await issue_jwt(database, await authenticate(database, text, WALL), text)
    await authenticate(database, text, end - timedelta(microseconds=1))
    await authenticate(database, jwt_text, end - timedelta(microseconds=1))
    assert "expired" in await refused(database, text, end)
    assert "expired" in await refused(database, jwt_text, end)
    with pytest.raises(Invalid, match="expiresAt"):
        await create(database, owner, expires_at=WALL)


async def test_a_jwt_stands_for_its_token_for_a_day(database: Database, owner: Caller) -> None:
    text = await create(database, owner, scopes=frozenset({"read"}))
    access = await authenticate(database, text, WALL)
    short = await issue_jwt(database, access, text)
    by_jwt = await authenticate(database, short, WALL + timedelta(hours=23, minutes=59))
    assert (by_jwt.token, by_jwt.scopes) == (access.token, frozenset({"read"}))
    assert await issue_jwt(database, by_jwt, short) == short
    assert "expired" in await refused(database, short, WALL + timedelta(hours=24))


async def test_a_forged_jwt_opens_nothing(database: Database, owner: Caller) -> None:
    text = await create(database, owner)
    access: Access = await authenticate(database, text, WALL)
    real = await issue_jwt(database, access, text)
    claims = {"sub": str(access.token), "aud": "bursar-api", "exp": int(WALL.timestamp()) + 3600}
    stranger = OctKey.import_key(b"k" * 32)
    head, body, signature = real.split(".")
    for forged in (
        jwt.encode({"alg": "HS256"}, claims, stranger),
        f"{head}.{body}.",
        f"{head}.{body}.{signature[::-1]}",
        f"eyJhbGciOiJub25lIn0.{body}.",
        "ey..",
        "ey.e30.e30",
    ):
        assert "not valid" in await refused(database, forged)


async def test_revoking_a_token_ends_it_and_its_jwts_at_once(database: Database, owner: Caller) -> None:
    text = await create(database, owner, "going")
    other = await create(database, owner, "staying")
    short = await issue_jwt(database, await authenticate(database, text, WALL), text)
    await revoke(database, owner, "going")
    await refused(database, text)
    await refused(database, short)
    await authenticate(database, other, WALL)
    for again in ("going", text, "unknown"):
        with pytest.raises(NotFound):
            await revoke(database, owner, again)


async def test_revoking_takes_no_guess_between_tokens_of_one_name(database: Database, owner: Caller) -> None:
    one, two = await create(database, owner, "twin"), await create(database, owner, "twin")
    with pytest.raises(Invalid, match="2 tokens"):
        await revoke(database, owner, "twin")
    await revoke(database, owner, one[:12])
    await refused(database, one)
    await authenticate(database, two, WALL)


async def test_a_token_of_another_workspace_is_out_of_reach(database: Database, owner: Caller) -> None:
    text = await create(database, owner, "theirs")
    stranger = replace(owner, workspace=owner.workspace + 1_000_000)
    with pytest.raises(NotFound):
        await revoke(database, stranger, text)
    await authenticate(database, text, WALL)


async def test_last_use_is_written_once_a_minute(database: Database, owner: Caller) -> None:
    text = await create(database, owner)
    seen = []
    for seconds in (0, 30, 60, 61, 90, 122):
        access = await authenticate(database, text, WALL + timedelta(seconds=seconds))
        row = await database.lookup("select last_used_at from token where key = $1", access.token)
        assert row is not None
        seen.append((row["last_used_at"] - WALL).total_seconds())
    assert seen == [0, 0, 0, 61, 61, 122]


async def test_nobody_waits_for_the_last_use_to_be_on_disk(database: Database, owner: Caller) -> None:
    """Under a load the commit of a request that only reads would wait behind many others."""
    access = await authenticate(database, await create(database, owner), WALL)
    later = WALL + timedelta(minutes=5)
    async with database.transaction(None) as connection:
        await connection.execute("set local synchronous_commit = on")
        assert await connection.fetchval(tokens.queries.touch_token, access.token, later, later) == access.token
        assert await connection.fetchval("show synchronous_commit") == "off"
        assert await connection.fetchval("select last_used_at from token where key = $1", access.token) == later


async def test_tokens_are_listed_in_pages(database: Database, owner: Caller) -> None:
    for index in range(5):
        await create(database, owner, f"n{index}")
    names, after = [], None
    async with database.transaction(owner.workspace) as connection:
        while True:
            page = await list_tokens(connection, owner, after, 2)
            names += [token.name for token in page.items]
            after = page.after
            if after is None:
                break
        for bad in ("x", "-1", "9" * 30, "1;2"):
            with pytest.raises(Invalid):
                await list_tokens(connection, owner, bad, 2)
    assert names == ["test", *(f"n{index}" for index in range(5))]  # the fixture made the first
