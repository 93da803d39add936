"""What falls due as time passes, and what a server process keeps at hand for its requests."""

from collections.abc import Mapping
from typing import Any

from bursar.db.database import Database


def services(db: Database) -> Mapping[type, Any]:
    """Services of a process by type."""
    return {}
