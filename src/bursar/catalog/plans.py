"""Price plans: making, activating and reading them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from bursar.catalog.definitions import (
    Commitment,
    CycleDefinition,
    EntitlementCard,
    FeeCard,
    LicenseCard,
    PlanDetails,
    PricingRule,
    UsageCard,
    from_text,
    to_text,
)
from bursar.catalog.model import check_plan
from bursar.catalog.pricing_rules import kept
from bursar.catalog.schemas import queries
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, NotFound, Taken, WrongState
from bursar.core.ids import draw
from bursar.core.page import Page, key_of
from bursar.db import audit
from bursar.db.database import Connection, Row


@dataclass(frozen=True, slots=True)
class PlanVersion:
    """One version of a price plan."""

    plan: int
    """Internal key of the plan."""
    version_key: int
    """Internal key of the version."""
    id: str
    name: str
    type: str
    description: str | None
    status: str
    version: int
    revision: int
    version_id: str
    """The version's own wire id, `sch.`"""
    details: PlanDetails
    active_currencies: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    override: "PlanChange | None" = None
    """What this says otherwise than the plan's version, for a single association."""


@dataclass(frozen=True, slots=True)
class NewPlan:
    """A price plan to make."""

    name: str
    type: str
    description: str | None
    details: PlanDetails


@dataclass(frozen=True, slots=True)
class PlanChange:
    """What to change of a price plan; None leaves it as it is. A list of cards or rules replaces those of its kind."""

    description: str | None = None
    currencies: list[str] | None = None
    cycle: CycleDefinition | None = None
    usage: list[UsageCard] | None = None
    fees: list[FeeCard] | None = None
    commitment: Commitment | None = None
    rules: list[PricingRule] | None = None
    entitlements: list[EntitlementCard] | None = None
    licenses: list[LicenseCard] | None = None

    def applied(self, details: PlanDetails) -> PlanDetails:
        """What a plan says with the change."""
        parts = {
            "currencies": self.currencies,
            "cycle": self.cycle,
            "usage": self.usage,
            "fees": self.fees,
            "commitment": self.commitment,
            "rules": self.rules,
            "entitlements": self.entitlements,
            "licenses": self.licenses,
        }
        return msgspec.structs.replace(details, **{name: part for name, part in parts.items() if part is not None})


def change_from(text: str | None) -> PlanChange | None:
    """The change that a jsonb column holds."""
    return None if text is None else msgspec.json.decode(text, type=PlanChange)


async def check_new(connection: Connection, caller: Caller, new: NewPlan) -> None:
    """Raise `Invalid` for a plan that cannot be made: a dry run is this and nothing else."""
    if not new.name.strip():
        raise Invalid("name", "must not be blank")
    if await connection.fetchval(queries.plan_name_taken, caller.workspace, new.name):
        raise Taken("name", f"there is a price plan {new.name!r} already")
    await _check_details(connection, caller, new.details, new.type)


async def create_plan(connection: Connection, caller: Caller, new: NewPlan) -> PlanVersion:
    """A draft of a price plan in its first version. Raises `Taken` for a known name."""
    await check_new(connection, caller, new)
    identifier = draw("pp")
    key = await connection.fetchval(
        queries.insert_plan, caller.workspace, identifier, new.name, new.type, new.description, caller.wall
    )
    if key is None:
        raise Taken("name", f"there is a price plan {new.name!r} already")
    await _insert_version(connection, caller, key, draw("sch"), 1, 1, kept(new.details))
    await audit.record(connection, caller, "create", "price_plan", identifier)
    return await find(connection, caller.workspace, identifier)


async def activate_plan(
    connection: Connection, caller: Caller, identifier: str, currencies: Sequence[str]
) -> PlanVersion:
    """Put some of a plan's currencies in force, and with the first of them the plan."""
    plan = await hold(connection, caller.workspace, identifier, change=True)
    if plan.status == "ARCHIVED":
        raise WrongState(f"price plan {identifier!r} is archived")
    for index, currency in enumerate(currencies):
        if currency not in plan.details.currencies:
            raise Invalid(f"currencies[{index}]", f"{currency!r} is not among the plan's supported currencies")
    await connection.execute(
        queries.activate_currencies, plan.version_key, caller.workspace, caller.wall, list(currencies)
    )
    await connection.execute(queries.activate_plan, plan.plan, caller.wall)
    await audit.record(connection, caller, "activate", "price_plan", identifier, {"currencies": sorted(currencies)})
    return await find(connection, caller.workspace, identifier)


async def update_plan(
    connection: Connection, caller: Caller, identifier: str, change: PlanChange
) -> tuple[PlanVersion, PlanVersion]:
    """Change a price plan; returns it as it was and as it is.

    A draft is changed as it stands. What else a plan says becomes a new version, in force at once in the currencies
    that were; nobody is on it yet. Where nothing is said anew there is no new version.
    """
    before = await hold(connection, caller.workspace, identifier, change=True)
    if before.status == "ARCHIVED":
        raise WrongState(f"price plan {identifier!r} is archived")
    details = change.applied(before.details)
    for currency in before.active_currencies:
        if currency not in details.currencies:
            raise Invalid("pricePlanDetails.supportedCurrencies", f"{currency!r} is active and cannot be taken away")
    await _check_details(connection, caller, details, before.type)
    details = kept(details, before.details)
    if details != before.details:
        if before.status == "DRAFT":
            version, revision, wire_id = before.version, before.revision + 1, before.version_id
        else:
            version, revision, wire_id = before.version + 1, 1, draw("sch")
        key = await _insert_version(connection, caller, before.plan, wire_id, version, revision, details)
        active = list(before.active_currencies)
        await connection.execute(queries.activate_currencies, key, caller.workspace, caller.wall, active)
    await connection.execute(queries.describe_plan, before.plan, change.description, caller.wall)
    after = await find(connection, caller.workspace, identifier)
    await audit.record(connection, caller, "update", "price_plan", identifier, {"version": after.version})
    return before, after


async def revise(
    connection: Connection, caller: Caller, plan: PlanVersion, details: PlanDetails, action: str
) -> PlanVersion:
    """Let the newest version of a plan, held for a change, say something more that nobody on it is billed by."""
    await _check_details(connection, caller, details, plan.type)
    key = await _insert_version(
        connection, caller, plan.plan, plan.version_id, plan.version, plan.revision + 1, details
    )
    active = list(plan.active_currencies)
    await connection.execute(queries.activate_currencies, key, caller.workspace, caller.wall, active)
    await connection.execute(queries.describe_plan, plan.plan, None, caller.wall)
    await audit.record(connection, caller, action, "price_plan", plan.id)
    return await find(connection, caller.workspace, plan.id)


async def archive(connection: Connection, caller: Caller, plan: PlanVersion) -> None:
    """Archive a plan that is held for a change and that nobody is on."""
    if plan.status == "ARCHIVED":
        raise WrongState(f"price plan {plan.id!r} is archived")
    await connection.execute(queries.archive_plan, plan.plan, caller.wall)
    await audit.record(connection, caller, "archive", "price_plan", plan.id)


async def hold(connection: Connection, workspace: int, identifier: str, *, change: bool = False) -> PlanVersion:
    """A price plan in its newest version, kept so until the transaction ends; with `change` for oneself alone."""
    await connection.execute(queries.lock_plan if change else queries.hold_plan, workspace, identifier)
    return await find(connection, workspace, identifier)


async def find(connection: Connection, workspace: int, identifier: str, version: int | None = None) -> PlanVersion:
    """A price plan by id, in its newest version or the one that is asked for. Raises `NotFound`."""
    row = await connection.fetchrow(queries.plan, workspace, identifier, version)
    if row is None:
        raise NotFound("price plan", identifier if version is None else f"{identifier} version {version}")
    return _plan(row)


async def versions(connection: Connection, workspace: int, keys: Sequence[int]) -> dict[int, PlanVersion]:
    """Plan versions by internal key."""
    rows = await connection.fetch(queries.plan_versions, workspace, list(keys))
    return {row["version_key"]: _plan(row) for row in rows}


async def version(connection: Connection, workspace: int, key: int) -> PlanVersion:
    """A plan version by internal key. Raises `NotFound`."""
    found = await versions(connection, workspace, [key])
    if key not in found:
        raise NotFound("price plan version", str(key))
    return found[key]


async def list_plans(connection: Connection, workspace: int, after: str | None, limit: int) -> Page[PlanVersion]:
    """Price plans in the order of their making."""
    rows = await connection.fetch(queries.plans, workspace, key_of(after), limit + 1)
    items = [_plan(row) for row in rows[:limit]]
    return Page(items, str(items[-1].plan) if len(rows) > limit else None)


async def _check_details(connection: Connection, caller: Caller, details: PlanDetails, kind: str) -> None:
    found = await connection.fetch(queries.currencies, caller.workspace, details.currencies)
    known = {row["code"] for row in found}
    for index, currency in enumerate(details.currencies):
        if currency not in known:
            raise Invalid(
                f"pricePlanDetails.supportedCurrencies[{index}]", f"{currency!r} is not a currency of this workspace"
            )
    check_plan(details, kind)


async def _insert_version(
    connection: Connection, caller: Caller, plan: int, wire_id: str, version: int, revision: int, details: PlanDetails
) -> int:
    key: int = await connection.fetchval(
        queries.insert_plan_version, caller.workspace, plan, wire_id, version, revision, to_text(details), caller.wall
    )
    return key


def _plan(row: Row) -> PlanVersion:
    return PlanVersion(
        plan=row["key"],
        version_key=row["version_key"],
        id=row["wire_id"],
        name=row["name"],
        type=row["type"],
        description=row["description"],
        status=row["status"],
        version=row["version"],
        revision=row["revision"],
        version_id=row["version_wire_id"],
        details=from_text(row["details"], PlanDetails),
        active_currencies=tuple(row["active"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        override=change_from(row["override"]),
    )
