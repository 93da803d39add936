"""Who sends a request at the carrier's doors: JWTs of people who logged in, and at the first also our API tokens."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from joserfc.jwk import OctKey
from starlette.requests import Request
from starlette.responses import Response

from bursar.accounts import logins
from bursar.accounts.admins import AdminLogin, admin_by_name, admin_by_subject
from bursar.accounts.api_accesses import Portal, portal_by_config, portal_by_login, portal_by_subject
from bursar.accounts.logins import ADMIN, CUSTOMER, DYNAMIC, Claims, Config, IPAddress, Issued
from bursar.accounts.passwords import matches
from bursar.accounts.tokens import FULL, Access, authenticate
from bursar.accounts.workspaces import caller_of
from bursar.core.errors import Forbidden, Unauthenticated
from bursar.db.database import Database
from bursar.http.decode import read_body
from bursar.http.yeti.attempts import Attempts
from bursar.http.yeti.lifetimes import Lifetimes

COOKIE = "_yeti_customer_v1_session"
REMEMBER = timedelta(seconds=5)
"""How long a verified token is taken without looking again: a user who was let out is out after this time."""
TOKENS_LIMIT = 10_000
_READS = frozenset(("read",))
_TRUSTED = ("127.0.0.1", "::1")
"""Proxies whose word on the sender's address counts."""

T = TypeVar("T", AdminLogin, Portal)


@dataclass(frozen=True, slots=True)
class PortalAccess(Access):
    """What a customer's login opens."""

    portal: Portal
    by_cookie: bool
    """Each answer renews the cookie of whoever came with one."""


class _Body(msgspec.Struct):
    token: str | None = None


class Doorkeeper:
    """Lets people in and recognises them again, in one server process."""

    def __init__(self, db: Database, lifetimes: Lifetimes | None = None, processes: int = 1) -> None:
        self._db = db
        given = lifetimes or Lifetimes()
        seconds = {ADMIN: given.admin, CUSTOMER: given.customer}
        self._lives = {audience: timedelta(seconds=life) if life else None for audience, life in seconds.items()}
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
        if not user.enabled or (user.networks is not None and not logins.inside(sender(request), user.networks)):
            raise Unauthenticated("the token is not valid")
        return Access(caller_of(user.workspace, wall, f"admin:{user.username}"), FULL, -user.subject, None)

    async def admit_customer(self, request: Request, wall: datetime) -> PortalAccess:
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
        caller = caller_of(portal.workspace, wall, actor)
        return PortalAccess(caller, _READS, counted, None, portal, by_cookie=not header)

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
        return self._lives[audience]

    async def _secret(self) -> OctKey:
        if self._key is None:
            self._key = await logins.login_key(self._db)
        return self._key


async def admit(services: Mapping[type, Any], request: Request, scope: str, wall: datetime) -> Access:
    """The access of a request to the admin door, which must have `scope`. Raises `Unauthenticated`, `Forbidden`."""
    content = b"" if request.method in ("GET", "HEAD") else await read_body(request)
    doorkeeper: Doorkeeper = services[Doorkeeper]
    access = await doorkeeper.admit(request, content, wall)
    if not access.allows(scope):
        raise Forbidden(f"the token lacks the scope '{scope}'")
    return access


async def admit_customer(services: Mapping[type, Any], request: Request, scope: str, wall: datetime) -> PortalAccess:
    """The access of a request to the customers' door, where everything is read. Raises `Unauthenticated`.

    The cookie that the answer renews is left in `request.state.session`.
    """
    doorkeeper: Doorkeeper = services[Doorkeeper]
    access = await doorkeeper.admit_customer(request, wall)
    if not access.allows(scope):
        raise Forbidden("the customers' door changes nothing")
    if access.by_cookie:
        request.state.session = await doorkeeper.renew(access.portal, wall)
    return access


def set_cookie(request: Request, response: Response, value: str, expires: datetime | None) -> None:
    """Let a browser keep a token until it ends."""
    parts = [f"{COOKIE}={value}", "path=/"]
    if expires is not None:
        parts.append(f"expires={format_datetime(expires, usegmt=True)}")
    parts += ["httponly", "samesite=lax"]
    # The original leaves this to a proxy; a cookie that was given under TLS has no business outside of it.
    response.headers["set-cookie"] = "; ".join([*parts, "secure"] if request.url.scheme == "https" else parts)


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
    asked = request.query_params.get("token") if request.scope["query_string"] else None
    text = asked or _in_body(request, content)
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
