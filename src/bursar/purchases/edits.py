"""Edits of an account's schedules, decided before anything is written.

The result of an edit is the list of segments as they are to be. A segment that is yet to be written has the key 0, one
of an association that is yet to be made a negative schedule, one with an override that is yet to be kept a negative
version; both number the edits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bursar.catalog.plans import PlanVersion
from bursar.core.period import Period
from bursar.purchases.model import AccountFacts, Segment, calendar_of, retained, trim

UNWRITTEN = 0
DRY = "sch.dry-run"
"""The id of an association that is yet to be made."""


@dataclass(frozen=True, slots=True)
class On:
    """A plan is to hold."""

    period: Period
    plan: PlanVersion
    retain: bool
    """Whether the cycles that run then go on."""


@dataclass(frozen=True, slots=True)
class Off:
    """No plan is to hold; or not the one that is named."""

    period: Period
    price_plan_id: str | None


def cut(segments: Sequence[Segment], change: Period, price_plan_id: str | None = None) -> list[Segment]:
    """Segments with room for a change; with `price_plan_id` only those of that plan give way."""
    room = trim(segments, change, price_plan_id)
    stay = [segment for segment in segments if segment not in room.superseded]
    pieces = [replace(piece.segment, key=UNWRITTEN, period=piece.period, opens_at=None) for piece in room.pieces]
    return sorted([*stay, *pieces], key=lambda segment: segment.period)


def edited(account: AccountFacts, segments: Sequence[Segment], edit: On | Off, number: int) -> list[Segment]:
    """The segments as they are to be after one edit. Raises `Invalid` where cycles cannot be retained."""
    if isinstance(edit, Off):
        return cut(segments, edit.period, edit.price_plan_id)
    plan, start = edit.plan, edit.period.start
    cycle = plan.details.cycle
    assert cycle is not None
    if edit.retain:
        calendar = retained(segments, start, cycle.interval)
    else:
        calendar = calendar_of(
            cycle.interval,
            cycle.day,
            cycle.month,
            anniversary_cycle=cycle.anniversary,
            start=start,
            zone=account.zone,
        )
    made = Segment(
        key=UNWRITTEN,
        schedule=-number,
        schedule_id=DRY,
        anchor=start,
        account=account.key,
        price_plan_id=plan.id,
        price_plan_name=plan.name,
        version=plan.version_key if plan.override is None else -number,
        version_number=plan.version,
        period=edit.period,
        calendar=calendar,
        grace_days=cycle.grace_days,
        superseded=False,
        opens_at=None,
        override=plan.override,
    )
    return sorted([*cut(segments, edit.period), made], key=lambda segment: segment.period)
