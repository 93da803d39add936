"""Accounts that move from one price plan to another, or to another version of theirs: decided before it is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bursar.catalog.definitions import CycleDefinition
from bursar.catalog.overrides import overridden
from bursar.catalog.plans import PlanVersion
from bursar.core.errors import Invalid, WrongState
from bursar.purchases.edits import DRY, UNWRITTEN
from bursar.purchases.model import AccountFacts, MigrationMode, Segment, Takeover, may_migrate, take_over


@dataclass(frozen=True, slots=True)
class Move:
    """From which version of a plan to which."""

    source_id: str
    source_version: int
    target: PlanVersion
    mode: MigrationMode
    retain: bool
    """Whether the cycles that run go on under another plan."""


def refuse_move(source: PlanVersion, target: PlanVersion, mode: MigrationMode, *, retain: bool) -> None:
    """Raise `Invalid` or `WrongState` for a move that is possible for no account."""
    if (source.id, source.version) == (target.id, target.version):
        raise Invalid("targetVersion", "must be another version, or targetId another price plan, than the source")
    if target.status != "ACTIVE":
        raise WrongState(f"targetId: price plan '{target.id}' is {target.status}; accounts move to an ACTIVE one")
    if target.type != "BILLING":
        raise Invalid("targetId", f"price plan '{target.id}' is a {target.type} plan; only a BILLING one is associated")
    may_migrate(mode, reopens=target.details.reopens)
    old, new = source.details.cycle, target.details.cycle
    if retain and old is not None and new is not None and old.interval != new.interval:
        raise Invalid(
            "retainStartOffsets", f"the interval of the source is {old.interval}, that of the target {new.interval}"
        )


def moved(
    account: AccountFacts,
    segments: Sequence[Segment],
    move: Move,
    now: datetime,
    cycles: Mapping[int, CycleDefinition | None],
) -> tuple[list[Segment], dict[int, PlanVersion]]:
    """The segments as they are to be, and the plan of each negative number in them.

    An association moves from where it is or will be on the source, with all of it that follows; where the present cycle
    begins anew, with what has ended of that as well. Time that is invoiced stays. A version of the same plan goes on
    under the same association, another plan begins a new one. `cycles` are those of the versions that segments are on.
    Raises `Invalid` where an override does not fit the target or cycles cannot be retained.
    """
    after = list(segments)
    made: dict[int, PlanVersion] = {}
    for schedule in dict.fromkeys(segment.schedule for segment in segments):
        parts = _parts(move, [s for s in segments if s.schedule == schedule], now)
        fresh: list[Segment] = []
        for part in parts:
            plan = _with_override(move, part)
            taken = take_over(
                part, move.mode, now, account.closed_until, _old_cycle(move, part, plan, cycles), _cycle(plan)
            )
            if taken is None:
                continue
            after.remove(part)
            if taken.before is not None:
                after.append(replace(part, key=UNWRITTEN, period=taken.before, opens_at=None))
            _add(fresh, _new(move, part, taken, plan, -len(made) - 1), plan, made)
        after.extend(fresh)
    return sorted(after, key=lambda segment: segment.period), made


def _parts(move: Move, parts: Sequence[Segment], now: datetime) -> list[Segment]:
    """Which parts of an association may move."""
    source = (move.source_id, move.source_version)
    on_it = [s for s in parts if s.period.end > now and (s.price_plan_id, s.version_number) == source]
    if not on_it:
        return []
    if move.mode is MigrationMode.START_OF_CURRENT_CYCLE and on_it[0].period.start <= now:
        return list(parts)
    return [s for s in parts if s.period.start >= on_it[0].period.start]


def _add(fresh: list[Segment], new: Segment, plan: PlanVersion, made: dict[int, PlanVersion]) -> None:
    """What follows at once upon the same goes on; what belongs to the association that was begun, belongs to it."""
    if fresh and new.schedule < 0:
        new = replace(new, schedule=fresh[0].schedule, anchor=fresh[0].anchor)
    last = fresh[-1] if fresh else None
    if last is not None and last.period.end == new.period.start and last.override == new.override:
        fresh[-1] = replace(last, period=replace(last.period, end=new.period.end))
        return
    number = -len(made) - 1
    if number in (new.schedule, new.version):
        made[number] = plan
    fresh.append(new)


def _with_override(move: Move, part: Segment) -> PlanVersion:
    if part.override is None or move.mode.ignores_overrides:
        return move.target
    return overridden(move.target, part.override)


def _cycle(plan: PlanVersion) -> CycleDefinition:
    assert plan.details.cycle is not None, "a BILLING plan has a cycle"
    return plan.details.cycle


def _old_cycle(
    move: Move, part: Segment, plan: PlanVersion, cycles: Mapping[int, CycleDefinition | None]
) -> CycleDefinition | None:
    """The cycle that the new one is compared with: where they are the same, the cycles that run go on."""
    if move.retain:
        if part.calendar.interval != _cycle(plan).interval:
            raise Invalid(
                "retainStartOffsets",
                f"the interval in force is {part.calendar.interval}, that of the target {_cycle(plan).interval}",
            )
        return plan.details.cycle
    return cycles[part.version] if part.price_plan_id == move.target.id else None


def _new(move: Move, part: Segment, taken: Takeover, plan: PlanVersion, number: int) -> Segment:
    new = replace(
        part,
        key=UNWRITTEN,
        version=plan.version_key if plan.override is None else number,
        version_number=plan.version,
        period=taken.after,
        calendar=taken.calendar,
        grace_days=taken.grace_days,
        opens_at=None,
        override=plan.override,
    )
    if part.price_plan_id == move.target.id:
        return new
    return replace(
        new,
        schedule=number,
        schedule_id=DRY,
        anchor=taken.after.start,
        price_plan_id=plan.id,
        price_plan_name=plan.name,
    )
