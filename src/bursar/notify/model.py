"""What a delivery is, when it is tried again, and when it is given up."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

PAUSES = tuple(
    timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800, 43_200, 86_400)
)
"""How long to wait after each attempt that failed. After the last it is given up: in about two and a half days."""
ATTEMPTS = len(PAUSES) + 1
LEASE = timedelta(seconds=10)
"""For how long a worker says that it is at a delivery, again and again: once that is over, it has died."""
PATIENCE = timedelta(seconds=30)
"""How long an attempt may take in all."""
REASON_LIMIT = 300


class Channel(StrEnum):
    """How a message reaches its receiver."""

    HTTP = "HTTP"
    MAIL = "MAIL"


class Status(StrEnum):
    """Where a delivery stands."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    GIVEN_UP = "GIVEN_UP"
    ERASED = "ERASED"


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be told to one receiver."""

    channel: Channel
    receiver: str
    """A URL or an e-mail address."""
    subject: str
    """Of an e-mail; of a request the name of the event."""
    body: str
    """JSON."""
    customers: tuple[int, ...] = ()
    """Internal keys of the customers whose data it holds."""
    sender: int | None = None
    """Number of the SMTP connection of an e-mail."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message on its way."""

    key: int
    id: str
    """By which a receiver can tell one that comes twice."""
    workspace: int
    message: Message
    status: Status
    attempts: int
    due_at: datetime | None
    """When it is tried next."""
    reason: str | None
    """Why the last attempt failed."""
    created_at: datetime
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt that did not succeed."""

    reason: str
    final: bool = False
    """Whether trying again cannot help."""


Sender = Callable[[Delivery, datetime], Awaitable[Failed | None]]
"""Tries to deliver at an instant; None: the receiver has it. It may take `PATIENCE`."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a delivery after an attempt."""

    status: Status
    due_at: datetime | None
    reason: str | None


def judge(attempts: int, outcome: Failed | None, wall: datetime) -> Verdict:
    """What becomes of a delivery of which the `attempts`-th attempt, the first being 1, ended so."""
    if outcome is None:
        return Verdict(Status.DELIVERED, None, None)
    reason = " ".join(outcome.reason.split())[:REASON_LIMIT]
    if outcome.final or attempts >= ATTEMPTS:
        return Verdict(Status.GIVEN_UP, None, reason)
    return Verdict(Status.PENDING, wall + PAUSES[attempts - 1], reason)


def pause(attempts: int) -> timedelta:
    """How long an entry of the outbox waits after so many failed attempts; it is never given up."""
    return PAUSES[min(attempts, len(PAUSES)) - 1]
