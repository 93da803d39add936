"""Who is let in at the carrier's doors, and who is not."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from bursar.accounts import admins, api_accesses
from bursar.accounts.api_accesses import AccessTerms, create_access, portal_config
from bursar.accounts.logins import login_key
from bursar.accounts.model import Address, NewCustomer
from bursar.accounts.passwords import hash_password
from bursar.accounts.service import create_customer, erase_customer
from bursar.core.caller import Caller
from bursar.core.errors import BursarError, Unauthenticated
from bursar.db.database import Database
from bursar.http.limits import TooMany
from bursar.http.yeti.attempts import PER_ADDRESS, PER_USER, Attempts
from bursar.http.yeti.authentication import COOKIE, Doorkeeper, real_sender, sender
from bursar.http.yeti.lifetimes import Lifetimes
from tests.conftest import PLAIN, Server, new_workspace
from tests.http.yeti import jwt

WALL = datetime(2026, 11, 21, 12, tzinfo=UTC)
NOW = int(WALL.timestamp())
PASSWORD = "secret"
HEADER = {"alg": "HS256"}


@dataclass
class World:
    """A live workspace with a user and a customer's login."""

    db: Database
    caller: Caller
    key: bytes
    user: str
    subject: int
    login: str
    customer: int
    portal_subject: int
    token: str

    def door(self, **lives: int) -> Doorkeeper:
        return Doorkeeper(self.db, Lifetimes(**lives))


async def subject_of(db: Database, table: str, column: str, name: str) -> int:
    row = await db.lookup(f"select subject from {table} where {column} = $1", name)
    assert row is not None
    return int(row["subject"])


@pytest.fixture(scope="module")
async def world(dsn: str) -> AsyncIterator[World]:
    db = await Database.open(dsn)
    caller, token, name = await new_workspace(db, sandbox=False)
    user, login = f"carrier-{name}", f"portal-{name}"
    digest = await hash_password(PASSWORD)
    async with db.transaction(caller.workspace) as connection:
        await admins.add_admin(connection, caller, user, digest, ["192.0.2.0/24", "2001:db8::/32", "127.0.0.1"])
        await create_customer(connection, caller, NewCustomer("acme", "Acme", "", Address()))
        number = await connection.fetchval(
            "select yeti_id from customer where workspace = $1 and togai_id = 'acme'", caller.workspace
        )
        terms = AccessTerms(number, login, (), ("127.0.0.1", "10.1.0.0/16"))
        await create_access(connection, caller, terms, digest)
    key = (await login_key(db)).get_op_key("sign")
    assert isinstance(key, bytes)
    yield World(
        db, caller, key, user, await subject_of(db, "admin_user", "username", user), login, number,
        await subject_of(db, "api_access", "login", login), token,
    )  # fmt: skip
    await db.close()


def request(
    authorization: str | None = None,
    *,
    query: str = "",
    peer: str = "192.0.2.7",
    cookie: str | None = None,
    media_type: str = "application/vnd.api+json",
    **headers: str,
) -> Request:
    """A request as the server hands it over."""
    raw = [(b"content-type", media_type.encode())]
    if authorization is not None:
        raw.append((b"authorization", authorization.encode()))
    if cookie is not None:
        raw.append((b"cookie", f"{COOKIE}={cookie}".encode()))
    raw += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({
        "type": "http", "method": "POST", "path": "/", "query_string": query.encode(), "headers": raw,
        "client": (peer, 1), "scheme": "http", "server": ("bursar.example", 80),
    })  # fmt: skip


def claims(world: World, **changes: Any) -> dict[str, Any]:
    made = {"sub": world.subject, "aud": ["admin"], "exp": NOW + 60, **changes}
    return {name: value for name, value in made.items() if value is not None}


def tampered(token: str) -> str:
    header, _, signature = token.split(".")
    claims = jwt.plain(b'{"sub":1,"aud":["admin"],"exp":99999999999}')
    return f"{header}.{claims}.{signature}"


TOKENS: dict[str, tuple[Callable[[World], str], bool]] = {
    "right": (lambda w: jwt.made(HEADER, claims(w), w.key), True),
    "a second before its end": (lambda w: jwt.made(HEADER, claims(w, exp=NOW + 1), w.key), True),
    "at its end": (lambda w: jwt.made(HEADER, claims(w, exp=NOW), w.key), False),
    "expired": (lambda w: jwt.made(HEADER, claims(w, exp=NOW - 3600), w.key), False),
    "without end": (lambda w: jwt.made(HEADER, claims(w, exp=None), w.key), False),
    "end as text": (lambda w: jwt.made(HEADER, claims(w, exp=str(NOW + 60)), w.key), False),
    "alg none, no signature": (lambda w: jwt.made({"alg": "none"}, claims(w), b"").rsplit(".", 1)[0] + ".", False),
    "alg none, signed": (lambda w: jwt.made({"alg": "none"}, claims(w), w.key), False),
    "alg None in capitals": (lambda w: jwt.made({"alg": "NONE"}, claims(w), w.key), False),
    "another algorithm, rightly signed": (lambda w: jwt.made({"alg": "HS512"}, claims(w), w.key, "sha512"), False),
    "a header that says more": (lambda w: jwt.made({"alg": "HS256", "typ": "JWT"}, claims(w), w.key), False),
    "a key in the header": (
        lambda w: jwt.made({"alg": "HS256", "jwk": {"kty": "oct", "k": "AAAA"}}, claims(w), b"\0\0\0"), False),
    "critical header": (lambda w: jwt.made({"alg": "HS256", "crit": ["exp"]}, claims(w), w.key), False),
    "another key": (lambda w: jwt.made(HEADER, claims(w), b"x" * 32), False),
    "empty key": (lambda w: jwt.made(HEADER, claims(w), b""), False),
    "claims replaced": (lambda w: tampered(jwt.made(HEADER, claims(w), w.key)), False),
    "signature cut": (lambda w: jwt.made(HEADER, claims(w), w.key)[:-4], False),
    "audience of the other door": (lambda w: jwt.made(HEADER, claims(w, aud=["customer-v1"]), w.key), False),
    "both audiences": (lambda w: jwt.made(HEADER, claims(w, aud=["admin", "customer-v1"]), w.key), False),
    "no audience": (lambda w: jwt.made(HEADER, claims(w, aud=None), w.key), False),
    "audience as text": (lambda w: jwt.made(HEADER, claims(w, aud="admin"), w.key), False),
    "nobody": (lambda w: jwt.made(HEADER, claims(w, sub=w.subject + 1), w.key), False),
    "a login of the other door": (lambda w: jwt.made(HEADER, claims(w, sub=w.portal_subject), w.key), False),
    "subject as text": (lambda w: jwt.made(HEADER, claims(w, sub=str(w.subject)), w.key), False),
    "subject true": (lambda w: jwt.made(HEADER, claims(w, sub=True), w.key), False),
    "dynamic": (lambda w: jwt.made(HEADER, claims(w, sub="D"), w.key), False),
    "claims that are a list": (lambda w: jwt.made(HEADER, [1], w.key), False),
    "a number beyond 64 bits": (lambda w: jwt.made(HEADER, claims(w, sub=2**70), w.key), False),
    "not a token": (lambda w: "abc", False),
    "two dots": (lambda w: "..", False),
    "three parts": (lambda w: "a.b.c", False),
    "not ASCII": (lambda w: "ключ.ключ.ключ", False),
    "long": (lambda w: "a" * 100_000, False),
    "our own API token": (lambda w: w.token, True),
}  # fmt: skip


@pytest.mark.parametrize("name", TOKENS)
async def test_which_tokens_open_the_admin_door(world: World, name: str) -> None:
    make, opens = TOKENS[name]
    text = make(world)
    door = world.door()
    for authorization in (text, f"Bearer {text}"):
        if opens:
            access = await door.admit(request(authorization), b"", WALL)
            assert (access.caller.workspace, access.allows("write")) == (world.caller.workspace, True)
        else:
            with pytest.raises(Unauthenticated):
                await door.admit(request(authorization), b"", WALL)
            assert not door._admins


async def test_where_a_token_is_looked_for(world: World) -> None:
    right, wrong = jwt.made(HEADER, claims(world), world.key), "abc"
    door = world.door()
    body = b'{"data":{"type":"accounts"},"token":"%s"}'
    form = "application/x-www-form-urlencoded"
    for sent, content, opens in (
        (request(f"Bearer {wrong}", query=f"token={right}"), b"", True),
        (request(right, query=f"token={wrong}"), b"", False),
        (request(right, query="token="), b"", True),
        (request(wrong), body % right.encode(), True),
        (request(right), body % wrong.encode(), False),
        (request(wrong, query=f"token={right}"), body % wrong.encode(), True),
        (request(wrong, media_type=form), f"a=1&token={right}".encode(), True),
        (request(right), b'{"token": [1]}', True),
        (request(right), b'{"token": ', True),
        (request(right), b'["token"]', True),
        (request(f"Token of mine {right}"), b"", True),
        (request(""), b"", False),
        (request(), b"", False),
    ):
        if opens:
            assert (await door.admit(sent, content, WALL)).caller.workspace == world.caller.workspace
        else:
            with pytest.raises(Unauthenticated):
                await door.admit(sent, content, WALL)


PEERS: list[tuple[str, dict[str, str], bool]] = [
    ("192.0.2.255", {}, True),
    ("192.0.3.0", {}, False),
    ("2001:db8::1", {}, True),
    ("2001:db9::1", {}, False),
    ("::ffff:192.0.2.9", {}, True),
    ("127.0.0.1", {}, True),
    ("127.0.0.1", {"x_forwarded_for": "192.0.2.1"}, True),
    ("::1", {"x_forwarded_for": "192.0.2.1"}, True),
    ("127.0.0.1", {"x_forwarded_for": "203.0.113.5"}, False),
    ("127.0.0.1", {"x_forwarded_for": "192.0.2.1, 203.0.113.5"}, False),  # what the sender itself claims
    ("127.0.0.1", {"x_forwarded_for": "203.0.113.5, 192.0.2.1, 127.0.0.1"}, True),
    ("203.0.113.5", {"x_forwarded_for": "192.0.2.1"}, False),  # no proxy of ours
    ("127.0.0.1", {"x_forwarded_for": "nonsense"}, False),
    ("203.0.113.5", {"x_real_ip": "192.0.2.1"}, False),
    ("127.0.0.1", {"x_forwarded_for": "203.0.113.5", "x_real_ip": "192.0.2.1"}, False),  # not for users
    ("testclient", {}, False),
]


@pytest.mark.parametrize(("peer", "headers", "inside"), PEERS)
async def test_networks_are_looked_at_with_every_request(
    world: World, peer: str, headers: dict[str, str], inside: bool
) -> None:
    door = world.door()
    text = jwt.made(HEADER, claims(world), world.key)
    assert (await door.admit(request(text), b"", WALL)).caller.workspace == world.caller.workspace
    sent = request(text, peer=peer, **headers)
    if inside:
        await door.admit(sent, b"", WALL)
        assert (await door.log_in_admin(world.user, PASSWORD, sender(sent), WALL)).expires_at is not None
    else:
        with pytest.raises(Unauthenticated):
            await door.admit(sent, b"", WALL)
        with pytest.raises(Unauthenticated, match=r"^Your IP address is not allowed\.$"):
            await door.log_in_admin(world.user, PASSWORD, sender(sent), WALL)
        with pytest.raises(Unauthenticated, match=r"^Incorrect login or password\.$"):
            await door.log_in_admin(world.user, "wrong", sender(sent), WALL)


async def test_the_customer_s_address_may_come_from_a_proxy(world: World) -> None:
    for peer, headers, inside in (
        ("127.0.0.1", {"x_real_ip": "10.1.2.3"}, True),
        ("127.0.0.1", {"x_real_ip": "10.2.2.3", "x_forwarded_for": "10.1.2.3"}, False),
        ("127.0.0.1", {"x_forwarded_for": "10.1.2.3"}, True),
        ("10.2.0.1", {"x_real_ip": "10.1.2.3"}, False),
    ):
        sent = request(peer=peer, **headers)
        if inside:
            await world.door().log_in_customer(world.login, PASSWORD, real_sender(sent), WALL)
        else:
            with pytest.raises(Unauthenticated, match=r"^Incorrect login or password\.$"):
                await world.door().log_in_customer(world.login, PASSWORD, real_sender(sent), WALL)


async def test_lifetimes(world: World) -> None:
    address = sender(request())
    issued = await world.door(admin=30).log_in_admin(world.user, PASSWORD, address, WALL)
    assert jwt.parts(issued.text)[:2] == (HEADER, {"sub": world.subject, "aud": ["admin"], "exp": NOW + 30})
    assert issued.expires_at == WALL + timedelta(seconds=30)
    permanent = await world.door(admin=0).log_in_admin(world.user, PASSWORD, address, WALL)
    assert jwt.parts(permanent.text)[:2] == (HEADER, {"sub": world.subject, "aud": ["admin"]})
    assert permanent.expires_at is None
    late = WALL + timedelta(days=9000)
    await world.door(admin=0).admit(request(permanent.text), b"", late)
    for door in (world.door(admin=0), world.door()):
        with pytest.raises(Unauthenticated):
            await door.admit(request(issued.text), b"", late)
    with pytest.raises(Unauthenticated):  # once tokens end, one without an end is none
        await world.door().admit(request(permanent.text), b"", WALL)


async def test_a_remembered_token_ends_in_time_and_with_its_user(world: World) -> None:
    digest = await hash_password(PASSWORD)
    name = f"{world.user}-brief"
    async with world.db.transaction(world.caller.workspace) as connection:
        await admins.add_admin(connection, world.caller, name, digest)
    door, address = world.door(admin=4), sender(request())
    issued = await door.log_in_admin(name, PASSWORD, address, WALL)
    await door.admit(request(issued.text), b"", WALL)
    assert issued.text in door._admins
    with pytest.raises(Unauthenticated):
        await door.admit(request(issued.text), b"", WALL + timedelta(seconds=4))

    async def refused_within(text: str, keeper: Doorkeeper) -> None:
        with pytest.raises(Unauthenticated):
            await keeper.admit(request(text), b"", WALL + timedelta(seconds=5))

    lasting = world.door()
    first = (await lasting.log_in_admin(name, PASSWORD, address, WALL)).text
    await lasting.admit(request(first), b"", WALL)
    async with world.db.transaction(world.caller.workspace) as connection:
        await admins.set_password(connection, world.caller, name, await hash_password("another"))
    await refused_within(first, lasting)
    with pytest.raises(Unauthenticated):
        await lasting.log_in_admin(name, PASSWORD, address, WALL)
    second = (await lasting.log_in_admin(name, "another", address, WALL)).text
    await lasting.admit(request(second), b"", WALL)
    async with world.db.transaction(world.caller.workspace) as connection:
        await admins.set_enabled(connection, world.caller, name, enabled=False)
    await refused_within(second, lasting)
    with pytest.raises(Unauthenticated, match="Incorrect"):
        await lasting.log_in_admin(name, "another", address, WALL)


async def test_a_sandbox_is_looked_at_each_time(database: Database) -> None:
    caller, _, name = await new_workspace(database)
    async with database.transaction(caller.workspace) as connection:
        await admins.add_admin(connection, caller, name, await hash_password(PASSWORD))
    door = Doorkeeper(database)
    issued = await door.log_in_admin(name, PASSWORD, None, WALL)
    await door.admit(request(issued.text), b"", WALL)
    await database.lookup("update workspace set clock_at = $2 where key = $1 returning 1", caller.workspace, WALL)
    access = await door.admit(request(issued.text), b"", WALL + timedelta(seconds=3))
    assert access.caller.now == WALL


async def test_a_customer_s_login_opens_the_customer(world: World) -> None:
    door = world.door()
    issued = await door.log_in_customer(world.login, PASSWORD, sender(request(peer="10.1.0.1")), WALL)
    assert jwt.parts(issued.text)[:2] == (
        HEADER, {"sub": world.portal_subject, "aud": ["customer-v1"], "exp": NOW + 600}
    )  # fmt: skip
    for sent, by_cookie in (
        (request(issued.text), False),
        (request(f"Bearer {issued.text}", cookie="nonsense"), False),
        (request(cookie=issued.text), True),
    ):
        visitor = await door.admit_customer(sent, WALL)
        assert visitor.by_cookie is by_cookie
        assert (visitor.portal.customer_number, visitor.portal.account_ids) == (world.customer, ())
        assert visitor.scopes == {"read"}
    for sent in (
        request("nonsense", cookie=issued.text),  # the header has priority
        request(jwt.made(HEADER, claims(world), world.key)),
        request(jwt.made(HEADER, claims(world, aud=["customer-v1"]), world.key)),
        request(world.token),
        request(cookie="logout"),
        request(),
    ):
        with pytest.raises(Unauthenticated):
            await door.admit_customer(sent, WALL)
    with pytest.raises(Unauthenticated):
        await door.admit(request(issued.text), b"", WALL)


async def test_dynamic_tokens_carry_what_they_open(world: World) -> None:
    door = world.door()
    async with world.db.transaction(world.caller.workspace) as connection:
        account = await connection.fetchval(
            "select yeti_id from account where workspace = $1 and togai_id = 'acme'", world.caller.workspace
        )
        config = await portal_config(
            connection, world.caller, world.customer, [account, account], {"allowed_ips": ["10.0.0.0/8"]}
        )
    issued = await door.lend(config, WALL)
    header, said, _ = jwt.parts(issued.text)
    wire = said["cfg"].pop("customer")
    assert (header, said) == (
        HEADER,
        {"sub": "D", "aud": ["customer-v1"], "exp": NOW + 600, "cfg": {
            "customer_id": world.customer, "customer_portal_access_profile_id": 1, "account_ids": [account],
            "allow_outgoing_numberlists_ids": [], "allowed_ips": ["10.0.0.0/8"], "provision_gateway_id": None}},
    )  # fmt: skip
    assert wire.startswith("customer.")
    visitor = await door.admit_customer(request(issued.text, peer="10.1.0.1"), WALL)
    assert (visitor.portal.customer_number, visitor.portal.account_ids) == (world.customer, (account,))
    with pytest.raises(Unauthenticated):
        await door.admit_customer(request(issued.text, peer="192.0.2.1"), WALL)
    fresh = await door.renew(visitor.portal, WALL + timedelta(minutes=1))
    assert jwt.parts(fresh.text)[1] == {**said, "exp": NOW + 660, "cfg": {**said["cfg"], "customer": wire}}
    forged = {**said, "cfg": {**said["cfg"], "customer": "customer.0.0"}}
    with pytest.raises(Unauthenticated):
        await door.admit_customer(request(jwt.made(HEADER, forged, world.key), peer="10.1.0.1"), WALL)
    with pytest.raises(Unauthenticated):
        await door.admit_customer(request(jwt.made(HEADER, {**said, "cfg": None}, world.key)), WALL)


async def test_an_erased_customer_s_logins_and_tokens_end(world: World) -> None:
    db, caller = world.db, world.caller
    async with db.transaction(caller.workspace) as connection:
        await create_customer(connection, caller, NewCustomer("gone", "Gone", "", Address()))
        number = await connection.fetchval(
            "select yeti_id from customer where workspace = $1 and togai_id = 'gone'", caller.workspace
        )
        await create_access(connection, caller, AccessTerms(number, "gone@gone.example"), await hash_password("x"))
        config = await portal_config(connection, caller, number, [], {})
    door, address = world.door(), sender(request())
    texts = [
        (await door.log_in_customer("gone@gone.example", "x", address, WALL)).text,
        (await door.lend(config, WALL)).text,
    ]
    for text in texts:
        await world.door().admit_customer(request(text), WALL)
    async with db.transaction(caller.workspace) as connection:
        await erase_customer(connection, caller, "gone")
    for text in texts:
        with pytest.raises(Unauthenticated):
            await world.door().admit_customer(request(text), WALL)
    with pytest.raises(Unauthenticated):
        await door.log_in_customer("gone@gone.example", "x", address, WALL)


async def test_failures_are_counted_by_user_and_by_address(world: World) -> None:
    door = world.door()

    async def attempt(peer: str) -> BaseException:
        with pytest.raises(BursarError) as refused:
            await door.log_in_admin("nobody-at-all", "x", sender(request(peer=peer)), WALL)
        return refused.value

    # All at once: each is counted as it begins.
    found = await asyncio.gather(*(attempt(f"198.51.100.{n}") for n in range(PER_USER + 1)))
    assert [type(error) for error in found].count(Unauthenticated) == PER_USER
    [refused] = [error for error in found if isinstance(error, TooMany)]
    assert 1 <= refused.retry_after <= 6
    # Others, and those who know their password, are not held up, however often they come.
    for _ in range(PER_USER + 2):
        await door.log_in_admin(world.user, PASSWORD, sender(request()), WALL)


def test_limits_of_attempts_refill() -> None:
    for names in (
        [("admin", "one", f"198.51.100.{n}") for n in range(PER_USER)],
        [("admin", f"user {n}", "198.51.100.1") for n in range(PER_ADDRESS)],
        [("admin", f"user {n}", f"2001:db8::{n:x}") for n in range(PER_ADDRESS)],
    ):
        attempts, limit = Attempts(), len(names)
        for door, user, peer in names:
            attempts.begin(door, user, sender(request(peer=peer)), 100.0)
        door, user, peer = names[-1]
        with pytest.raises(TooMany):
            attempts.begin(door, user, sender(request(peer=peer)), 100.0 + 59.9 / limit)
        attempts.begin(door, user, sender(request(peer=peer)), 100.1 + 60 / limit)
        with pytest.raises(TooMany):
            attempts.begin(door, user, sender(request(peer=peer)), 100.1 + 60 / limit)
        attempts.succeed(door, user, sender(request(peer=peer)))
        attempts.begin(door, user, sender(request(peer=peer)), 100.1 + 60 / limit)


async def test_an_unknown_user_takes_as_long_as_a_known_one(world: World) -> None:
    async def seconds(name: str) -> float:
        marks = []
        for _ in range(3):
            began = time.perf_counter()
            with pytest.raises(Unauthenticated):
                await world.door().log_in_admin(name, "wrong", sender(request()), WALL)
            marks.append(time.perf_counter() - began)
        return min(marks)

    await seconds("warm-up")
    assert 0.4 < await seconds("nobody") / await seconds(world.user) < 2.5


async def test_the_loop_goes_on_while_a_password_is_hashed(world: World) -> None:
    door, turns = world.door(), 0
    tasks = [asyncio.create_task(door.log_in_admin(world.user, PASSWORD, sender(request()), WALL)) for _ in range(4)]
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        turns += 1
    assert turns > 100
    assert len({(await task).text for task in tasks}) == 1


@pytest.mark.parametrize(
    "rule", ["login", "account", "network", "everything"],
)  # fmt: skip
async def test_rules_of_logins(world: World, rule: str) -> None:
    terms, password = AccessTerms(world.customer, f"new-{rule}"), "x"
    expected: list[tuple[str, str]]
    if rule == "login":
        terms, expected = replace(terms, login=world.login), [("login", "has already been taken")]
    elif rule == "account":
        expected = [("", "Account should be connected with selected Customer")]
        terms = replace(terms, account_ids=(10**15,))
    elif rule == "network":
        terms, expected = replace(terms, allowed_ips=("10.0.0.0/33",)), [("allowed_ips", "Allowed IP is not valid")]
    else:
        terms, password = AccessTerms(None, "", (), ("x",)), ""
        expected = [
            ("password", "can't be blank"), ("customer", "must exist"), ("login", "can't be blank"),
            ("allowed_ips", "Allowed IP is not valid"),
        ]  # fmt: skip
    with pytest.raises(BursarError) as refused:
        async with world.db.transaction(world.caller.workspace) as connection:
            await create_access(connection, world.caller, terms, password)
    assert [*refused.value.problems] == expected  # type: ignore[attr-defined]


async def test_logins_are_unique_on_the_whole_server(world: World) -> None:
    other, _, name = await new_workspace(world.db)
    async with world.db.transaction(other.workspace) as connection:
        await create_customer(connection, other, NewCustomer(name, name, "", Address()))
        number = await connection.fetchval("select yeti_id from customer where workspace = $1", other.workspace)
        made = await create_access(connection, other, AccessTerms(number, f"free-{name}"), "x")
    with pytest.raises(BursarError, match="login: has already been taken"):
        async with world.db.transaction(other.workspace) as connection:
            await create_access(connection, other, AccessTerms(number, world.login), "x")
    with pytest.raises(BursarError, match="login: has already been taken"):
        async with world.db.transaction(other.workspace) as connection:
            await api_accesses.change_access(connection, other, made.number, {"login": world.login}, None)
    with pytest.raises(BursarError, match="already"):
        async with world.db.transaction(other.workspace) as connection:
            await admins.add_admin(connection, other, world.user, "x")


async def _give(db: Database, caller: Caller, name: str) -> None:
    digest = await hash_password(PASSWORD)
    async with db.transaction(caller.workspace) as connection:
        await admins.add_admin(connection, caller, f"u-{name}", digest, ["127.0.0.0/8", "10.9.0.0/16"])
        await create_customer(connection, caller, NewCustomer("acme", "Acme", "", Address()))
        number = await connection.fetchval("select yeti_id from customer where workspace = $1", caller.workspace)
        await create_access(connection, caller, AccessTerms(number, f"l-{name}"), digest)


def failed(detail: str) -> dict[str, Any]:
    return {"errors": [{"title": "Authentication failed", "detail": detail, "code": "401", "status": "401"}]}


WRONG = failed("Incorrect login or password.")
BAD = {"status": 400, "error": "Bad Request"}
ADMIN, CUSTOMER = "/api/rest/admin/auth", "/api/rest/customer/v1/auth"


def test_logging_in_over_the_wire(server: Server) -> None:
    tenant = server.workspace()
    server.run(lambda db: _give(db, tenant.caller, tenant.name))
    user, login = f"u-{tenant.name}", f"l-{tenant.name}"
    with httpx.Client(base_url=server.url, headers={"x-forwarded-for": "10.9.0.1"}, timeout=30, verify=PLAIN) as http:
        for body, status, answer in (
            ({"auth": {"username": user, "password": PASSWORD}}, 201, None),
            ({"username": user, "password": PASSWORD}, 201, None),
            ({"auth": {"username": user, "password": "x"}}, 401, WRONG),
            ({"auth": {"username": user}}, 401, WRONG),
            ({"auth": {"username": user, "password": 5}}, 401, WRONG),
            ({"auth": {"username": login, "password": PASSWORD}}, 401, WRONG),
            ({"username": "nobody", "password": PASSWORD}, 401, WRONG),
            ({}, 400, BAD),
            ({"auth": {}}, 400, BAD),
            ({"auth": None}, 400, BAD),
            ({"auth": "x"}, 400, BAD),
            ([], 400, BAD),
            ({"auth": {"username": "\x00", "password": PASSWORD}}, 400, BAD),
        ):
            got = http.post(ADMIN, json=body)
            assert (got.status_code, got.headers["content-type"]) == (status, "application/json"), got.text
            assert answer is None or got.json() == answer
            assert status != 201 or [*got.json()] == ["jwt"]
        for content in (b"", b"{", b'{"auth":', b"\xff", b'"\\ud800"', b"[" * 100_000):
            got = http.post(ADMIN, content=content, headers={"content-type": "application/json"})
            assert (got.status_code, got.json()) == (400, BAD)
        assert http.post(ADMIN, content=b"x" * 1_000_001).status_code == 413
        got = http.post(
            ADMIN, json={"auth": {"username": user, "password": PASSWORD}}, headers={"x-forwarded-for": "10.8.0.1"}
        )
        assert (got.status_code, got.json()) == (401, failed("Your IP address is not allowed."))
        assert http.get(ADMIN).status_code == 404
        for _ in range(40):  # some come back while these are tried
            last = http.post(CUSTOMER, json={"auth": {"login": f"{login}x", "password": "x"}})
            if last.status_code == 429:
                break
        assert last.status_code == 429
        assert 1 <= int(last.headers["retry-after"]) <= 7
        _customer_session(http, login)


def _customer_session(http: httpx.Client, login: str) -> None:
    """A customer logs in by token and by cookie, which slides, and out."""
    given = {"login": login, "password": PASSWORD}
    got = http.post(CUSTOMER, json={"auth": given})
    assert (got.status_code, [*got.json()]) == (201, ["jwt"])
    assert "set-cookie" not in got.headers
    text = got.json()["jwt"]
    got = http.get(CUSTOMER, headers={"authorization": text})
    assert (got.status_code, got.json(), got.headers.get("set-cookie")) == (200, {"allow-rec": False}, None)
    got = http.post(CUSTOMER, json={"auth": {**given, "cookie_auth": True}})
    assert (got.status_code, got.content) == (201, b"")
    line = re.fullmatch(
        rf"{COOKIE}=([\w.-]+); path=/; expires=(\w{{3}}, \d\d \w{{3}} \d{{4}} [\d:]{{8}} GMT); httponly; samesite=lax",
        got.headers["set-cookie"],
    )
    assert line is not None
    exp = jwt.parts(line[1])[1]["exp"]
    assert datetime.strptime(line[2], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC).timestamp() == exp
    http.cookies.clear()
    again = http.get(CUSTOMER, headers={"cookie": f"{COOKIE}={line[1]}"})
    assert again.json() == {"allow-rec": False}
    assert again.headers["set-cookie"].startswith(f"{COOKIE}=ey")
    assert http.get(CUSTOMER, headers={"cookie": f"{COOKIE}={line[1]}", "authorization": "x"}).status_code == 401
    http.cookies.clear()
    none = http.get(CUSTOMER)
    assert (none.status_code, none.json()) == (401, {"errors": [{
        "title": "Authorization failed", "detail": "Authorization token expired or incorrect.", "code": "401",
        "status": "401"}]})  # fmt: skip
    out = http.delete(CUSTOMER)
    assert (out.status_code, out.content) == (204, b"")
    assert out.headers["set-cookie"] == (
        f"{COOKIE}=logout; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT; httponly; samesite=lax"
    )
    assert http.post(CUSTOMER, json={"auth": {**given, "password": "x"}}).json() == WRONG
    assert http.put(CUSTOMER, json={"auth": given}).status_code == 404
    secure = http.post(
        CUSTOMER, json={"auth": {**given, "cookie_auth": 1}}, headers={"x-forwarded-proto": "https"}
    )  # fmt: skip
    assert secure.headers["set-cookie"].endswith("; httponly; samesite=lax; secure")
