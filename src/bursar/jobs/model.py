"""Jobs and their states, purely.

A job waits for confirmation where that was asked for, else for the worker: PENDING, then IN_PROGRESS. It ends
COMPLETED, or FAILED where some of its entries failed; rejected, it is CANCELLED.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bursar.core.errors import WrongState


class Kind(StrEnum):
    """What a job does."""

    PRICE_PLAN = "PRICE_PLAN"
    """Move accounts to another price plan."""
    BILL_RUN = "BILL_RUN"
    """Issue the invoices that are due."""
    EVENT_CORRECTIONS = "EVENT_CORRECTIONS"
    """Undo events, or let them in anew."""


class Status(StrEnum):
    """How far a job got."""

    PENDING = "PENDING"
    WAITING_FOR_CONFIRMATION = "WAITING_FOR_CONFIRMATION"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class EntryStatus(StrEnum):
    """What became of an object that a job is about."""

    PENDING = "PENDING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many entries of a job are in which state."""

    pending: int
    completed: int
    failed: int
    cancelled: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.pending + self.completed + self.failed + self.cancelled


@dataclass(frozen=True, slots=True)
class Job:
    """A request that the worker carries out."""

    key: int
    id: str
    kind: Kind
    status: Status
    parameters: Mapping[str, str]
    """What was asked for, as the one who asked may read it."""
    moment: datetime | None
    """The business time at which it was asked for, or confirmed; None while it waits. All of it happens as of then."""
    created_at: datetime
    updated_at: datetime
    settled_at: datetime | None
    counts: Counts


@dataclass(frozen=True, slots=True)
class Listed:
    """A job in a list."""

    key: int
    id: str
    kind: Kind
    status: Status
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """One object that a job is about."""

    number: int
    entity: str
    """Its id on the wire."""
    status: EntryStatus
    reason: str | None
    """Why it failed or was cancelled."""
    created_at: datetime


def decide(job: Job, *, confirmed: bool) -> Status:
    """The state of a job that is confirmed or rejected. Raises `WrongState` for one that does not wait for that."""
    if job.status is not Status.WAITING_FOR_CONFIRMATION:
        verb = "confirmed" if confirmed else "rejected"
        raise WrongState(f"job '{job.id}' is {job.status}; only one WAITING_FOR_CONFIRMATION can be {verb}")
    return Status.PENDING if confirmed else Status.CANCELLED


def outcome(counts: Counts) -> Status:
    """The state of a job that has no entry left to do."""
    return Status.FAILED if counts.failed else Status.COMPLETED
