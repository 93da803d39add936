"""Identifiers that leave the building."""

import hashlib
import secrets
import string

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_COUNT = 62**16


def draw(prefix: str) -> str:
    """A new wire id, `<prefix>.<11 characters>.<5 characters>` of base 62: 95 random bits."""
    return _written(prefix, secrets.randbelow(_COUNT))


def derive(prefix: str, *names: object) -> str:
    """A wire id as `draw` makes them, but the same whenever it is asked for what has these names."""
    digest = hashlib.sha256("\x00".join(map(str, names)).encode()).digest()
    return _written(prefix, int.from_bytes(digest) % _COUNT)


def _written(prefix: str, number: int) -> str:
    text = ""
    for _ in range(16):
        number, digit = divmod(number, 62)
        text += ALPHABET[digit]
    return f"{prefix}.{text[:11]}.{text[11:]}"
