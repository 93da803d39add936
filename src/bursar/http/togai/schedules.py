"""Pricing schedules of an account in the Togai dialect."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta

from bursar.catalog import plans
from bursar.catalog.plans import PlanChange, PlanVersion
from bursar.core.decimals import NUMERAL
from bursar.core.errors import Invalid
from bursar.core.period import parse_instant
from bursar.db.database import Connection
from bursar.http.door import Answer, Body, Call
from bursar.http.togai.door import MixedPageQuery, door, open_token, seal_token
from bursar.http.togai.overrides import PricePlanDetailsOverride, override_of, override_shape
from bursar.http.togai.plan_shapes import CreatePricePlanDetailsOverride, PricePlanDetails, details_shape
from bursar.http.togai.rule_shapes import PricingRuleShape, RuleList, rules_of, rules_shape
from bursar.purchases import service
from bursar.purchases.license_model import Kind, NewUpdate
from bursar.purchases.licenses import grant_licenses
from bursar.purchases.model import Segment
from bursar.purchases.service import Associate, Disassociate, Edit, Schedules

TAG = "Accounts"

InstantText = Annotated[str, Meta(max_length=50)]
ConfigName = Annotated[str, Meta(max_length=50)]
ConfigText = Annotated[str, Meta(max_length=100)]


class UpdatePricingScheduleRequest(Body, kw_only=True):
    """Which plan an account is to be on, or off, and when."""

    effective_from: date
    effective_until: date
    mode: Literal["ASSOCIATE", "DISASSOCIATE"] = "ASSOCIATE"
    price_plan_id: Annotated[str, Meta(min_length=1, max_length=50)] | None = None
    price_plan_details_override: CreatePricePlanDetailsOverride | None = None
    pricing_rules_override: RuleList | None = None
    retain_start_offsets: bool = False


class PreAction(Body, kw_only=True):
    """What is to happen before: licences that an account gets. `config` has texts, as an update has their values."""

    type: Literal["GRANT_LICENSE"]
    config: Annotated[dict[ConfigName, ConfigText], Meta(max_length=10)] | None = None


class UpdatePricingScheduleRequestWithActions(UpdatePricingScheduleRequest, kw_only=True):
    """Which plan an account is to be on, or off, and when, and what is to happen before."""

    pre_actions: Annotated[list[PreAction], Meta(max_length=10)] | None = None


class EditPricingScheduleRequest(Body, kw_only=True):
    """Changes of an account's plans, one after the other."""

    edits: Annotated[list[UpdatePricingScheduleRequest], Meta(min_length=1, max_length=10)]


class DryRunQuery(MixedPageQuery, kw_only=True, rename=None):
    """Whether only to show what would be."""

    dry_run: bool | None = None


class PlanOverride(Answer, kw_only=True):
    """A plan over time."""

    id: str
    price_plan_id: str
    price_plan_name: str
    start_date: datetime
    end_date: datetime
    price_plan_details_override: PricePlanDetailsOverride | None = None
    pricing_rules_override: list[PricingRuleShape] | None = None


class UpdatePricingScheduleResponse(Answer, kw_only=True):
    """The plans of an account after a change."""

    account_id: str
    account_name: str
    pricing_schedules: list[PlanOverride]


class PricePlanInfo(Answer, kw_only=True):
    """What a plan is called."""

    name: str
    description: str | None = None


class PricingScheduleWithPricePlanId(Answer, kw_only=True):
    """A plan over time, with what it says."""

    id: str
    start_date: datetime
    end_date: datetime
    version: int
    is_overriden: bool
    price_plan_id: str
    price_plan_name: str
    pricing_rules: list[PricingRuleShape]
    price_plan_details: PricePlanDetails | None = None
    price_plan_info: PricePlanInfo | None = None


class PricingSchedulePaginatedResponse(Answer, kw_only=True):
    """A page of schedules."""

    data: list[PricingScheduleWithPricePlanId]
    next_token: str | None


class SchedulesQuery(MixedPageQuery, kw_only=True, rename=None):
    """Which schedules to list, and how much to say of them."""

    start_date: InstantText | None = None
    end_date: InstantText | None = None
    include_price_plan_info: bool | None = None
    compact: bool | None = None


@door.operation(
    "POST",
    "/accounts/{account_id}/price_plans",
    id="updatePricingSchedule",
    tag=TAG,
    summary="Associate or disassociate a price plan with an account",
    scope="write",
    body=UpdatePricingScheduleRequestWithActions,
    answer=UpdatePricingScheduleResponse,
)
async def update_pricing_schedule(
    call: Call, body: UpdatePricingScheduleRequestWithActions
) -> UpdatePricingScheduleResponse:
    """Change the plan of an account."""
    actions = [_granted(call, action, f"preActions[{n}].config") for n, action in enumerate(body.pre_actions or ())]
    async with call.db.transaction(call.caller.workspace) as connection:
        command = await _command(connection, call, body)
        if actions:
            # Before any row is held.
            await service.enter(connection, call.caller, call.path["account_id"])
        for place, action in enumerate(actions):
            try:
                await grant_licenses(connection, call.caller, action)
            except Invalid as error:
                raise Invalid(f"preActions[{place}].config.{error.field}", error.rule) from None
        if isinstance(command, Disassociate):
            return _changed(await service.disassociate(connection, call.caller, command))
        return _changed(await service.associate(connection, call.caller, command))


def _granted(call: Call, action: PreAction, path: str) -> NewUpdate:
    config = dict(action.config or {})
    found = {name: config.pop(name, None) for name in ("licenseId", "updateType", "quantity", "effectiveFrom")}
    if config:
        raise Invalid(path, f"has no {min(config)!r}")
    for name in ("licenseId", "updateType", "quantity"):
        if found[name] is None:
            raise Invalid(f"{path}.{name}", "is required")
    kinds: dict[str | None, Kind] = {"RELATIVE": "RELATIVE", "ABSOLUTE": "ABSOLUTE"}
    kind, amount = kinds.get(found["updateType"]), found["quantity"] or ""
    if kind is None:
        raise Invalid(f"{path}.updateType", "must be RELATIVE or ABSOLUTE")
    if not NUMERAL.fullmatch(amount):
        raise Invalid(f"{path}.quantity", "must be a number below 10^26 with at most 12 decimals, as text")
    try:
        start = None if found["effectiveFrom"] is None else parse_instant(found["effectiveFrom"])
    except ValueError:
        raise Invalid(f"{path}.effectiveFrom", "must be an ISO 8601 date or instant") from None
    account = call.path["account_id"]
    return NewUpdate(found["licenseId"] or "", account, kind, Decimal(amount), start)


@door.operation(
    "POST",
    "/accounts/{account_id}/edit_schedules",
    id="updatePricingScheduleBatch",
    tag=TAG,
    summary="Edit the schedules of an account",
    scope="write",
    body=EditPricingScheduleRequest,
    query=DryRunQuery,
    answer=UpdatePricingScheduleResponse,
)
async def update_pricing_schedule_batch(
    call: Call, body: EditPricingScheduleRequest, query: DryRunQuery
) -> UpdatePricingScheduleResponse:
    """Make several changes of the plans of an account, or show what they would make."""
    account_id, edits = call.path["account_id"], []
    async with call.db.transaction(call.caller.workspace) as connection:
        for index, entry in enumerate(body.edits):
            try:
                edits.append(await _command(connection, call, entry))
            except Invalid as error:
                raise Invalid(f"edits[{index}].{error.field}", error.rule) from None
        dry_run = bool(query.dry_run)
        return _changed(await service.edit_schedules(connection, call.caller, account_id, edits, dry_run=dry_run))


@door.operation(
    "GET",
    "/accounts/{account_id}/pricing_schedules",
    id="getPricingSchedules",
    tag=TAG,
    summary="List the pricing schedules of an account",
    query=SchedulesQuery,
    answer=PricingSchedulePaginatedResponse,
)
async def get_pricing_schedules(call: Call, query: SchedulesQuery) -> PricingSchedulePaginatedResponse:
    """List the plans of an account."""
    query, after, size = open_token(query)
    start, end = _instant(query.start_date, "start_date"), _instant(query.end_date, "end_date")
    async with call.db.transaction(call.caller.workspace) as connection:
        page = await service.list_segments(connection, call.caller, call.path["account_id"], start, end, after, size)
        versions = await plans.versions(connection, call.caller.workspace, [s.version for s in page.items])
    return PricingSchedulePaginatedResponse(
        data=[_shape(segment, versions[segment.version], query) for segment in page.items],
        next_token=seal_token(query, page.after, size),
    )


def _instant(text: str | None, field: str) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_instant(text)
    except ValueError:
        raise Invalid(field, "must be an ISO 8601 date and time") from None


async def _command(connection: Connection, call: Call, body: UpdatePricingScheduleRequest) -> Edit:
    account_id = call.path["account_id"]
    rules = rules_of(body.pricing_rules_override)
    override = await override_of(connection, call.caller.workspace, body.price_plan_details_override, rules)
    if body.mode == "DISASSOCIATE":
        if override is not None:
            field = "pricePlanDetailsOverride" if rules is None else "pricingRulesOverride"
            raise Invalid(field, "must be left out of a DISASSOCIATE")
        return Disassociate(account_id, body.effective_from, body.effective_until, body.price_plan_id)
    if body.price_plan_id is None:
        raise Invalid("pricePlanId", "is required to associate a price plan")
    return Associate(
        account_id,
        body.price_plan_id,
        body.effective_from,
        body.effective_until,
        body.retain_start_offsets,
        override,
    )


def _changed(schedules: Schedules) -> UpdatePricingScheduleResponse:
    return UpdatePricingScheduleResponse(
        account_id=schedules.account.togai_id,
        account_name=schedules.account.name,
        pricing_schedules=[
            PlanOverride(
                id=segment.schedule_id,
                price_plan_id=segment.price_plan_id,
                price_plan_name=segment.price_plan_name,
                start_date=segment.period.start,
                end_date=segment.period.end,
                price_plan_details_override=override_shape(segment.override),
                pricing_rules_override=_rules(segment.override),
            )
            for segment in schedules.segments
        ],
    )


def _rules(override: PlanChange | None) -> list[PricingRuleShape] | None:
    return None if override is None or override.rules is None else rules_shape(override.rules)


def _shape(segment: Segment, plan: PlanVersion, query: SchedulesQuery) -> PricingScheduleWithPricePlanId:
    details = None if query.compact else details_shape(plan.details, plan.type, plan.active_currencies)
    info = PricePlanInfo(name=plan.name, description=plan.description) if query.include_price_plan_info else None
    return PricingScheduleWithPricePlanId(
        id=segment.schedule_id,
        start_date=segment.period.start,
        end_date=segment.period.end,
        version=segment.version_number,
        is_overriden=segment.override is not None,
        price_plan_id=segment.price_plan_id,
        price_plan_name=segment.price_plan_name,
        pricing_rules=[] if query.compact else rules_shape(plan.details.rules),
        price_plan_details=details,
        price_plan_info=info,
    )
