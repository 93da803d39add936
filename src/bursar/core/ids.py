"""Identifiers that leave the building."""

import hashlib
import secrets
import string

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_COUNT = 62**16
_HALF = 62**8
_PAIRS = [low + high for high in ALPHABET for low in ALPHABET]


def draw(prefix: str) -> str:
    """A new wire id, `<prefix>.<11 characters>.<5 characters>` of base 62: 95 random bits."""
    # Of 192 bits, what is left by the count favours no id by more than one in 2^96.
    return _written(prefix, int.from_bytes(secrets.token_bytes(24)) % _COUNT)


def derive(prefix: str, *names: object) -> str:
    """A wire id as `draw` makes them, but the same whenever it is asked for what has these names."""
    digest = hashlib.sha256("\x00".join(map(str, names)).encode()).digest()
    return _written(prefix, int.from_bytes(digest) % _COUNT)


def _written(prefix: str, number: int) -> str:
    upper, lower = divmod(number, _HALF)
    text = _eight(lower) + _eight(upper)
    return f"{prefix}.{text[:11]}.{text[11:]}"


def _eight(number: int) -> str:
    """Eight digits, the lowest first: two at a time, which takes a third of the time."""
    number, first = divmod(number, 3844)
    number, second = divmod(number, 3844)
    fourth, third = divmod(number, 3844)
    return _PAIRS[first] + _PAIRS[second] + _PAIRS[third] + _PAIRS[fourth]
