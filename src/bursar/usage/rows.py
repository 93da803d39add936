"""What a flush hands to PostgreSQL: rows as columns, and the sums of the balance."""

import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from bursar.usage.admission import Verdict
from bursar.usage.event import Event
from bursar.usage.states import TERM, State, Term


@dataclass(frozen=True, slots=True, eq=False)
class EventRow:
    """One event on its way into `event_key`."""

    workspace: int
    id_hash: uuid.UUID
    body_hash: int
    catalog_version: int
    chunk: int
    position: int
    """Its place among all events of the chunk."""
    submission: int
    place: int
    """Its place in its request."""
    event: Event
    verdict: Verdict


def admit_arguments(rows: list[EventRow], received_at: datetime) -> list[Any]:
    """The arguments of `admit`: events by column, then their measures by column."""
    measures = [(row, measure) for row in rows for measure in row.verdict.measures]
    return [
        [row.workspace for row in rows],
        [row.id_hash for row in rows],
        [row.body_hash for row in rows],
        [row.verdict.account for row in rows],
        [row.catalog_version for row in rows],
        [row.event.timestamp for row in rows],
        [row.chunk for row in rows],
        [row.verdict.schema for row in rows],
        [row.position for row in rows],
        [int(row.verdict.state) for row in rows],
        [row.verdict.reason for row in rows],
        received_at,
        [row.workspace for row, _ in measures],
        [row.verdict.account for row, _ in measures],
        [measure.meter_version for _, measure in measures],
        [measure.bucket for _, measure in measures],
        [measure.quantity for _, measure in measures],
        [row.chunk for row, _ in measures],
        [row.position for row, _ in measures],
    ]


def rollup_arguments(rows: list[EventRow]) -> list[Any]:
    """The arguments of `add_rollups`."""
    measures = [(row, measure) for row in rows for measure in row.verdict.measures]
    return [
        [row.workspace for row, _ in measures],
        [row.verdict.account for row, _ in measures],
        [measure.meter_version for _, measure in measures],
        [measure.bucket for _, measure in measures],
        [measure.quantity for _, measure in measures],
    ]


@dataclass(slots=True)
class Tally:
    """The sums that a flush adds to the balance, per workspace and term."""

    received: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    terms: dict[int, dict[Term, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))

    def add(self, workspace: int, state: State) -> None:
        """One more event that was received and ended in `state`."""
        self.received[workspace] += 1
        self.terms[workspace][TERM[state]] += 1

    def arguments(self, day: date, flusher: int) -> list[Any]:
        """The arguments of `count`."""
        workspaces = sorted(self.received)
        return [
            workspaces,
            day,
            flusher,
            [self.received[workspace] for workspace in workspaces],
            *([self.terms[workspace][term] for workspace in workspaces] for term in Term),
        ]
