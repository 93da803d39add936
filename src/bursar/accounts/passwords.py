"""Passwords as Argon2id hashes. Hashing is slow by intent: it runs beside the event loop, two at a time."""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from bursar.core.errors import Invalid

LIMIT = 1000
"""Characters of a password."""
_AT_ONCE = 2
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""What OWASP asks for: an attempt costs some tens of milliseconds and 19 MiB, on one core."""
_beside = ThreadPoolExecutor(_AT_ONCE, "passwords")
"""The other cores answer requests meanwhile."""


def check_password(password: str) -> None:
    """Raise `Invalid` for what cannot be a password."""
    if not password:
        raise Invalid("password", "can't be blank")
    if len(password) > LIMIT:
        raise Invalid("password", f"is too long (maximum is {LIMIT} characters)")


async def hash_password(password: str) -> str:
    """The hash of a password, with its own salt."""
    return await asyncio.get_running_loop().run_in_executor(_beside, _hasher.hash, password)


async def matches(password_hash: str | None, password: str) -> bool:
    """Whether a password is the one of a hash. Without one (nobody has that name) it takes as long, and says no."""
    return await asyncio.get_running_loop().run_in_executor(_beside, _matches, password_hash, password)


def _matches(password_hash: str | None, password: str) -> bool:
    try:
        right = _hasher.verify(_decoy() if password_hash is None else password_hash, password[:LIMIT])
    except (VerificationError, InvalidHashError):
        return False
    return right and password_hash is not None and len(password) <= LIMIT


@cache
def _decoy() -> str:
    return _hasher.hash(secrets.token_hex(16))
