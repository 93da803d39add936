"""Who sends a request at the carrier's doors: JWTs of people who logged in, and at the first also our API tokens."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec
from joserfc.jwk import OctKey
from starlette.requests import Request

from bursar.accounts import logins
from bursar.accounts.admins import AdminLogin, admin_by_name, admin_by_subject
from bursar.accounts.api_accesses import Portal, portal_by_config, portal_by_login, portal_by_subject
from bursar.accounts.logins import ADMIN, CUSTOMER, DYNAMIC, Claims, Config, IPAddress, Issued
from bursar.accounts.passwords import matches
from bursar.accounts.tokens import FULL, Access, authenticate
from bursar.accounts.workspaces import caller_of
from bursar.core.errors import Unauthenticated
from bursar.db.database import Database
from bursar.http.yeti.attempts import Attempts

COOKIE = "_yeti_customer_v1_session"
LIFE_SECONDS = 600
LONGEST_LIFE = 10 * 366 * 86_400
"""Seconds."""
REMEMBER = timedelta(seconds=5)
"""How long a verified token is taken without looking again: a user who was let out is out after this time."""
TOKENS_LIMIT = 10_000
_TRUSTED = ("127.0.0.1", "::1")
"""Proxies whose word on the sender's address counts."""

T = TypeVar("T", AdminLogin, Portal)


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """For how many seconds tokens work; 0: for ever."""

    admin: int = LIFE_SECONDS
    customer: int = LIFE_SECONDS


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who came in by the door of a carrier's customers."""

    access: Access
    portal: Portal
    by_cookie: bool
    """Each answer renews the cookie of whoever came with one."""


class _Body(msgspec.Struct):
    token: str | None = None


class Doorkeeper:
    """Lets people in and recognises them again, in one server process."""

    def __init__(self, db: Database, lifetimes: Lifetimes = Lifetimes(), processes: int = 1) -> None:
        self._db = db
        self._lifetimes = lifetimes
        self._attempts = Attempts(processes)
        self._key: OctKey | None = None
        self._admins: dict[str, tuple[datetime, Claims, AdminLogin]] = {}
        self._portals: dict[str, tuple[datetime, Claims, Portal]] = {}

    async def log_in_admin(self, username: str, password: str, address: IPAddress | None, wall: datetime) -> Issued:
        """A token for a user. Raises `Unauthenticated` with the reason to tell, `TooMany` after many failures."""
        self._attempts.begin(ADMIN, username, address, time.monotonic())
        found = await admin_by_name(self._db, username)
        right = await matches(found.password_hash if found else None, password)
        if found is None or not right or not found.enabled:
            raise Unauthenticated("Incorrect login or password.")
        if not logins.inside(address, found.networks):
            raise Unauthenticated("Your IP address is not allowed.")
        self._attempts.succeed(ADMIN, username, address)
        return logins.issue(await self._secret(), ADMIN, found.subject, wall, self._life(ADMIN))

    async def log_in_customer(self, login: str, password: str, address: IPAddress | None, wall: datetime) -> Issued:
        """A token for a customer's login. Raises `Unauthenticated` with the one reason to tell, `TooMany`."""
        self._attempts.begin(CUSTOMER, login, address, time.monotonic())
        found = await portal_by_login(self._db, login)
        right = await matches(found.password_hash if found else None, password)
        if found is None or found.subject is None or not right or not logins.inside(address, found.networks):
            raise Unauthenticated("Incorrect login or password.")
        self._attempts.succeed(CUSTOMER, login, address)
        return logins.issue(await self._secret(), CUSTOMER, found.subject, wall, self._life(CUSTOMER))

    async def admit(self, request: Request, content: bytes, wall: datetime) -> Access:
        """Who sends a request to the admin door, whose body is `content`. Raises `Unauthenticated`."""
        text = _presented(request, content)
        kept = _kept(self._admins, text, wall)
        if kept is None:
            claims = logins.read(await self._secret(), text)
            if claims is None:
                return await authenticate(self._db, text, wall)
            self._check(claims, ADMIN, wall)
            found = await admin_by_subject(self._db, claims.sub) if isinstance(claims.sub, int) else None
            if found is None:
                raise Unauthenticated("the token is not valid")
            kept = _keep(self._admins, text, claims, found, wall)
        claims, user = kept
        self._check(claims, ADMIN, wall)
        if not user.enabled or not logins.inside(sender(request), user.networks):
            raise Unauthenticated("the token is not valid")
        return Access(caller_of(user.workspace, wall, f"admin:{user.username}"), FULL, -user.subject, None)

    async def admit_customer(self, request: Request, wall: datetime) -> Visitor:
        """Who sends a request to the customers' door. Raises `Unauthenticated`."""
        header = request.headers.get("authorization", "").split()
        text = header[-1] if header else request.cookies.get(COOKIE, "")
        kept = _kept(self._portals, text, wall)
        if kept is None:
            claims = logins.read(await self._secret(), text)
            if claims is None:
                raise Unauthenticated("the token is not valid")
            self._check(claims, CUSTOMER, wall)
            kept = _keep(self._portals, text, claims, await self._portal(claims), wall)
        claims, portal = kept
        self._check(claims, CUSTOMER, wall)
        if portal.config is not None and not logins.inside(real_sender(request), portal.networks):
            raise Unauthenticated("the token is not valid")
        actor = "portal" if portal.access is None else f"login:{portal.access}"
        counted = -portal.customer if portal.subject is None else -portal.subject
        access = Access(caller_of(portal.workspace, wall, actor), frozenset(("read",)), counted, None)
        return Visitor(access, portal, by_cookie=not header)

    async def renew(self, portal: Portal, wall: datetime) -> Issued:
        """A fresh token for who has one."""
        subject = DYNAMIC if portal.subject is None else portal.subject
        return logins.issue(await self._secret(), CUSTOMER, subject, wall, self._life(CUSTOMER), portal.config)

    async def lend(self, config: Config, wall: datetime) -> Issued:
        """A dynamic token."""
        return logins.issue(await self._secret(), CUSTOMER, DYNAMIC, wall, self._life(CUSTOMER), config)

    async def _portal(self, claims: Claims) -> Portal:
        found = None
        if claims.sub == DYNAMIC and claims.cfg is not None:
            found = await portal_by_config(self._db, claims.cfg)
        elif isinstance(claims.sub, int):
            found = await portal_by_subject(self._db, claims.sub)
        if found is None:
            raise Unauthenticated("the token is not valid")
        return found

    def _check(self, claims: Claims, audience: str, wall: datetime) -> None:
        logins.check_claims(claims, audience, wall, permanent=self._life(audience) is None)

    def _life(self, audience: str) -> timedelta | None:
        seconds = self._lifetimes.admin if audience == ADMIN else self._lifetimes.customer
        return timedelta(seconds=seconds) if seconds else None

    async def _secret(self) -> OctKey:
        if self._key is None:
            self._key = await logins.login_key(self._db)
        return self._key


def sender(request: Request) -> IPAddress | None:
    """The address that a request comes from: of a proxy on this machine, the last that it did not itself make up."""
    peer = request.client.host if request.client else ""
    if peer not in _TRUSTED:
        return logins.address_of(peer)
    forwarded = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
    chain = [peer, *(entry.strip() for entry in reversed(forwarded) if entry.strip())]
    return logins.address_of(next((entry for entry in chain if entry not in _TRUSTED), chain[-1]))


def real_sender(request: Request) -> IPAddress | None:
    """As `sender`, but a proxy on this machine may name the address as `X-Real-IP` too."""
    peer = request.client.host if request.client else ""
    named = request.headers.get("x-real-ip", "").strip()
    return logins.address_of(named) if named and peer in _TRUSTED else sender(request)


def _presented(request: Request, content: bytes) -> str:
    """The token that a request carries: as `token` in the query, else in the body, else the header's last word."""
    text = request.query_params.get("token") or _in_body(request, content)
    if not text:
        words = request.headers.get("authorization", "").split()
        text = words[-1] if words else ""
    if not text:
        raise Unauthenticated
    return text


def _in_body(request: Request, content: bytes) -> str | None:
    if b"token" not in content:
        return None
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        pairs = parse_qsl(content.decode("latin-1"))
        return next((value for name, value in pairs if name == "token"), None)
    try:
        return _decoder.decode(content).token
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


_decoder = msgspec.json.Decoder(_Body)


def _kept(memory: dict[str, tuple[datetime, Claims, T]], text: str, wall: datetime) -> tuple[Claims, T] | None:
    found = memory.get(text)
    return (found[1], found[2]) if found is not None and found[0] <= wall < found[0] + REMEMBER else None


def _keep(
    memory: dict[str, tuple[datetime, Claims, T]], text: str, claims: Claims, found: T, wall: datetime
) -> tuple[Claims, T]:
    # A sandbox's clock may be moved between two requests, so a sandbox is looked at each time.
    if not found.workspace.sandbox:
        if len(memory) >= TOKENS_LIMIT:
            memory.clear()
        memory[text] = (wall, claims, found)
    return claims, found
