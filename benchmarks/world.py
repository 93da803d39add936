"""A workspace to measure: made once through the services, then copied within the database to the size wanted."""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import asyncpg

from bursar.accounts.model import Address, NewCustomer
from bursar.accounts.service import create_customer
from bursar.accounts.tokens import create_token
from bursar.accounts.workspaces import caller_of, create_workspace, set_clock
from bursar.catalog.definitions import (
    AttributeDefinition,
    CardRates,
    CycleDefinition,
    MeterDefinition,
    PlanDetails,
    SchemaDefinition,
    SlabDefinition,
    SlabRate,
    UsageCard,
)
from bursar.catalog.meters import UsageMeter, activate_meter, create_meter
from bursar.catalog.plans import NewPlan, activate_plan, create_plan
from bursar.catalog.schemas import activate_schema, create_schema
from bursar.core.caller import Caller
from bursar.db.database import Connection, Database
from bursar.db.migrate import migrate
from bursar.purchases.service import Associate, associate
from bursar.runtime.datadir import DataDir
from bursar.runtime.postgres import Cluster

SEGMENTS = 64
"""Files of the log, of 16 MB each."""
CARDS = 10
BUCKETS = 12
"""Quarters of an hour with usage, of each account and meter."""
USED_UNTIL = datetime(2024, 1, 28, tzinfo=UTC)
"""The present of the workspace: the cycle of January is open."""
BILLED_AT = datetime(2024, 2, 10, tzinfo=UTC)
"""When it is due."""
TOKEN = "bench-" + "x" * 20

DAYS = """
    insert into usage_day (account, day, workspace, meter_version, quantity)
    select account, date_trunc('day', bucket, 'UTC'), workspace, meter_version, sum(quantity)
    from usage_rollup where workspace = $1 group by 1, 2, 3, 4"""
"""The rollups of days, from those of quarters of an hour."""
# What the services wrote for the first account, again for the others; numbers far from those that new ones draw.
_COPIES = (
    """insert into customer (workspace, togai_id, yeti_id, wire_id, status, created_at, updated_at)
    select workspace, 'a' || n, 1000000 + n, 'cus.' || workspace || '.' || n, status, created_at, updated_at
    from customer, generate_series(1, $2::int - 1) n where workspace = $1 order by n""",
    """insert into customer_profile (customer, workspace, name, primary_email, address, secret)
    select c.key, p.workspace, p.name, p.primary_email, p.address, p.secret
    from customer_profile p join customer c on c.workspace = p.workspace and c.key <> p.customer
    where p.workspace = $1""",
    """insert into account (workspace, customer, togai_id, yeti_id, wire_id, currency, timezone, net_term_days, status,
        metadata, tags, created_at, updated_at)
    select a.workspace, c.key, c.togai_id, c.yeti_id, 'acc.' || c.togai_id,
        a.currency, a.timezone, a.net_term_days, a.status, a.metadata, a.tags, a.created_at, a.updated_at
    from account a join customer c on c.workspace = a.workspace and c.key <> a.customer where a.workspace = $1
    order by c.key""",
    """insert into account_profile (account, workspace, name)
    select a.key, p.workspace, p.name
    from account_profile p join account a on a.workspace = p.workspace and a.key <> p.account where p.workspace = $1""",
    """insert into account_terms (account, workspace)
    select a.key, t.workspace
    from account_terms t join account a on a.workspace = t.workspace and a.key <> t.account where t.workspace = $1""",
    """insert into account_name (workspace, value, account, kind, wire_id, effective, created_at, updated_at)
    select a.workspace, a.togai_id, a.key, 'ID', 'ali.' || a.togai_id, n.effective, n.created_at, n.updated_at
    from account_name n join account a on a.workspace = n.workspace and a.key <> n.account where n.workspace = $1""",
    """insert into account_calendar (workspace, account, starts_at, ends_at, calendar, grace_days)
    select a.workspace, a.key, c.starts_at, c.ends_at, c.calendar, c.grace_days
    from account_calendar c join account a on a.workspace = c.workspace and a.key <> c.account
    where c.workspace = $1""",
    """insert into schedule (workspace, wire_id, account, price_plan, starts_at, recorded_at)
    select a.workspace, 'sch.' || a.togai_id, a.key, s.price_plan, s.starts_at, s.recorded_at
    from schedule s join account a on a.workspace = s.workspace and a.key <> s.account where s.workspace = $1
    order by a.key""",
    """insert into schedule_segment (workspace, schedule, account, price_plan_version, starts_at, ends_at, calendar,
        grace_days, recorded_at, opens_at)
    select h.workspace, h.key, h.account, s.price_plan_version, s.starts_at, s.ends_at, s.calendar, s.grace_days,
        s.recorded_at, s.opens_at
    from schedule_segment s join schedule h on h.workspace = s.workspace and h.key <> s.schedule where s.workspace = $1
    order by h.key""",
    """insert into usage_rollup (account, bucket, workspace, meter_version, events, quantity)
    select a.key, timestamptz '2024-01-03' + b * interval '50 hours', a.workspace, v.key, 3,
        (a.key * 7919 + v.key * 31 + b * 101) % 1511
    from account a, usage_meter_version v, generate_series(1, $2::int) b
    where a.workspace = $1 and v.workspace = $1""",
    DAYS,
)


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def folder() -> Iterator[Path]:
    """A data directory for as long as a benchmark takes."""
    path = Path(tempfile.mkdtemp(prefix="bursar-bench-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def postgres(path: Path) -> Iterator[str]:
    """The embedded PostgreSQL with the settings it ships with, migrated, and with a log as one has that is not new.

    A new one makes its log as it goes: for 30 ms in every 16 MB, until the first checkpoint, everybody waits for that.
    """
    place = DataDir(path)
    place.prepare()
    assert place.acquire()
    cluster = Cluster(place, say)
    try:
        dsn = cluster.start()
        migrate(dsn)
        asyncio.run(_go_round(dsn))
        yield dsn
    finally:
        cluster.stop()
        place.release()


async def _go_round(dsn: str) -> None:
    """Fill some of what PostgreSQL keeps of its log (`min_wal_size`); a checkpoint turns what was written into room."""
    connection = await asyncpg.connect(dsn)
    try:
        for _ in range(SEGMENTS):
            await connection.execute("select pg_logical_emit_message(false, 'bench', 'x'), pg_switch_wal()")
        await connection.execute("checkpoint")
    finally:
        await connection.close()


async def fill(db: Database, name: str, accounts: int, *, wall: datetime) -> Caller:
    """A sandbox at `USED_UNTIL` whose accounts all have a plan of ten usage rate cards and a month of usage."""
    async with db.transaction(None) as connection:
        workspace = await create_workspace(
            connection, wall, "bench", name, sandbox=True, currency="USD", timezone="UTC"
        )
        fresh = caller_of(workspace, wall, "bench")
        await create_token(connection, fresh, "bench", text=f"{TOKEN}-{name}")
        caller = caller_of(await set_clock(connection, fresh, USED_UNTIL), wall, "bench")
    async with db.transaction(caller.workspace) as connection:
        await _first(connection, caller)
    async with db.transaction(None) as connection:
        # It locks each name, and there is no room for so many at once; copies of ids lead to one account each.
        await connection.execute("alter table account_name disable trigger account_name_one_account")
        for statement in _COPIES:
            count = BUCKETS if "into usage_rollup" in statement else accounts
            arguments = (caller.workspace, count) if "$2" in statement else (caller.workspace,)
            await connection.execute(statement, *arguments, timeout=600)
        await connection.execute("alter table account_name enable trigger account_name_one_account")
    async with db.transaction(None) as connection:
        await connection.execute("analyze", timeout=600)
    return caller


async def _first(connection: Connection, caller: Caller) -> None:
    """The catalogue and one account, as anybody would make them."""
    await create_schema(connection, caller, "call", SchemaDefinition([AttributeDefinition("n")], []))
    await activate_schema(connection, caller, "call")
    meters = []
    for number in range(CARDS):
        made = await create_meter(connection, caller, f"meter {number}", "call", MeterDefinition("COUNT"))
        meters.append(await activate_meter(connection, caller, made.id))
    details = PlanDetails(
        currencies=["USD"],
        cycle=CycleDefinition("MONTHLY", 3),
        usage=[_card(meter) for meter in meters],
        commitment=None,
    )
    plan = await create_plan(connection, caller, NewPlan("Standard", "BILLING", None, details))
    await activate_plan(connection, caller, plan.id, ["USD"])
    address = Address(line1="1 Main Street", city="Springfield", country="US")
    await create_customer(connection, caller, NewCustomer("a0", "A Customer", "c@example.com", address))
    await associate(connection, caller, Associate("a0", plan.id, date(2024, 1, 1), date(9999, 1, 1)))


def _card(meter: UsageMeter) -> UsageCard:
    steps, rates = ("0", "1000", "5000"), ("0", "0.01", "0.0075")
    return UsageCard(
        name=f"card of {meter.name}",
        meter=meter.key,
        meter_id=meter.id,
        pricing_model="TIERED",
        slabs=[SlabDefinition(n, Decimal(step), "PER_UNIT", None) for n, step in enumerate(steps, 1)],
        rates=[CardRates("USD", [SlabRate(n, Decimal(rate)) for n, rate in enumerate(rates, 1)])],
    )
