"""What people who log in at the carrier's doors carry: a JWT, and the networks that they may come from.

The header is `{"alg": "HS256"}` and nothing else; the claims are `sub`, `aud` and, unless the token is permanent,
`exp`.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_interface, ip_network
from typing import Any, TypeAlias

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from bursar.accounts.tokens import server_secret
from bursar.core.errors import Invalid, Unauthenticated
from bursar.db.database import Database

ADMIN = "admin"
CUSTOMER = "customer-v1"
DYNAMIC = "D"
"""The subject of a token that carries what it opens, instead of naming a login."""
NETWORKS_LIMIT = 1000
TEXT_LIMIT = 16_000
"""Characters of a token: a dynamic one names accounts."""
_SUBJECTS = 2**53
_HEADER = {"alg": "HS256"}
_SECRET = "carrier-jwt"  # noqa: S105 - the name of the secret

IPAddress: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


class Config(msgspec.Struct, omit_defaults=False, kw_only=True):
    """What a dynamic token opens."""

    customer_id: int
    customer_portal_access_profile_id: int = 1
    account_ids: list[int]
    allow_outgoing_numberlists_ids: list[int] = msgspec.field(default_factory=list)
    allowed_ips: list[str]
    provision_gateway_id: int | None = None
    customer: str
    """The customer on the whole server: its number is one of its workspace's."""


class Claims(msgspec.Struct, omit_defaults=True):
    """What a token says."""

    sub: int | str
    aud: list[str]
    exp: int | None = None
    cfg: Config | None = None


@dataclass(frozen=True, slots=True)
class Issued:
    """A token that was just made, and when it ends; None: never."""

    text: str
    expires_at: datetime | None


async def login_key(db: Database) -> OctKey:
    """What signs these tokens. It never changes: a process may keep it."""
    return OctKey.import_key(await server_secret(db, _SECRET))


def draw_subject() -> int:
    """A number for a login's tokens: by chance, so that it tells nothing, and exact in every JSON parser."""
    return secrets.randbelow(_SUBJECTS - 1) + 1


def issue(
    key: OctKey, audience: str, subject: int | str, wall: datetime, life: timedelta | None, config: Config | None = None
) -> Issued:
    """A token for a subject that ends after `life`, or never."""
    ends = None if life is None else int((wall + life).timestamp())
    claims = Claims(subject, [audience], ends, config)
    text = jws.serialize_compact(_HEADER, msgspec.json.encode(claims), key, algorithms=["HS256"])
    return Issued(text, None if ends is None else datetime.fromtimestamp(ends, UTC))


def read(key: OctKey, text: str) -> Claims | None:
    """The claims of a token that carries our signature, expired or not; None for any other text."""
    if len(text) > TEXT_LIMIT or text.count(".") != 2 or not text.isascii():
        return None
    try:
        found = jws.deserialize_compact(text, key, algorithms=["HS256"])
        if found.headers() != _HEADER:
            return None
        claims = msgspec.json.decode(found.payload, type=Claims)
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return claims if isinstance(claims.sub, str) or 0 < claims.sub < _SUBJECTS else None


def check_claims(claims: Claims, audience: str, wall: datetime, *, permanent: bool) -> None:
    """Raise `Unauthenticated` for a token of another audience, one past its time, and, unless tokens are permanent
    here, one without an end.
    """
    if claims.aud != [audience]:
        raise Unauthenticated("the token is for another door")
    if claims.exp is None and not permanent:
        raise Unauthenticated("the token has no end")
    if claims.exp is not None and claims.exp <= wall.timestamp():
        raise Unauthenticated("the token has expired")


def parse_networks(values: Sequence[object], field: str = "allowed_ips") -> list[str]:
    """Addresses and networks as they are kept. Raises `Invalid` for what is neither."""
    try:
        if len(values) > NETWORKS_LIMIT:
            raise ValueError
        return [_plain(value) for value in values]
    except ValueError:
        raise Invalid(field, "Allowed IP is not valid") from None


def _plain(value: object) -> str:
    if not isinstance(value, str) or "%" in value:
        raise ValueError
    found = ip_interface(value.strip())
    return str(found.ip if found.network.num_addresses == 1 else found)


def networks_of(values: Iterable[object] | None) -> tuple[Network, ...] | None:
    """Networks as they were kept; None: every address."""
    return None if values is None else tuple(ip_network(str(value), strict=False) for value in values)


def address_of(text: str) -> IPAddress | None:
    """The address of a text, an IPv4 one also where it is written as IPv6; None where it is none."""
    try:
        found = ip_address(text.strip())
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def inside(address: IPAddress | None, networks: Sequence[Network] | None) -> bool:
    """Whether an address lies in one of the networks; None are all, and an unknown address lies in no other."""
    if networks is None:
        return True
    return address is not None and any(address in network for network in networks)


def shown(values: Iterable[Any] | None) -> list[str]:
    """Networks for people."""
    return [str(value) for value in values or ()]
