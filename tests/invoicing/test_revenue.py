"""Revenue over time against the cost of what was used so far, worked out by hand."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from bursar.invoicing.opening import open_cycles
from bursar.invoicing.revenue import revenue
from bursar.invoicing.service import Filters, list_invoices
from tests.invoicing.conftest import MakeWorld
from tests.invoicing.world import World, at, card


async def points(world: World, bounds: Sequence[datetime], **options: Any) -> list[tuple[int, str, int, Decimal]]:
    await open_cycles(world.db, world.caller, world.caller.now)
    async with world.db.transaction(world.caller.workspace) as connection:
        found = await revenue(connection, world.caller, bounds, **options)
    assert all(p.currency == "USD" for p in found)
    return [(p.account, p.meter_id, p.place, p.amount) for p in found]


async def test_slabs_count_from_the_start_of_the_cycle(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 2, 20))
    calls = await world.meter("calls")
    bytes_ = await world.meter("bytes")
    plan = await world.plan(
        "plan",
        [
            card(calls, [(0, "PER_UNIT", 0), (100, "PER_UNIT", "0.01")]),
            card(bytes_, [(0, "PACKAGE", "2.5", 10)]),
        ],
        commitment=1000,
    )
    one = await world.account("one")
    two = await world.account("two")
    await world.associate("one", plan, date(2024, 1, 1))
    await world.associate("two", plan, date(2024, 1, 1))
    await world.use(one, calls, at(2024, 1, 30, 12), 80)
    await world.use(one, calls, at(2024, 1, 31, 12), 50)
    await world.use(one, calls, at(2024, 2, 1, 12), 101)
    await world.use(one, bytes_, at(2024, 1, 31, 1), 5)
    await world.use(one, bytes_, at(2024, 1, 31, 2), 7)
    await world.use(two, calls, at(2024, 1, 31, 3), 300)
    days = [at(2024, 1, 30), at(2024, 1, 31), at(2024, 2, 1), at(2024, 2, 2)]
    # On the 31st calls 81 to 130 came: 30 of them beyond the free hundred. On 1 February it counts anew.
    expected = [
        (one, calls.id, 1, Decimal("0.3")),
        (one, calls.id, 2, Decimal("0.01")),
        (one, bytes_.id, 1, Decimal(5)),
        (two, calls.id, 1, Decimal(2)),
    ]
    assert await points(world, days) == expected
    assert await points(world, days, accounts=[two]) == expected[3:]
    assert await points(world, days, meters=[bytes_.key]) == [expected[2]]
    assert await points(world, days, accounts=[]) == []
    hours = [at(2024, 1, 31) + timedelta(hours=n) for n in range(4)]
    assert await points(world, hours, meters=[bytes_.key]) == [
        (one, bytes_.id, 1, Decimal("2.5")),
        (one, bytes_.id, 2, Decimal("2.5")),
    ]


async def test_the_parts_add_up_to_the_invoice(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 2, 20))
    meter = await world.meter("calls")
    plan = await world.plan("plan", [card(meter, [(0, "PER_UNIT", "0.0037"), (50, "FLAT", 3)], model="VOLUME")])
    account = await world.account("one")
    await world.associate("one", plan, date(2024, 1, 1))
    for day in range(1, 31):
        await world.use(account, meter, at(2024, 1, day, day % 24), day)
    days = [at(2024, 1, 1) + timedelta(days=n) for n in range(32)]
    found = await points(world, days)
    assert {p[2] for p in found} >= {0, 1, 9}, "it goes up by units, then down to the flat rate"
    listed = await list_invoices(world.db, world.caller, Filters(starts_before=at(2024, 2, 1)), None, 1)
    assert sum(p[3] for p in found) == listed.items[0].document.lines[0].unrounded == 3


async def test_time_without_a_plan_brings_nothing(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 2, 20))
    meter = await world.meter("calls")
    plan = await world.plan("plan", [card(meter, [(0, "PER_UNIT", 1)])])
    account = await world.account("one")
    await world.associate("one", plan, date(2024, 1, 10), date(2024, 1, 12))
    for day in (9, 10, 11, 12):
        await world.use(account, meter, at(2024, 1, day), day)
    month = [at(2024, 1, 1), at(2024, 2, 1)]
    assert await points(world, month) == [(account, meter.id, 0, Decimal(21))]
