"""The demonstration."""

from typing import Any


def play(events: int, *, quiet: bool) -> dict[str, Any]:
    """Play."""
    return {"events": events, "quiet": quiet}
