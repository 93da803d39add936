"""How rows of a file are admitted: as events like all others, through a pipeline of the process that has them."""

from collections.abc import Sequence

import msgspec

from bursar.db.database import Database
from bursar.runtime.wall import wall
from bursar.usage.event import parse_each
from bursar.usage.flush import Receipt, Submission
from bursar.usage.pipeline import Pipeline
from bursar.usage.states import MEANING

TOGETHER = 8000
"""Events in one transaction: nobody waits for an answer."""


class Outcome(msgspec.Struct):
    """What became of events."""

    known: int = 0
    """How many were there already, with the same content."""
    refused: list[tuple[int, str]] = []
    """Which were not let in, by their places, and why."""


def pipeline(db: Database) -> Pipeline:
    """What rows go through."""
    return Pipeline(db, wall, batch=TOGETHER)


async def admit(through: Pipeline, workspace: int, events: Sequence[bytes], *, sound: bool, backfill: bool) -> Outcome:
    """Let events in; returns once they are on disk. `events` are JSON, `sound` where each is known to be one value."""
    parsed = parse_each(events, sound=sound)
    refused = [(one.index, one.message) for one in parsed.refused]
    receipt = Receipt()
    if parsed.events:
        receipt = await through.submit(Submission(workspace, None, parsed, backfill, skip_known=True))
    if receipt.verdicts:
        wrong = {one.index for one in parsed.refused}
        places = [place for place in range(len(events)) if place not in wrong]
        refused += [
            (places[place], f"{state.name}: {reason or MEANING[state]}") for place, _, state, reason in receipt.verdicts
        ]
    return Outcome(receipt.known, sorted(refused))
