"""`POST /revenue_calculator` of the Togai dialect."""

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, TypeVar

from bursar.accounts import store
from bursar.catalog import meters, plans
from bursar.catalog.definitions import LicenseCard, PlanDetails
from bursar.catalog.model import check_plan
from bursar.core import decimals
from bursar.core.errors import Invalid
from bursar.core.period import FIRST, FOREVER, Period, utc
from bursar.db.database import Connection
from bursar.http.door import Call
from bursar.http.encode import number
from bursar.http.togai.calculator_shapes import (
    CalculateRevenueRequest,
    CalculateRevenueResponse,
    CurrencyConfig,
    FixedFeeRevenueSummary,
    LicenseEntriesConfig,
    NamedLicenseEntriesConfig,
    PricePlanDetailsConfig,
    ProrationConfig,
    RevenueInfo,
    SlabRevenueMetadata,
    SlabRevenueSummary,
    UsageConfig,
    UsageLookupRange,
)
from bursar.http.togai.door import door
from bursar.http.togai.fee_shapes import CurrencyRateValue, FixedFeeRateCard, fee_shape
from bursar.http.togai.license_shapes import license_shape
from bursar.http.togai.plan_references import known_to
from bursar.http.togai.plan_shapes import card_shape, details_shape, plan_of
from bursar.invoicing import calculator
from bursar.invoicing.calculator import Addition, LicenseRevenue, Share, UsageRevenue
from bursar.purchases import store as schedules
from bursar.rating.rate import prorate
from bursar.rating.slabs import SlabCharge

T = TypeVar("T")


class _Plan(NamedTuple):
    """The prices to calculate with, and the number of the cycle, from 0."""

    details: PlanDetails
    active: tuple[str, ...]
    cycle: int


@door.operation(
    "POST",
    "/revenue_calculator",
    id="calculateRevenue",
    tag="Price Experimentation",
    summary="Calculate what a price plan brings",
    body=CalculateRevenueRequest,
    answer=CalculateRevenueResponse,
)
async def calculate_revenue(call: Call, body: CalculateRevenueRequest) -> CalculateRevenueResponse:
    """Calculate what prices and usage would bring; nothing is kept."""
    async with call.db.transaction(call.caller.workspace) as connection:
        currency = await _currency(call, connection, body.currency_config)
        plan = await _plan(call, connection, body.price_plan_details_config)
        used, period = await _usage(call, connection, body.usage_config, plan.details)
        held = await _held(call, connection, body.license_entries_config, plan.details)
        held |= await _named(call, connection, body.named_license_entries_config, plan.details)
        share = await _share(call, connection, body.proration_config)
    result = calculator.calculate(plan.details, currency, used, plan.cycle, share, held)
    fees = [
        RevenueInfo(
            usages={},
            fixed_fee_rate_card=fee_shape(entry.card),
            fixed_fee_revenue_summary=FixedFeeRevenueSummary(revenue=number(entry.amount)),
        )
        for entry in result.fees
    ]
    return CalculateRevenueResponse(
        currency=currency,
        price_plan_details=details_shape(plan.details, "BILLING", plan.active),
        revenue_info=[
            *map(_usage_info, result.usage),
            *fees,
            *map(_license_info, result.licenses),
            *(_added_info(entry, currency) for entry in result.added),
        ],
        usage_lookup_range=None if period is None else UsageLookupRange(start=period.start, end=period.end),
    )


async def _currency(call: Call, connection: Connection, config: CurrencyConfig) -> str:
    if config.mode == "CUSTOM":
        return _needed(config.currency, "currencyConfig.currency")
    account_id = _needed(config.account_id, "currencyConfig.accountId")
    return (await store.get_account(connection, call.caller.workspace, account_id)).currency


async def _plan(call: Call, connection: Connection, config: PricePlanDetailsConfig) -> _Plan:
    path = "pricePlanDetailsConfig"
    cycle = (config.pricing_cycle_ordinal or 1) - 1
    if config.mode == "CUSTOM":
        body = _needed(config.price_plan_details, f"{path}.pricePlanDetails")
        details = plan_of(body, await known_to(connection, call.caller.workspace, body))
        check_plan(details, "BILLING")
        return _Plan(details, (), cycle)
    if config.mode == "PRICE_PLAN":
        identifier = _needed(config.price_plan_id, f"{path}.pricePlanId")
        found = await plans.find(connection, call.caller.workspace, identifier)
        return _Plan(found.details, found.active_currencies, cycle)
    account_id = _needed(config.account_id, f"{path}.accountId")
    running = await calculator.running_cycle(connection, call.caller, account_id, _moment(call, config.effective_on))
    held = await calculator.plan_of(connection, call.caller, running)
    return _Plan(held.details, held.active_currencies, running.number)


async def _usage(
    call: Call, connection: Connection, config: UsageConfig, plan: PlanDetails
) -> tuple[dict[int, Decimal], Period | None]:
    if config.mode == "CUSTOM":
        given = _needed(config.usage_map, "usageConfig.usageMap")
        for identifier, quantity in given.items():
            if not decimals.fits(quantity):
                rule = "must be a number below 10^26 with at most 12 decimals"
                raise Invalid(f"usageConfig.usageMap.{identifier}", rule)
        keys = await meters.meter_keys(connection, call.caller.workspace, list(given))
        for identifier in given:
            if identifier not in keys:
                raise Invalid("usageConfig.usageMap", f"there is no usage meter {identifier!r}")
        return {keys[identifier]: quantity for identifier, quantity in given.items()}, None
    if config.mode == "LOOKUP_RANGE":
        wanted = _needed(config.lookup_range, "usageConfig.lookupRange")
        account = (await store.get_account(connection, call.caller.workspace, wanted.account_id)).key
        period = _period(wanted.start, wanted.end, "usageConfig.lookupRange.end")
    else:
        looked = _needed(config.lookup_cycle, "usageConfig.lookupCycle")
        moment = _moment(call, looked.cycle_effective_on)
        running = await calculator.running_cycle(connection, call.caller, looked.account_id, moment)
        account, period = running.account.key, running.period
    return await calculator.used_in(connection, call.caller, account, plan.usage, period), period


async def _held(
    call: Call, connection: Connection, config: LicenseEntriesConfig, plan: PlanDetails
) -> dict[int, Decimal]:
    """The most licences that are given, or that an account has, by internal key of the add-on."""
    cards = [card for card in plan.licenses if not card.named]
    if config.mode != "CUSTOM":
        return await _held_by(call, connection, config, cards, "licenseEntriesConfig")
    found: dict[int, Decimal] = {}
    for index, entry in enumerate(config.custom or ()):
        if not decimals.fits(entry.quantity) or entry.quantity < 0:
            raise Invalid(f"licenseEntriesConfig.custom[{index}].quantity", "must not be negative, and below 10^26")
        for card in cards:
            if card.add_on_id == entry.license_id:
                found[card.add_on] = max(found.get(card.add_on, Decimal(0)), entry.quantity)
    return found


async def _named(
    call: Call, connection: Connection, config: NamedLicenseEntriesConfig | None, plan: PlanDetails
) -> dict[int, Decimal]:
    """As `_held`, of licences that are counted by names: all that are given."""
    cards = [card for card in plan.licenses if card.named]
    if config is None:
        return {}
    if config.mode != "CUSTOM":
        return await _held_by(call, connection, config, cards, "namedLicenseEntriesConfig")
    names = {(entry.license_id, str(entry.name)) for entry in config.custom or ()}
    return {card.add_on: Decimal(sum(one == card.add_on_id for one, _ in names)) for card in cards}


async def _held_by(
    call: Call,
    connection: Connection,
    config: LicenseEntriesConfig | NamedLicenseEntriesConfig,
    cards: list[LicenseCard],
    path: str,
) -> dict[int, Decimal]:
    if config.mode == "LOOKUP_RANGE":
        wanted = _needed(config.lookup_range, f"{path}.lookupRange")
        account = await schedules.find_account(connection, call.caller.workspace, wanted.account_id)
        period = _period(wanted.start, wanted.end, f"{path}.lookupRange.end")
        return await calculator.held_in(connection, call.caller, account, cards, period)
    looked = _needed(config.lookup_cycle, f"{path}.lookupCycle")
    moment = _moment(call, looked.cycle_effective_on)
    running = await calculator.running_cycle(connection, call.caller, looked.account_id, moment)
    return await calculator.held_in(connection, call.caller, running.account, cards, running.period)


async def _share(call: Call, connection: Connection, config: ProrationConfig | None) -> Share | None:
    if config is None:
        return None
    if config.mode == "CUSTOM":
        path = "prorationConfig.customConfig"
        custom = _needed(config.custom_config, path)
        cycle = _period(custom.cycle_start_date, custom.cycle_end_date, f"{path}.cycleEndDate")
        return calculator.share_of(cycle, utc(custom.current_date), call.caller.timezone, f"{path}.currentDate")
    path = "prorationConfig.lookupCycleConfig"
    looked = _needed(config.lookup_cycle_config, path)
    moment = _moment(call, looked.cycle_effective_on)
    running = await calculator.running_cycle(connection, call.caller, looked.account_id, moment)
    current = _moment(call, looked.current_date_time)
    whole = running.segment.calendar.cycle_at(running.period.start)
    return calculator.share_of(whole, current, running.account.zone, f"{path}.currentDateTime")


def _needed(value: T | None, field: str) -> T:
    if value is None:
        raise Invalid(field, "is required in this mode")
    return value


def _moment(call: Call, given: datetime | None) -> datetime:
    return call.caller.now if given is None else utc(given)


def _period(start: datetime, end: datetime, field: str) -> Period:
    if not FIRST <= utc(start) < utc(end) <= FOREVER:
        raise Invalid(field, "must be later than the start, and both lie between 1970-01-01 and 9999-01-01")
    return Period(utc(start), utc(end))


def _usage_info(entry: UsageRevenue) -> RevenueInfo:
    charges = {charged.slab.order: charged for charged in entry.charge.slabs}
    slabs = [_slab(slab.order, charges.get(slab.order)) for slab in entry.card.slabs]
    if entry.charge.bound is not None:
        slabs.append(
            SlabRevenueSummary(
                order=0,
                usage=Decimal(0),
                revenue=number(entry.charge.adjustment),
                metadata=_metadata(entry.charge.bound, None),
            )
        )
    if entry.ruled:
        slabs.append(SlabRevenueSummary(order=0, usage=Decimal(0), revenue=number(entry.ruled)))
    return RevenueInfo(
        usages={entry.card.meter_id: number(entry.charge.quantity)},
        usage_rate_card=card_shape(entry.card),
        slab_revenue_summaries=slabs,
    )


def _license_info(entry: LicenseRevenue) -> RevenueInfo:
    charges = {charged.slab.order: charged for charged in entry.charge.slabs}
    share = entry.share
    slabs = [_slab(slab.order, charges.get(slab.order)) for slab in entry.card.slabs]
    if entry.charge.bound is not None:
        metadata = _metadata(entry.charge.bound, None)
        adjustment = number(entry.charge.adjustment)
        slabs.append(SlabRevenueSummary(order=0, usage=Decimal(0), revenue=adjustment, metadata=metadata))
    for one in slabs:
        one.revenue = number(prorate(one.revenue, share.days, share.of_days))
    return RevenueInfo(
        usages={entry.card.add_on_id: number(entry.charge.quantity)},
        license_rate_card=license_shape(entry.card),
        license_revenue_summary=slabs,
    )


def _added_info(entry: Addition, currency: str) -> RevenueInfo:
    """What a pricing rule adds, in the form of a fixed fee of so much: the contract has no other for it."""
    rule = entry.rule
    return RevenueInfo(
        usages={},
        fixed_fee_rate_card=FixedFeeRateCard(
            id=rule.key,
            name=rule.name[:50],
            display_name=rule.action.description or rule.name,
            enable_proration=False,
            invoice_timing="IN_ADVANCE" if rule.in_advance else "IN_ARREARS",
            rate_values=[CurrencyRateValue(currency=currency, rate=number(entry.amount))],
        ),
        fixed_fee_revenue_summary=FixedFeeRevenueSummary(revenue=number(entry.amount)),
    )


def _slab(order: int, charged: SlabCharge | None) -> SlabRevenueSummary:
    if charged is None:
        return SlabRevenueSummary(order=order, usage=Decimal(0), revenue=Decimal(0))
    return SlabRevenueSummary(
        order=order,
        usage=number(charged.quantity),
        revenue=number(charged.amount),
        metadata=_metadata(charged.bound, charged.packages),
    )


def _metadata(bound: str | None, packages: Decimal | None) -> SlabRevenueMetadata | None:
    if bound is None and packages is None:
        return None
    return SlabRevenueMetadata(
        minimum_rate_applied=True if bound == "minimum" else None,
        maximum_rate_applied=True if bound == "maximum" else None,
        package_quantity=None if packages is None else int(packages),
    )
