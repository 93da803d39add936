"""Services of a carrier's accounts on a real database: charged, renewed, suspended and resumed, each once."""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bursar.accounts.service import archive_account
from bursar.core.errors import NotFound, Rejected
from bursar.db.database import Database
from bursar.purchases.verify import CHECKS
from tests.purchases.carrier import FREE_MINUTES, LOGGING, START, Carrier

DISTURBANCES = 8
FEBRUARY = datetime(2024, 2, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def problems(caught: pytest.ExceptionInfo[Rejected]) -> list[tuple[str, str]]:
    return list(caught.value.problems)


async def test_a_service_is_charged_when_it_is_made_and_each_month(database: Database) -> None:
    carrier = await Carrier.make(database)
    account = await carrier.account("acme", low=-100)
    kind = await carrier.type("numbers")
    made = await carrier.service(account, kind.id, "150.5", "40", name="DID", renew_period="Month", renew_at=FEBRUARY)
    assert (made.state, made.name, made.renew_period) == ("Active", "DID", "Month")
    assert (made.account_id, made.service_type_id, made.created_at, made.renew_at) == (
        account,
        kind.id,
        START,
        FEBRUARY,
    )
    assert made.uuid.version == 4
    assert await carrier.balance(account) == Decimal("-150.5"), "the first charge asks for no balance"

    assert await carrier.renew(FEBRUARY - timedelta(seconds=1)) == 0
    assert await carrier.renew(FEBRUARY) == 0
    suspended = await carrier.seen(made.id)
    assert (suspended.state, suspended.renew_at) == ("Suspended", FEBRUARY)
    await carrier.charge(account, -90)  # -60.5: 0.5 are missing
    assert await carrier.renew(FEBRUARY + HOUR) == 0
    await carrier.charge(account, "-0.5")
    assert await carrier.renew(FEBRUARY + HOUR + timedelta(minutes=59)) == 0, "an hour later it is tried again"
    assert await carrier.renew(FEBRUARY + 2 * HOUR) == 1
    resumed = await carrier.seen(made.id)
    assert (resumed.state, resumed.renew_at) == ("Active", datetime(2024, 3, 1, tzinfo=UTC))
    assert await carrier.balance(account) == -100
    assert await carrier.charges(account) == [
        ("Service creation", Decimal("150.5")), (None, Decimal(-90)), (None, Decimal("-0.5")),
        ("Renew service", Decimal(40)),
    ]  # fmt: skip
    assert await carrier.holds() == []


async def test_a_renewal_that_was_missed_happens_once_and_goes_on_from_then(database: Database) -> None:
    carrier = await Carrier.make(database, timezone="Europe/Kyiv")
    account = await carrier.account("acme")
    kind = await carrier.type("numbers", force=True)
    monthly = await carrier.service(account, kind.id, 0, 10, renew_period="Month", renew_at=FEBRUARY)
    daily = await carrier.service(account, kind.id, 0, 1, renew_period="Day", renew_at=START - timedelta(days=900))
    once = await carrier.service(account, kind.id, 5, 99)
    assert await carrier.renew(datetime(2024, 9, 10, 22, tzinfo=UTC)) == 2
    assert await carrier.renew() == 0
    seen = {one.id: await carrier.seen(one.id) for one in (monthly, daily, once)}
    assert seen[monthly.id].renew_at == datetime(2024, 9, 30, 21, tzinfo=UTC)
    assert seen[daily.id].renew_at == datetime(2024, 9, 11, 21, tzinfo=UTC), "of the 11th, local time"
    assert (seen[once.id].renew_at, seen[once.id].state) == (None, "Active")
    # What fell due first is renewed first; the force of the type lets the balance pass its minimum.
    assert await carrier.charges(account) == [
        ("Service creation", Decimal(5)), ("Renew service", Decimal(1)), ("Renew service", Decimal(10)),
    ]  # fmt: skip
    assert await carrier.balance(account) == -16


async def test_services_of_one_account_share_its_balance(database: Database) -> None:
    carrier = await Carrier.make(database)
    account = await carrier.account("acme", low=0, high=60)
    kind = await carrier.type("numbers")
    await carrier.charge(account, -50)
    made = [
        await carrier.service(account, kind.id, 0, price, renew_period="Month", renew_at=FEBRUARY - n * HOUR)
        for n, price in enumerate((30, 30, -5, -15, 0))
    ]
    # In the order of time: 0, -15 (too much: 65), -5, 30, 30 (25 are left).
    assert await carrier.renew(FEBRUARY) == 3
    states = [(await carrier.seen(one.id)).state for one in made]
    assert states == ["Suspended", "Active", "Active", "Suspended", "Active"]
    assert [amount for _, amount in await carrier.charges(account)] == [-50, -5, 30]
    assert await carrier.balance(account) == 25


async def test_free_minutes_are_set_anew_with_each_renewal(database: Database) -> None:
    carrier = await Carrier.make(database)
    account = await carrier.account("acme", low=-100)
    variables = {"prefixes": [{"prefix": "1", "duration": 60}, {"prefix": "44", "duration": 30, "exclude": True}]}
    kind = await carrier.type("minutes", kind=FREE_MINUTES, variables=variables)
    own = {"prefixes": [{"prefix": "49", "duration": 600}], "ignore_prefixes": ["1"]}
    made = await carrier.service(account, kind.id, 0, 50, variables=own, renew_period="Month", renew_at=FEBRUARY)
    plain = await carrier.service(account, kind.id)
    assert await carrier.minutes(made.id) == [("44", 30, True), ("49", 600, False)]
    assert await carrier.minutes(plain.id) == [("1", 60, False), ("44", 30, True)]

    await carrier.change(made.id, variables={"prefixes": [{"prefix": "49", "duration": 900}]})
    await carrier.change_type(kind.id, variables={"prefixes": [{"prefix": "7", "duration": 5}]})
    await carrier.rows("update package_counter set duration = -7 where workspace = $1 returning key")
    used = await carrier.rows("select key, yeti_id, prefix from package_counter where workspace = $1")
    assert await carrier.renew(FEBRUARY) == 1
    assert await carrier.minutes(made.id) == [("49", 900, False), ("7", 5, False)]
    assert await carrier.minutes(plain.id) == [("1", -7, False), ("44", -7, True)], "its own come with its renewal"
    kept = {row["yeti_id"] for row in await carrier.rows("select yeti_id from package_counter where workspace = $1")}
    assert {row["yeti_id"] for row in used if row["prefix"] == "49"} <= kept, "what goes on keeps its number"

    await carrier.charge(account, 20)
    await carrier.rows("update package_counter set duration = 0 where workspace = $1 returning key")
    assert await carrier.renew(datetime(2024, 3, 1, tzinfo=UTC)) == 0
    assert await carrier.minutes(made.id) == [("49", 0, False), ("7", 0, False)], "not without being paid"
    assert await carrier.holds() == []


async def test_what_a_service_must_be(database: Database) -> None:
    carrier = await Carrier.make(database)
    account = await carrier.account("acme")
    kind = await carrier.type("minutes", kind=FREE_MINUTES)
    with pytest.raises(Rejected) as caught:
        await carrier.service(None, None, None, None)
    assert problems(caught) == [
        ("account", "must exist"), ("service_type", "must exist"),
        ("initial_price", "can't be blank"), ("renew_price", "can't be blank"),
    ]  # fmt: skip
    with pytest.raises(Rejected) as caught:
        await carrier.service(account, kind.id, renew_period="Year", variables={"prefixes": [{"prefix": ""}]})
    assert problems(caught) == [
        ("renew_period_id", "is not included in the list"), ("renew_at", "can't be blank"),
        ("variables", "prefixes.0.prefix - must be filled"), ("variables", "prefixes.0.duration - is missing"),
    ]  # fmt: skip
    made = await carrier.service(account, kind.id)
    with pytest.raises(Rejected) as caught:
        await carrier.change(made.id, renew_price=None, variables=[])
    assert problems(caught) == [
        ("renew_price", "can't be blank"), ("variables", "must be a JSON object or empty"),
    ]  # fmt: skip
    for too_long in (carrier.change(made.id, name="x" * 256), carrier.service(account, kind.id, name="x" * 256)):
        with pytest.raises(Rejected, match=r"name: is too long \(maximum is 255 characters\)"):
            await too_long
    with pytest.raises(Rejected, match="name: is too long"):
        await carrier.type("x" * 256)
    with pytest.raises(NotFound):
        await carrier.change(made.id + 1, name="other")
    changed = await carrier.change(made.id, name="new", renew_price=Decimal(7))
    assert changed.name == "new"
    assert [changed.initial_price, changed.renew_price] == [0, 7]
    stranger = await Carrier.make(database)
    for number in (account, kind.id, made.id):
        with pytest.raises(NotFound):
            await stranger.change(number, name="mine")
        with pytest.raises(NotFound):
            await stranger.change_type(number, name="mine")
    with pytest.raises(Rejected, match="account: must exist; service_type: must exist"):
        await stranger.service(account, kind.id)


async def test_what_a_type_must_be(database: Database) -> None:
    carrier = await Carrier.make(database)
    kind = await carrier.type("one", variables={"x": Decimal("1.50"), "big": 2**70})
    assert kind.variables == {"x": Decimal("1.50"), "big": 2**70}
    with pytest.raises(Rejected) as caught:
        await carrier.type("one", kind="Billing::Provisioning::Base", variables=5)
    assert problems(caught) == [
        ("name", "has already been taken"), ("provisioning_class", "is invalid"),
        ("variables", "must be a JSON object or empty"),
    ]  # fmt: skip
    with pytest.raises(Rejected) as caught:
        await carrier.type("", kind="")
    assert problems(caught) == [("name", "can't be blank"), ("provisioning_class", "can't be blank")]
    other = await carrier.type("two", kind=FREE_MINUTES)
    with pytest.raises(Rejected, match="name: has already been taken"):
        await carrier.change_type(other.id, name="one")
    assert (await carrier.change_type(kind.id, name="one", force_renew=True)).force_renew
    changed = await carrier.change_type(other.id, provisioning_class=LOGGING, variables={"a": None})
    assert (changed.provisioning_class, changed.variables) == (LOGGING, {"a": None})

    account = await carrier.account("acme")
    await carrier.service(account, kind.id)
    with pytest.raises(Rejected) as caught:
        await carrier.change_type(kind.id, provisioning_class=FREE_MINUTES)
    assert problems(caught) == [("provisioning_class", "can't be changed because have linked services")]
    with pytest.raises(Rejected) as caught:
        await carrier.delete_type(kind.id)
    assert problems(caught) == [("", "Cannot delete record because dependent services exist")]
    await carrier.delete_type(other.id)
    with pytest.raises(NotFound):
        await carrier.delete_type(other.id)
    assert (await carrier.type("two")).id != other.id, "its name is free again"


async def test_a_balance_beyond_all_is_refused(database: Database) -> None:
    carrier = await Carrier.make(database)
    account, poor = await carrier.account("rich"), await carrier.account("poor")
    kind = await carrier.type("bonus", force=True)
    most = Decimal("99999999999999999999999999.999999999999")
    await carrier.charge(account, -most)
    with pytest.raises(Rejected, match="Unable to charge account: The balance would have"):
        await carrier.charge(account, "-0.000000000001")
    with pytest.raises(Rejected, match="Unable to charge account"):
        await carrier.service(account, kind.id, -1)
    stuck = await carrier.service(account, kind.id, 0, -1, renew_period="Day", renew_at=START)
    await carrier.service(poor, kind.id, 0, 1, renew_period="Day", renew_at=START + HOUR)
    assert await carrier.renew(START + HOUR) == 1, "one account's trouble is not another's"
    assert (await carrier.seen(stuck.id)).state == "Suspended"
    assert [await carrier.balance(one) for one in (account, poor)] == [most, -1]


async def test_what_a_transaction_must_be(database: Database) -> None:
    carrier = await Carrier.make(database)
    account, other = await carrier.account("acme"), await carrier.account("other", currency="EUR")
    kind = await carrier.type("numbers")
    service = await carrier.service(account, kind.id)
    with pytest.raises(Rejected) as caught:
        await carrier.charge(None, None)
    assert problems(caught) == [("account", "must exist"), ("amount", "can't be blank")]
    with pytest.raises(Rejected) as caught:
        await carrier.charge(other, 0, service=service.id)
    assert problems(caught) == [("service", "belongs to different account"), ("amount", "must be other than 0")]
    with pytest.raises(Rejected, match="service: must exist"):
        await carrier.charge(account, 1, service=kind.id)
    with pytest.raises(Rejected, match=r"description: is too long \(maximum is 10000 characters\)"):
        await carrier.charge(account, 1, description="x" * 10_001)
    made = await carrier.charge(account, "0.000000000001", description="x", service=service.id)
    assert (made.account_id, made.service_id, made.description, made.created_at) == (account, service.id, "x", START)
    await carrier.charge(other, -5)
    assert [await carrier.balance(one) for one in (account, other)] == [Decimal("-0.000000000001"), 5]
    lines = await carrier.rows(
        "select l.detail, l.currency, p.amount from posting p join ledger_account l on l.key = p.ledger_account"
        " where p.workspace = $1 and l.kind = 'revenue' order by p.transaction"
    )
    assert [(r["detail"], r["currency"], r["amount"]) for r in lines] == [
        (f"service type {kind.id}", "USD", Decimal("-0.000000000001")), ("transactions", "EUR", Decimal(5)),
    ]  # fmt: skip


async def test_who_is_gone_is_charged_no_more(database: Database) -> None:
    carrier = await Carrier.make(database)
    archived, hidden = await carrier.account("archived"), await carrier.account("hidden")
    kind = await carrier.type("numbers", force=True)
    made = [
        await carrier.service(account, kind.id, 0, 10, renew_period="Day", renew_at=START)
        for account in (archived, hidden)
    ]
    async with database.transaction(carrier.caller.workspace) as connection:
        await archive_account(connection, carrier.caller, "archived")
        await connection.execute(
            "update account_terms t set hidden_at = $3 from account a"
            " where a.key = t.account and t.workspace = $1 and a.yeti_id = $2",
            carrier.caller.workspace, hidden, START,
        )  # fmt: skip
    assert await carrier.renew(FEBRUARY) == 0
    assert (await carrier.seen(made[0].id)).state == "Active"
    with pytest.raises(NotFound):
        await carrier.seen(made[1].id)
    with pytest.raises(Rejected, match="account: is archived"):
        await carrier.service(archived, kind.id)
    with pytest.raises(Rejected, match="account: must exist"):
        await carrier.service(hidden, kind.id)
    await carrier.charge(archived, 5)  # a last correction is possible
    with pytest.raises(Rejected, match="dependent services exist"):
        await carrier.delete_type(kind.id)


class Plan:
    """What a service should do, by a calendar of days in UTC."""

    def __init__(self, price: Decimal, period: str, day: datetime) -> None:
        self.price, self.period, self.day, self.tried = price, period, day, day

    def due(self, now: datetime) -> bool:
        return self.tried <= now

    def go_on(self, now: datetime) -> None:
        day = now.replace(hour=0, minute=0)
        while day <= now or (self.period == "Month" and day.day != 1):
            day += timedelta(days=1)
        self.day = self.tried = day


PRICES = st.decimals(-50, 50, places=3)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kinds=st.lists(st.tuples(PRICES, PRICES, st.sampled_from(["Day", "Month"]), st.integers(0, 40), st.booleans()),
                   min_size=1, max_size=4),
    low=st.integers(-60, 0), high=st.integers(0, 60),
    steps=st.lists(st.tuples(st.integers(1, 600), st.none() | st.decimals(-40, 40, places=2)), max_size=8),
)  # fmt: skip
async def test_charges_are_the_way_of_the_balance(
    database: Database, kinds: Any, low: int, high: int, steps: Any
) -> None:
    carrier = await Carrier.make(database)
    account = await carrier.account("acme", low=low, high=high)
    types = {force: await carrier.type(f"force {force}", force=force) for force in (False, True)}
    now, expected, amounts, plans = START, Decimal(0), [], []
    for initial, renew, period, days, force in kinds:
        first = START + timedelta(days=days)
        await carrier.service(account, types[force].id, initial, renew, renew_period=period, renew_at=first)
        plans.append((Plan(renew, period, first), force))
        expected -= initial
        amounts += [initial] if initial else []
    for hours, paid in steps:
        now += timedelta(hours=hours)
        await carrier.renew(now)
        for plan, force in sorted((one for one in plans if one[0].due(now)), key=lambda one: one[0].tried):
            after = expected - plan.price
            if force or (after >= low if plan.price > 0 else after <= high or not plan.price):
                expected = after
                amounts += [plan.price] if plan.price else []
                plan.go_on(now)
            else:
                plan.tried = now + HOUR
        if paid:
            await carrier.charge(account, paid)
            expected -= paid
            amounts.append(paid)
    assert await carrier.balance(account) == expected
    assert [amount for _, amount in await carrier.charges(account)] == amounts
    assert -sum(amounts, Decimal(0)) == expected


async def renewer(dsn: str, carrier: Carrier) -> Any:
    arguments = (dsn, str(carrier.caller.workspace), carrier.caller.now.isoformat())
    root = Path(__file__).parents[2]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.purchases.renewer", *arguments, stdin=PIPE, stdout=PIPE, cwd=root
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 120) == b"ready\n"
    return process


async def _outputs(workers: Any) -> list[Any]:
    return [await asyncio.wait_for(worker.communicate(), 300) for worker in workers]


async def _disturb(carrier: Carrier, account: int) -> None:
    """Charge an account and change its terms, so that no renewal more or less can be paid."""
    for number in range(DISTURBANCES):
        await carrier.charge(account, "-0.001")
        await carrier.agree(account, max_balance=Decimal(1000 + number), balance_low_threshold=Decimal(-number))
        await carrier.charge(account, "0.001")


async def test_five_workers_renew_each_service_once_and_kills_change_nothing(database: Database, dsn: str) -> None:
    carrier = await Carrier.make(database)
    kind = await carrier.type("numbers", kind=FREE_MINUTES, variables={"prefixes": [{"prefix": "1", "duration": 9}]})
    accounts = [await carrier.account(f"a{n}", low=-40) for n in range(3)]
    made = [
        await carrier.service(account, kind.id, 0, 1, renew_period="Month", renew_at=FEBRUARY - n * HOUR)
        for n in range(45) for account in accounts
    ]  # fmt: skip
    carrier.at(FEBRUARY)
    # One that is killed in the middle, and five at once after it; of each account 40 services can be paid.
    alone = await renewer(dsn, carrier)
    async with database.transaction(None) as holder:
        # It comes no further than here.
        middle = "select key from service where workspace = $1 order by due_at, key offset 60 limit 1"
        await holder.execute(f"select from service where key = ({middle}) for update", carrier.caller.workspace)
        alone.stdin.write(b"go\n")
        deadline = time.monotonic() + 120
        while not await carrier.charges(accounts[0]):
            assert time.monotonic() < deadline, "nothing is renewed"
            await asyncio.sleep(0.01)
        alone.kill()
        assert await alone.wait() == -9
    workers = await asyncio.gather(*(renewer(dsn, carrier) for _ in range(5)))
    for worker in workers:
        worker.stdin.write(b"go\n")
    meanwhile = [_disturb(carrier, account) for account in accounts]
    outputs, *_ = await asyncio.gather(_outputs(workers), *meanwhile)
    assert [worker.returncode for worker in workers] == [0] * 5
    assert 0 < sum(int(stdout) for stdout, _ in outputs) < 120
    for account in accounts:
        assert await carrier.balance(account) == -40
        charges = await carrier.charges(account)
        assert [charge for charge in charges if charge[0]] == [("Renew service", Decimal(1))] * 40
        assert len(charges) == 40 + 2 * DISTURBANCES
    per_service = await carrier.rows(
        "select count(*) as times from charge where workspace = $1 and service is not null group by service"
    )
    assert [row["times"] for row in per_service] == [1] * 120
    states = await carrier.rows("select state, renew_at from service where workspace = $1")
    assert sorted(row["state"] for row in states) == ["Active"] * 120 + ["Suspended"] * 15
    assert {row["renew_at"] for row in states if row["state"] == "Active"} == {datetime(2024, 3, 1, tzinfo=UTC)}
    assert len(made) == 135
    assert await carrier.holds() == []


async def test_verify_sees_what_is_wrong(database: Database) -> None:
    carrier = await Carrier.make(database)
    account, other = await carrier.account("acme"), await carrier.account("other")
    kind = await carrier.type("minutes", kind=FREE_MINUTES, variables={"prefixes": [{"prefix": "1", "duration": 9}]})
    await carrier.service(account, kind.id, 7)
    keys = await carrier.rows("select key from account where workspace = $1 and yeti_id = $2", other)
    broken = (
        "update charge set amount = 8 where workspace = $1",
        f"update charge set account = {keys[0]['key']} where workspace = $1",
        f"update package_counter set account = {keys[0]['key']} where workspace = $1",
        "update service_type set provisioning_class = 'Billing::Provisioning::Logging' where workspace = $1",
        "delete from charge where workspace = $1",
    )
    for statement in broken:
        assert await _found_after(carrier, statement), statement
    assert await carrier.holds() == []


class Undone(Exception):
    pass


async def _found_after(carrier: Carrier, statement: str) -> list[str]:
    """What the checks find after a statement, which is undone."""
    found: list[str] = []
    with suppress(Undone):
        async with carrier.db.transaction(None) as connection:
            await connection.execute("set local session_replication_role = replica")  # past the triggers
            await connection.execute(statement, carrier.caller.workspace)
            for check in CHECKS:
                found += await check.run(connection)
            raise Undone
    return found
