"""Changes of a price plan and what they do to the accounts that are on it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from bursar.accounts import gate
from bursar.accounts.service import CalendarEntry, set_calendars
from bursar.catalog import plans
from bursar.catalog.overrides import keep, overridden
from bursar.catalog.plans import PlanChange, PlanVersion
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, WrongState
from bursar.db import audit
from bursar.db.database import Connection
from bursar.purchases import plan_grants, store
from bursar.purchases.model import MigrationMode, NewSegment, Segment, Takeover, joined, may_migrate, take_over


@dataclass(frozen=True, slots=True)
class UpdatePlan:
    """Change a price plan, and let accounts follow."""

    price_plan_id: str
    change: PlanChange
    mode: MigrationMode = MigrationMode.NONE
    all_versions: bool = False
    """Whether accounts on any older version follow; else those on the one before."""


async def update_plan(connection: Connection, caller: Caller, command: UpdatePlan) -> PlanVersion:
    """Change a price plan: a draft as it stands, any other by a new version, which accounts take over as `mode` says.

    Raises `NotFound`, `Invalid` for what the plan may not say, `WrongState` for an archived plan.
    """
    if command.mode is not MigrationMode.NONE:
        # Before any row is locked: whoever takes the gate after a row waits in a circle.
        await gate.change(connection, caller.workspace, "catalog")
    before, after = await plans.update_plan(connection, caller, command.price_plan_id, command.change)
    if command.mode is not MigrationMode.NONE and after.version != before.version:
        first = 1 if command.all_versions else before.version
        await migrate(connection, caller, (first, before.version), after, command.mode)
    return after


async def migrate(
    connection: Connection, caller: Caller, versions: tuple[int, int], target: PlanVersion, mode: MigrationMode
) -> int:
    """Put accounts that are or will be on versions `(first, last)` of a plan on a later one of it; returns how many.

    Accounts whose currency the version lacks, or to which their override does not fit, stay where they are. An override
    goes on over the new version unless the mode says to ignore it. The caller holds the gate. Raises `WrongState` where
    the plan does not allow what the mode asks for.
    """
    may_migrate(mode, reopens=target.details.reopens)
    found = await store.segments_of_plan(connection, caller.workspace, target.plan, versions, caller.now)
    sources = await plans.versions(connection, caller.workspace, list({one.segment.version for one in found}))
    takeovers = []
    for one in found:
        followed = following(target, one.segment, mode)
        if followed is None or one.currency not in followed.active_currencies:
            continue
        cycle = followed.details.cycle
        assert cycle is not None, "a plan that is associated has a cycle"
        old = sources[one.segment.version].details.cycle
        taken = take_over(one.segment, mode, caller.now, one.closed_until, old, cycle)
        if taken is not None:
            takeovers.append((taken, followed))
    accounts = list({taken.segment.account for taken, _ in takeovers})
    if takeovers:
        await _rewrite(connection, caller, takeovers)
        await _tell_admission(connection, caller, accounts)
    detail = {"versions": list(versions), "to": target.version, "mode": mode, "accounts": len(accounts)}
    await audit.record(connection, caller, "migrate", "price_plan", target.id, detail)
    return len(accounts)


def following(target: PlanVersion, segment: Segment, mode: MigrationMode) -> PlanVersion | None:
    """What is to hold for a segment that comes to a plan version: with its override; None where that does not fit."""
    if segment.override is None or mode.ignores_overrides:
        return target
    try:
        return overridden(target, segment.override)
    except Invalid:
        return None


async def archive_plan(connection: Connection, caller: Caller, identifier: str) -> None:
    """Archive a price plan: it can be read, and no longer be associated or changed; its name is free again.

    Raises `NotFound`, and `WrongState` while an account is or will be on it.
    """
    plan = await plans.hold(connection, caller.workspace, identifier, change=True)
    account = await store.account_on(connection, caller.workspace, plan.plan, caller.now)
    if account is not None:
        raise WrongState(f"account {account!r} is associated with price plan {identifier!r}; disassociate it first")
    await plans.archive(connection, caller, plan)


async def _rewrite(connection: Connection, caller: Caller, takeovers: Sequence[tuple[Takeover, PlanVersion]]) -> None:
    await store.supersede(connection, caller.workspace, [taken.segment.key for taken, _ in takeovers], caller.wall)
    rows = []
    last: tuple[int, PlanVersion] | None = None
    for taken, followed in takeovers:
        old, target = taken.segment, followed
        if followed.override is not None:
            # Parts of an association under one override are on one version, so that they can be joined.
            same = last is not None and last[0] == old.schedule and last[1].override == followed.override
            target = last[1] if last is not None and same else await keep(connection, caller, followed)
            last = (old.schedule, target)
        if taken.before is not None:
            rows.append(NewSegment(old.schedule, old.account, old.version, taken.before, old.calendar, old.grace_days))
        rows.append(
            NewSegment(old.schedule, old.account, target.version_key, taken.after, taken.calendar, taken.grace_days)
        )
    await store.insert_segments(connection, caller.workspace, caller.wall, joined(rows))


async def _tell_admission(connection: Connection, caller: Caller, accounts: Sequence[int]) -> None:
    entries: defaultdict[int, list[CalendarEntry]] = defaultdict(list)
    for segment in await store.segments_of_accounts(connection, caller.workspace, accounts):
        entries[segment.account].append(
            (segment.period.start, segment.period.end, segment.calendar, segment.grace_days)
        )
    await set_calendars(connection, caller, entries)
    await plan_grants.follow(connection, caller, accounts)
