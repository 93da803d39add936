"""JSON web tokens by hand, by RFC 7515 alone: what the server says and takes is held against this."""

import base64
import hashlib
import hmac
import json
from typing import Any


def plain(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Header, claims and signature of a token."""
    header, claims, signature = token.split(".")
    return _open(header), _open(claims), signature


def made(header: dict[str, Any], claims: Any, key: bytes, digest: str = "sha256") -> str:
    """A token signed with a key."""
    content = f"{plain(json.dumps(header).encode())}.{plain(json.dumps(claims).encode())}"
    return f"{content}.{plain(hmac.new(key, content.encode(), getattr(hashlib, digest)).digest())}"


def _open(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found
