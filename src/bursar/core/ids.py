"""Identifiers that leave the building."""

import secrets
import string

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_COUNT = 62**16


def draw(prefix: str) -> str:
    """A new wire id, `<prefix>.<11 characters>.<5 characters>` of base 62: 95 random bits."""
    number = secrets.randbelow(_COUNT)
    text = ""
    for _ in range(16):
        number, digit = divmod(number, 62)
        text += ALPHABET[digit]
    return f"{prefix}.{text[:11]}.{text[11:]}"
