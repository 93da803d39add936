"""The catalogue in its database: what admission loads, twins that meet, and the walls between workspaces."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from bursar.catalog import meters, plans, schemas, snapshot
from bursar.catalog.definitions import (
    AttributeDefinition,
    CardRates,
    CycleDefinition,
    Filter,
    MeterDefinition,
    PlanDetails,
    SchemaDefinition,
    SlabDefinition,
    SlabRate,
    UsageCard,
)
from bursar.catalog.plans import NewPlan
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, NotFound, Taken, WrongState
from bursar.db.database import Connection, Database

SCHEMA = SchemaDefinition([AttributeDefinition("tokens")], ["model"], None, ["model"])
SUM = MeterDefinition("SUM", computation='{"var":"attributes.tokens"}')
EXACT = Decimal("12345678901234567890123456.123456789012")


async def do(db: Database, caller: Caller, work: Callable[[Connection], Awaitable[Any]]) -> Any:
    async with db.transaction(caller.workspace) as connection:
        return await work(connection)


async def together(db: Database, caller: Caller, *works: Callable[[Connection], Awaitable[Any]]) -> list[Any]:
    """The outcomes of commands that run at once: results, and the errors of those that were refused."""
    return await asyncio.gather(*(do(db, caller, work) for work in works), return_exceptions=True)


async def make_schema(db: Database, caller: Caller, name: str = "llm", *, active: bool = True) -> None:
    await do(db, caller, lambda c: schemas.create_schema(c, caller, name, SCHEMA))
    if active:
        await do(db, caller, lambda c: schemas.activate_schema(c, caller, name))


async def make_meter(
    db: Database, caller: Caller, name: str = "tokens", definition: MeterDefinition = SUM, *, schema: str = "llm"
) -> meters.UsageMeter:
    made: meters.UsageMeter = await do(db, caller, lambda c: meters.create_meter(c, caller, name, schema, definition))
    return made


async def version_of(db: Database, caller: Caller) -> int:
    statement = "select version from workspace where key = $1"
    return int(await do(db, caller, lambda c: c.fetchval(statement, caller.workspace)))


def plan_of(meter: meters.UsageMeter, name: str = "plan", currency: str = "USD") -> NewPlan:
    card = UsageCard(
        "card",
        meter.key,
        meter.id,
        "TIERED",
        [SlabDefinition(1, Decimal(0), "PER_UNIT")],
        [CardRates(currency, [SlabRate(1, EXACT)])],
    )
    return NewPlan(name, "BILLING", None, PlanDetails([currency], CycleDefinition("MONTHLY", 0), [card]))


async def load(db: Database, caller: Caller) -> snapshot.Catalog:
    found: snapshot.Catalog = await do(db, caller, lambda c: snapshot.load(c, caller.workspace))
    return found


async def test_admission_sees_what_is_active_and_nothing_else(database: Database, caller: Caller) -> None:
    await make_schema(database, caller, active=False)
    meter = await make_meter(database, caller)
    draft = await make_meter(database, caller, "draft", MeterDefinition("COUNT", [Filter("dimension.model", "big")]))
    assert (await load(database, caller)).schemas == ()

    await do(database, caller, lambda c: schemas.activate_schema(c, caller, "llm"))
    (seen,) = (await load(database, caller)).schemas
    assert (seen.name, seen.meters) == ("llm", ())
    assert (sorted(seen.attributes), sorted(seen.dimensions)) == (["tokens"], ["model"])

    before = await version_of(database, caller)
    await do(database, caller, lambda c: meters.activate_meter(c, caller, meter.id))
    (view,) = (await load(database, caller)).schemas[0].meters
    assert (view.meter, view.version, view.id) == (meter.key, meter.version_key, meter.id)
    assert (view.aggregation, view.computation, view.matcher, view.filters) == ("SUM", SUM.computation, None, ())
    assert (view.active_from, view.active_until) == (before + 1, None)
    assert await version_of(database, caller) == before + 1

    await do(database, caller, lambda c: meters.activate_meter(c, caller, draft.id))
    views = {view.id: view for view in (await load(database, caller)).schemas[0].meters}
    assert views[draft.id].filters == (("dimension.model", "big"),)
    assert views[draft.id].active_from == before + 2
    assert views[meter.id].active_from == before + 1
    everything = await do(database, caller, lambda c: snapshot.history(c, caller.workspace))
    assert sorted(view.id for view in everything) == sorted(views)


async def test_a_meter_of_a_schema_that_is_a_draft_is_not_activated(database: Database, caller: Caller) -> None:
    await make_schema(database, caller, active=False)
    meter = await make_meter(database, caller)
    before = await version_of(database, caller)
    with pytest.raises(WrongState, match="llm"):
        await do(database, caller, lambda c: meters.activate_meter(c, caller, meter.id))
    assert (await do(database, caller, lambda c: meters.get_meter(c, caller.workspace, meter.id))).status == "DRAFT"
    assert await version_of(database, caller) == before


async def test_activating_at_once_and_again_changes_a_meter_once(database: Database, caller: Caller) -> None:
    await make_schema(database, caller)
    meter = await make_meter(database, caller)
    outcomes = await together(
        database, caller, *[lambda c: meters.activate_meter(c, caller, meter.id) for _ in range(6)]
    )
    assert [outcome.status for outcome in outcomes] == ["ACTIVE"] * 6
    first = (await load(database, caller)).schemas[0].meters[0].active_from
    await do(database, caller, lambda c: meters.activate_meter(c, caller, meter.id))
    assert (await load(database, caller)).schemas[0].meters[0].active_from == first
    assert await audited(database, caller, "activate", meter.id) == 1


async def audited(db: Database, caller: Caller, action: str, identifier: str) -> int:
    statement = "select count(*) from audit where workspace = $1 and action = $2 and object = $3"
    return int(await do(db, caller, lambda c: c.fetchval(statement, caller.workspace, action, identifier)))


async def test_of_twins_with_one_name_one_is_made(database: Database, caller: Caller) -> None:
    schema_twins = await together(
        database, caller, *[lambda c: schemas.create_schema(c, caller, "llm", SCHEMA) for _ in range(4)]
    )
    meter_twins = await together(
        database, caller, *[lambda c: meters.create_meter(c, caller, "tokens", "llm", SUM) for _ in range(4)]
    )
    meter = next(twin for twin in meter_twins if not isinstance(twin, BaseException))
    plan_twins = await together(
        database, caller, *[lambda c: plans.create_plan(c, caller, plan_of(meter)) for _ in range(4)]
    )
    for twins, made in (
        (schema_twins, schemas.EventSchema),
        (meter_twins, meters.UsageMeter),
        (plan_twins, plans.PlanVersion),
    ):
        assert Counter(type(twin) for twin in twins) == {made: 1, Taken: 3}
        assert {twin.field for twin in twins if isinstance(twin, Taken)} == {"name"}


async def test_a_dry_run_says_what_making_would_say_and_makes_nothing(database: Database, caller: Caller) -> None:
    await make_schema(database, caller)
    new = plan_of(await make_meter(database, caller))
    await do(database, caller, lambda c: plans.check_new(c, caller, new))
    assert (await do(database, caller, lambda c: plans.list_plans(c, caller.workspace, None, 10))).items == []
    await do(database, caller, lambda c: plans.create_plan(c, caller, new))
    with pytest.raises(Taken, match="name"):
        await do(database, caller, lambda c: plans.check_new(c, caller, new))


async def test_a_plan_is_kept_exactly_and_its_versions_never_change(database: Database, caller: Caller) -> None:
    await make_schema(database, caller)
    new = plan_of(await make_meter(database, caller))
    made = await do(database, caller, lambda c: plans.create_plan(c, caller, new))
    assert (made.status, made.version, made.active_currencies) == ("DRAFT", 1, ())
    read = await do(database, caller, lambda c: plans.version(c, caller.workspace, made.version_key))
    assert read == made
    assert read.details == new.details
    assert read.details.usage[0].prices_in("USD").slabs[0].rate == EXACT
    for change in ("update price_plan_version set version = 9", "delete from price_plan_version"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="never changed"):
            async with database.transaction(caller.workspace) as connection:
                await connection.execute(change)


async def test_activating_a_plan_at_once_activates_each_currency_once(database: Database, caller: Caller) -> None:
    await make_schema(database, caller)
    meter = await make_meter(database, caller)
    new = plan_of(meter)
    card = new.details.usage[0]
    card.rates.append(CardRates("EUR", card.rates[0].slabs))
    new.details.currencies.append("EUR")
    made = await do(database, caller, lambda c: plans.create_plan(c, caller, new))

    def activate(*currencies: str) -> Callable[[Connection], Awaitable[Any]]:
        return lambda c: plans.activate_plan(c, caller, made.id, currencies)

    works = [activate("USD"), activate("EUR", "USD"), activate("USD", "USD"), activate("EUR")]
    assert {outcome.status for outcome in await together(database, caller, *works)} == {"ACTIVE"}
    found = await do(database, caller, lambda c: plans.find(c, caller.workspace, made.id))
    assert found.active_currencies == ("EUR", "USD")
    with pytest.raises(Invalid, match="JPY"):
        await do(database, caller, activate("USD", "JPY"))


async def test_an_archived_meter_cannot_be_priced(database: Database, caller: Caller) -> None:
    await make_schema(database, caller)
    meter = await make_meter(database, caller)
    await do(
        database, caller, lambda c: c.execute("update usage_meter set status = 'ARCHIVED' where key = $1", meter.key)
    )
    both = [meter.id, "um.unknown"]
    find = meters.meter_keys
    assert await do(database, caller, lambda c: find(c, caller.workspace, both)) == {meter.id: meter.key}
    assert await do(database, caller, lambda c: find(c, caller.workspace, both, archived=False)) == {}


async def test_workspaces_do_not_see_each_other(database: Database, caller: Caller, other_caller: Caller) -> None:
    await make_schema(database, caller)
    meter = await make_meter(database, caller)
    made = await do(database, caller, lambda c: plans.create_plan(c, caller, plan_of(meter)))
    stranger = other_caller.workspace
    for work in (
        lambda c: schemas.get_schema(c, stranger, "llm"),
        lambda c: schemas.activate_schema(c, other_caller, "llm"),
        lambda c: meters.get_meter(c, stranger, meter.id),
        lambda c: meters.activate_meter(c, other_caller, meter.id),
        lambda c: plans.find(c, stranger, made.id),
        lambda c: plans.version(c, stranger, made.version_key),
        lambda c: plans.activate_plan(c, other_caller, made.id, ["USD"]),
    ):
        with pytest.raises(NotFound):
            await do(database, other_caller, work)
    with pytest.raises(Invalid, match="eventSchemaName"):
        await make_meter(database, other_caller)
    assert await do(database, other_caller, lambda c: meters.meter_keys(c, stranger, [meter.id])) == {}
    assert (await load(database, other_caller)).schemas == ()
    await make_schema(database, other_caller)
    assert (await make_meter(database, other_caller)).name == "tokens"


@pytest.mark.parametrize("after", ["", "x", "-1", "1.0", "²", "9" * 40, "1 or 1=1"])
async def test_hostile_bookmarks_are_refused(database: Database, caller: Caller, after: str) -> None:
    for work in (
        lambda c: schemas.list_schemas(c, caller.workspace, None, after, 5),
        lambda c: meters.list_meters(c, caller.workspace, None, None, after, 5),
        lambda c: plans.list_plans(c, caller.workspace, after, 5),
    ):
        with pytest.raises(Invalid, match="nextToken"):
            await do(database, caller, work)
