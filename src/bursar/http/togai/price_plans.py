"""Price plans in the Togai dialect."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from bursar.catalog import plans
from bursar.catalog.definitions import PlanDetails
from bursar.catalog.plans import NewPlan, PlanVersion
from bursar.core.period import FIRST, FOREVER
from bursar.http.door import Answer, Body, Call, Query
from bursar.http.togai.door import PageQuery, PaginationOptions, Success, door, open_token, seal_token
from bursar.http.togai.fee_shapes import CurrencyText
from bursar.http.togai.plan_references import known_to
from bursar.http.togai.plan_shapes import (
    CreatePricePlanDetails,
    CreatePricePlanDetailsOverride,
    PricePlanDetails,
    change_of,
    details_shape,
    plan_of,
)
from bursar.http.togai.rule_shapes import PricingRuleShape, RuleList, rules_of, rules_shape
from bursar.purchases import plan_changes
from bursar.purchases.model import MigrationMode
from bursar.purchases.plan_changes import UpdatePlan

TAG = "Price Plans"


class CreatePricePlanRequest(Body, kw_only=True):
    """A price plan to make."""

    name: Annotated[str, Meta(min_length=1, max_length=50)]
    price_plan_details: CreatePricePlanDetails
    description: Annotated[str, Meta(max_length=255)] | None = None
    type: Literal["BILLING", "PURCHASE"] | None = None
    pricing_rules: RuleList | None = None


class ActivatePricePlanRequest(Body, kw_only=True):
    """Which currencies to put in force."""

    currencies: Annotated[list[CurrencyText], Meta(min_length=1, max_length=50)]


class UpdatePricePlanRequest(Body, kw_only=True):
    """What to change of a price plan, and who follows."""

    migration_mode: (
        Literal[
            "IMMEDIATE",
            "IMMEDIATE_IGNORE_OVERRIDE",
            "NEXT_CYCLE",
            "NEXT_CYCLE_IGNORE_OVERRIDE",
            "NONE",
            "START_OF_CURRENT_CYCLE",
        ]
        | None
    ) = None
    versions_to_migrate: Literal["LATEST_VERSION", "ALL_VERSION"] | None = None
    description: Annotated[str, Meta(max_length=255)] | None = None
    price_plan_details: CreatePricePlanDetailsOverride | None = None
    pricing_rules: RuleList | None = None


class DryRunQuery(Query, kw_only=True, rename=None):
    """Whether only to check."""

    dry_run: bool | None = None


class VersionQuery(Query, kw_only=True):
    """Which version to show."""

    version: Annotated[int, Meta(ge=1, le=2_000_000_000)] | None = None


class PricingScheduleShape(Answer, kw_only=True):
    """A version of a plan over time."""

    id: str
    start_date: datetime
    end_date: datetime
    version: int
    is_overriden: bool
    price_plan_details: PricePlanDetails
    pricing_rules: list[PricingRuleShape]


class PricePlanShape(Answer, kw_only=True):
    """A price plan."""

    id: str
    name: str
    type: str
    status: str
    pricing_schedule: list[PricingScheduleShape]
    description: str | None = None


class PricePlanListData(Answer, kw_only=True):
    """A price plan in a list."""

    id: str
    name: str
    version: int
    status: str
    type: str
    usage_meters: list[str]
    price_plan_details: PricePlanDetails
    pricing_rules: list[PricingRuleShape]
    created_at: datetime
    updated_at: datetime
    description: str | None = None


class PricePlanPaginatedResponse(Answer, kw_only=True):
    """A page of price plans."""

    data: list[PricePlanListData]
    next_token: str | None
    context: PaginationOptions


@door.operation(
    "POST",
    "/price_plans",
    id="createPricePlan",
    tag=TAG,
    summary="Create a price plan",
    scope="write",
    body=CreatePricePlanRequest,
    query=DryRunQuery,
    answer=PricePlanShape,
)
async def create_price_plan(call: Call, body: CreatePricePlanRequest, query: DryRunQuery) -> PricePlanShape:
    """Make a draft of a price plan, or only check it."""
    async with call.db.transaction(call.caller.workspace) as connection:
        details, workspace = body.price_plan_details, call.caller.workspace
        known = await known_to(connection, workspace, details)
        new = NewPlan(
            name=body.name,
            type=body.type or "BILLING",
            description=body.description,
            details=plan_of(details, known, rules_of(body.pricing_rules)),
        )
        if query.dry_run:
            await plans.check_new(connection, call.caller, new)
            return _dry(new)
        return plan_shape(await plans.create_plan(connection, call.caller, new))


@door.operation(
    "GET",
    "/price_plans",
    id="getPricePlans",
    tag=TAG,
    summary="List price plans",
    query=PageQuery,
    answer=PricePlanPaginatedResponse,
)
async def get_price_plans(call: Call, query: PageQuery) -> PricePlanPaginatedResponse:
    """List price plans."""
    query, after, size = open_token(query)
    async with call.db.transaction(call.caller.workspace) as connection:
        page = await plans.list_plans(connection, call.caller.workspace, after, size)
    return PricePlanPaginatedResponse(
        data=[_list_shape(plan) for plan in page.items],
        next_token=seal_token(query, page.after, size),
        context=PaginationOptions(page_size=size, sort_order="ASC"),
    )


@door.operation(
    "GET",
    "/price_plans/{price_plan_id}",
    id="getPricePlan",
    tag=TAG,
    summary="Get a price plan",
    query=VersionQuery,
    answer=PricePlanShape,
)
async def get_price_plan(call: Call, query: VersionQuery) -> PricePlanShape:
    """Read a price plan."""
    async with call.db.transaction(call.caller.workspace) as connection:
        identifier = call.path["price_plan_id"]
        return plan_shape(await plans.find(connection, call.caller.workspace, identifier, query.version))


@door.operation(
    "POST",
    "/price_plans/{price_plan_id}/activate",
    id="activatePricePlan",
    tag=TAG,
    summary="Activate currencies of a price plan",
    scope="write",
    body=ActivatePricePlanRequest,
    answer=PricePlanShape,
)
async def activate_price_plan(call: Call, body: ActivatePricePlanRequest) -> PricePlanShape:
    """Put currencies of a plan in force."""
    async with call.db.transaction(call.caller.workspace) as connection:
        identifier = call.path["price_plan_id"]
        return plan_shape(await plans.activate_plan(connection, call.caller, identifier, body.currencies))


@door.operation(
    "PATCH",
    "/price_plans/{price_plan_id}",
    id="updatePricePlan",
    tag=TAG,
    summary="Update a price plan",
    scope="write",
    body=UpdatePricePlanRequest,
    answer=PricePlanShape,
)
async def update_price_plan(call: Call, body: UpdatePricePlanRequest) -> PricePlanShape:
    """Change a draft, or make a new version of a plan in force."""
    identifier, workspace = call.path["price_plan_id"], call.caller.workspace
    details = body.price_plan_details or CreatePricePlanDetailsOverride()
    async with call.db.transaction(workspace) as connection:
        await plans.find(connection, workspace, identifier)
        known = await known_to(connection, workspace, details)
        command = UpdatePlan(
            price_plan_id=identifier,
            change=change_of(details, known, description=body.description, rules=rules_of(body.pricing_rules)),
            mode=MigrationMode(body.migration_mode or "NONE"),
            all_versions=body.versions_to_migrate == "ALL_VERSION",
        )
        return plan_shape(await plan_changes.update_plan(connection, call.caller, command))


@door.operation(
    "DELETE",
    "/price_plans/{price_plan_id}",
    id="archivePricePlan",
    tag=TAG,
    summary="Archive a price plan",
    scope="write",
    answer=Success,
)
async def archive_price_plan(call: Call) -> Success:
    """Take a plan out of use."""
    async with call.db.transaction(call.caller.workspace) as connection:
        await plan_changes.archive_plan(connection, call.caller, call.path["price_plan_id"])
    return Success(success=True)


def _dry(new: NewPlan) -> PricePlanShape:
    return PricePlanShape(
        id="pp.dry-run",
        name=new.name,
        type=new.type,
        status="DRAFT",
        description=new.description,
        pricing_schedule=[_schedule("sch.dry-run", 1, details_shape(new.details, new.type, ()), new.details)],
    )


def plan_shape(plan: PlanVersion) -> PricePlanShape:
    """A price plan as the wire shows it."""
    details = details_shape(plan.details, plan.type, plan.active_currencies)
    return PricePlanShape(
        id=plan.id,
        name=plan.name,
        type=plan.type,
        status=plan.status,
        description=plan.description,
        pricing_schedule=[_schedule(plan.version_id, plan.version, details, plan.details)],
    )


def _schedule(identifier: str, version: int, details: PricePlanDetails, said: PlanDetails) -> PricingScheduleShape:
    return PricingScheduleShape(
        id=identifier,
        start_date=FIRST,
        end_date=FOREVER,
        version=version,
        is_overriden=False,
        price_plan_details=details,
        pricing_rules=rules_shape(said.rules),
    )


def _list_shape(plan: PlanVersion) -> PricePlanListData:
    return PricePlanListData(
        id=plan.id,
        name=plan.name,
        version=plan.version,
        status=plan.status,
        type=plan.type,
        usage_meters=[card.meter_id for card in plan.details.usage],
        price_plan_details=details_shape(plan.details, plan.type, plan.active_currencies),
        pricing_rules=rules_shape(plan.details.rules),
        created_at=plan.created_at,
        updated_at=plan.updated_at,
        description=plan.description,
    )
