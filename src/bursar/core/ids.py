"""Identifiers that leave the building."""

import secrets
import string

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase


def draw(prefix: str) -> str:
    """A new wire id, `<prefix>.<11 characters>.<5 characters>` of base 62: 95 random bits."""
    text = "".join(secrets.choice(ALPHABET) for _ in range(16))
    return f"{prefix}.{text[:11]}.{text[11:]}"
