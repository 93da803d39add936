"""The time on the wall, asked for at the edge alone."""

from datetime import UTC, datetime


def wall() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)
