"""Price-plan migrations in the Togai dialect."""

from typing import Annotated, Literal

from msgspec import Meta, field

from bursar.core.errors import Invalid
from bursar.http.door import Body, Call
from bursar.http.togai.door import Success, door
from bursar.purchases.migration import Migration, ask_migration
from bursar.purchases.model import MigrationMode

TAG = "Price Plans"

PlanId = Annotated[str, Meta(min_length=1, max_length=255)]
VersionNumber = Annotated[int, Meta(ge=1, le=2_000_000_000)]


class CreatePricePlanMigrationRequest(Body, kw_only=True):
    """From which version of a plan accounts are to move to which."""

    source_id: PlanId
    source_version: VersionNumber
    migration_mode: Literal[
        "IMMEDIATE",
        "IMMEDIATE_IGNORE_OVERRIDE",
        "NEXT_CYCLE",
        "NEXT_CYCLE_IGNORE_OVERRIDE",
        "START_OF_CURRENT_CYCLE",
    ]
    target_id: PlanId | None = None
    target_version: VersionNumber | None = None
    retain_start_offsets: bool = False
    is_price_plan_v2_migration: bool = field(default=False, name="isPricePlanV2Migration")
    require_confirmation: bool = False


@door.operation(
    "POST",
    "/price_plans/migration",
    id="pricePlanMigration",
    tag=TAG,
    summary="Create a price plan migration",
    status=201,
    scope="write",
    body=CreatePricePlanMigrationRequest,
    answer=Success,
)
async def price_plan_migration(call: Call, body: CreatePricePlanMigrationRequest) -> Success:
    """Ask for a migration, which is done as a job."""
    if body.is_price_plan_v2_migration:
        raise Invalid("isPricePlanV2Migration", "is not supported yet")
    command = Migration(
        source_id=body.source_id,
        source_version=body.source_version,
        target_id=body.target_id,
        target_version=body.target_version,
        mode=MigrationMode(body.migration_mode),
        retain_start_offsets=body.retain_start_offsets,
        confirm=body.require_confirmation,
    )
    async with call.db.transaction(call.caller.workspace) as connection:
        await ask_migration(connection, call.caller, command)
    return Success(success=True)
