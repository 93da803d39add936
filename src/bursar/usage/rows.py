"""What a flush hands to PostgreSQL: rows as columns, and the sums of the balance."""

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import msgspec

from bursar.db.database import Connection
from bursar.db.queries import Queries
from bursar.usage.admission import Verdict
from bursar.usage.event import Event
from bursar.usage.states import TERM, State, Term

queries = Queries("bursar.usage")


class EventRow(msgspec.Struct, frozen=True, eq=False, gc=False):
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


COPY_FROM = 100
"""Rows from which COPY is faster than arrays in a statement."""


async def stage(connection: Connection, rows: list[EventRow]) -> None:
    """Put a flush's events and measures into the staging tables of its connection."""
    events = [
        (
            row.workspace,
            row.id_hash,
            row.body_hash,
            row.verdict.account,
            row.catalog_version,
            row.event.timestamp,
            row.chunk,
            row.verdict.schema,
            row.position,
            row.verdict.state,
            row.verdict.reason,
            place,
        )
        for place, row in enumerate(rows)
    ]
    measures = [
        (
            row.workspace,
            row.verdict.account,
            measure.meter_version,
            measure.bucket,
            measure.quantity,
            row.chunk,
            row.position,
        )
        for row in rows
        for measure in row.verdict.measures
    ]
    if len(rows) < COPY_FROM:
        await connection.execute(queries.fill_events, *_columns(events, 12))
        await connection.execute(queries.fill_measures, *_columns(measures, 7))
        return
    await connection.copy_records_to_table("stage_event", records=events)
    await connection.copy_records_to_table("stage_measure", records=measures)


def _columns(rows: Sequence[tuple[Any, ...]], count: int) -> list[list[Any]]:
    return [[row[index] for row in rows] for index in range(count)]


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
