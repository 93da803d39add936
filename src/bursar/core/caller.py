"""Who asks, in which workspace, and what time it is there."""

from dataclasses import dataclass
from datetime import datetime

DEFAULT = "default"
"""The name of the workspace that a first start makes."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The context of one command. Services take it first and never look at a clock themselves."""

    workspace: int
    """Internal key of the workspace; every statement carries it."""
    now: datetime
    """The workspace's business time: wall time, or the clock that a sandbox was set to."""
    wall: datetime
    """Wall time: for received_at, recorded_at, audit and tokens."""
    actor: str
    """Who did it, for the audit: `token:<prefix>`, `cli`, `worker`."""
    timezone: str
    """IANA zone of the workspace."""
    currency: str
    """Base currency of the workspace, ISO 4217."""
    sandbox: bool = False
