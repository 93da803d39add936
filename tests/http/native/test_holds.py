"""Holds of money and of feature units: placed, settled, released, over by themselves; and many at once."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from bursar.accounts.store import get_account
from bursar.catalog.features import get_feature
from bursar.core.errors import BursarError
from bursar.core.period import Period
from bursar.db.database import Database
from bursar.ledger.verify import CHECKS as LEDGER
from bursar.purchases import grants
from bursar.purchases.grants import NewGrant
from bursar.purchases.holds import Close, Closings, Hold, Place, Placing, expire_holds
from bursar.purchases.verify import CHECKS as PURCHASES
from tests.conftest import Server, Tenant
from tests.http.togai.catalog import customer, event, expect, schema

NOON = datetime(2024, 5, 10, 12, tzinfo=UTC)
JUNE = datetime(2024, 6, 1, tzinfo=UTC)
HOLDS = "/bursar/v1/holds"


@dataclass
class Shop:
    """An account with 100 in its wallet and 12 tokens, in two grants of 5 and 7."""

    server: Server
    tenant: Tenant
    feature: str

    def post(self, path: str, status: int, **body: Any) -> Any:
        answer = self.tenant.http.post(path, json=body)
        assert answer.status_code == status, answer.text
        return msgspec.json.Decoder(float_hook=Decimal).decode(answer.content)

    def place(self, amount: Any, status: int = 201, seconds: int = 600, **more: Any) -> Any:
        return self.post(HOLDS, status, accountId="acme", amount=amount, expiresIn=seconds, **more)

    def units(self, amount: Any, status: int = 201, **more: Any) -> Any:
        return self.place(amount, status, featureId=self.feature, **more)

    def read(self, path: str, **params: Any) -> Any:
        return expect(self.tenant.http.get(path, params=params), 200)

    def left(self) -> Any:
        return self.read(f"/accounts/acme/features/{self.feature}")["balance"]

    def posted(self) -> Decimal:
        async def work(db: Database) -> Decimal:
            async with db.transaction(self.tenant.caller.workspace) as connection:
                found: Decimal = await connection.fetchval(
                    "select -b.balance from ledger_balance b join ledger_account a on a.key = b.ledger_account"
                    " where a.kind = 'wallet'"
                )
                return found

        result: Decimal = self.server.run(work)
        return result

    def use(self, name: str, tokens: Any) -> int:
        sent = {"event": event(name, "2024-05-10T12:00:00Z", tokens=tokens)}
        return self.tenant.http.post("/entitled", json=sent).status_code

    def problems(self) -> list[str]:
        return self.server.broken(self.tenant, [*LEDGER, *PURCHASES])

    def expire(self) -> int:
        later = self.tenant.http.get("/bursar/v1/clock").json()["now"]
        caller = self.tenant.caller
        moved = type(caller)(
            caller.workspace, datetime.fromisoformat(later), caller.wall, caller.actor, caller.timezone, caller.currency
        )
        done: int = self.server.run(lambda db: expire_holds(db, moved, batch=2))
        return done

    def wait(self, seconds: int) -> None:
        expect(
            self.tenant.http.post("/bursar/v1/clock", json={"now": (NOON + timedelta(seconds=seconds)).isoformat()}),
            200,
        )


@pytest.fixture
def shop(server: Server) -> Shop:
    tenant = server.workspace(clock=NOON)
    customer(tenant.http)
    schema(tenant.http)
    links = [{"schemaName": "llm", "attributeName": "tokens"}]
    made = expect(tenant.http.post("/features", json={"name": "Tokens", "schemaAssociations": links}), 200)
    expect(tenant.http.post("/accounts/acme/wallet_topup", json={"topupAmount": 100}), 200)

    async def give(db: Database) -> None:
        caller = tenant.caller
        async with db.transaction(caller.workspace) as connection:
            feature = await get_feature(connection, caller.workspace, made["id"])
            some = [
                NewGrant(feature, name, "ENTITLEMENT", Period(NOON - timedelta(days=1), end), Decimal(units))
                for name, units, end in (("soon", 5, NOON + timedelta(hours=1)), ("late", 7, JUNE))
            ]
            await grants.give(connection, caller, await get_account(connection, caller.workspace, "acme"), some)

    server.run(give)
    return Shop(server, tenant, made["id"])


def test_money_is_set_aside_and_taken_in_part(shop: Shop) -> None:
    first = shop.place("60.5", description="a ride")
    assert (first["status"], first["amount"], first["currency"], first["accountId"]) == (
        "OPEN",
        Decimal("60.5"),
        "USD",
        "acme",
    )
    assert (first["createdAt"], first["expiresAt"]) == ("2024-05-10T12:00:00Z", "2024-05-10T12:10:00Z")
    refused = shop.place("39.51", 400)
    assert refused["detail"] == "the balance of 39.5 does not allow 39.51 to be taken: 0 must be left"
    wallet = shop.read("/accounts/acme/wallet")
    assert (wallet["balance"], wallet["holdAmount"]) == (39.5, 60.5)
    second = shop.place("39.5")
    assert [hold["id"] for hold in shop.read(HOLDS)["holds"]] == [second["id"], first["id"]]
    assert shop.posted() == 100
    settled = shop.post(f"{HOLDS}/{first['id']}/settle", 200, amount="20.25")
    assert (settled["status"], settled["settled"], settled["description"]) == ("SETTLED", Decimal("20.25"), "a ride")
    assert shop.posted() == Decimal("79.75")
    assert shop.read(f"{HOLDS}/{first['id']}")["closedAt"] == "2024-05-10T12:00:00Z"
    shop.place("40.26", 400)
    released = shop.post(f"{HOLDS}/{second['id']}/release", 200)
    assert (released["status"], "settled" in released) == ("RELEASED", False)
    third = shop.place("79.75")
    assert shop.post(f"{HOLDS}/{third['id']}/settle", 200)["settled"] == Decimal("79.75")
    assert shop.posted() == 0
    entries = shop.read("/accounts/acme/wallet/entries")["data"]
    assert [(entry["transactionType"], entry["amount"]) for entry in entries] == [
        ("DEBITED", 79.75), ("DEBITED", 20.25), ("CREDITED", 100),
    ]  # fmt: skip
    assert entries[1]["description"] == "a ride"
    assert shop.problems() == []


def test_units_are_set_aside_and_taken_in_part(shop: Shop) -> None:
    hold = shop.units(6)
    assert (hold["featureId"], "currency" in hold, shop.left()) == (shop.feature, False, 6)
    assert (shop.use("a", 7), shop.use("b", 2)) == (400, 200)
    assert "has 4 of feature" in shop.units(5, 400)["detail"]
    settled = shop.post(f"{HOLDS}/{hold['id']}/settle", 200, amount="5.5")
    assert (settled["settled"], shop.left()) == (5.5, 4.5)
    page = shop.read(f"/accounts/acme/features/{shop.feature}/entries")["data"]
    assert {entry["id"]: (entry["used"], entry["balance"]) for entry in page} == {"soon": (5, 0), "late": (2.5, 4.5)}
    assert (shop.use("c", "4.5"), shop.left()) == (200, 0)
    assert shop.problems() == []


def test_what_is_held_outlives_its_grant(shop: Shop) -> None:
    hold = shop.units(12, seconds=7200)
    shop.wait(3600)
    assert (shop.left(), shop.use("a", 1)) == (0, 400)
    assert shop.post(f"{HOLDS}/{hold['id']}/settle", 200, amount=11)["settled"] == 11
    assert shop.left() == 1
    assert shop.problems() == []


@pytest.mark.parametrize("closed", [False, True], ids=["nobody closed it", "the worker closed it"])
def test_time_returns_what_is_held(shop: Shop, closed: bool) -> None:
    ids = [
        shop.place(100)["id"],
        shop.units(12)["id"],
    ]
    shop.place(1, 400)
    assert shop.left() == 0

    async def move(db: Database) -> None:
        async with db.transaction(None) as connection:
            await connection.execute(
                "update workspace set clock_at = $2 where key = $1",
                shop.tenant.caller.workspace,
                NOON + timedelta(seconds=600),
            )

    shop.server.run(move)
    if closed:
        assert (shop.expire(), shop.expire()) == (2, 0)
    for hold in ids:
        assert shop.read("/accounts/acme/wallet")["holdAmount"] == 0
        found = shop.read(f"{HOLDS}/{hold}")
        assert (found["status"], found["closedAt"]) == ("EXPIRED", "2024-05-10T12:10:00Z")
        for path in ("settle", "release"):
            assert (
                f"hold '{hold}' is EXPIRED"
                in shop.post(f"{HOLDS}/{hold}/{path}", 400, **({} if path == "release" else {"amount": 1}))["detail"]
            )
    assert [hold["id"] for hold in shop.read(HOLDS, status="EXPIRED")["holds"]] == ids[::-1]
    assert shop.read(HOLDS, status="OPEN")["holds"] == []
    assert (shop.left(), shop.use("a", 10)) == (12, 200)
    assert (shop.units(2)["status"], shop.place(100)["status"]) == ("OPEN", "OPEN")
    assert shop.problems() == []
    assert shop.expire() == (0 if closed else 2)
    assert shop.problems() == []


def test_grants_with_units_held_are_not_taken_away(shop: Shop) -> None:
    hold = shop.units(6)
    path = f"/accounts/acme/features/{shop.feature}/entries/late"
    assert (
        "holds have 1 of feature credit entry 'late'" in expect(shop.tenant.http.post(f"{path}/void"), 400)["message"]
    )
    assert "granted" in expect(shop.tenant.http.patch(path, json={"granted": 0.5}), 400)["message"]
    shop.post(f"{HOLDS}/{hold['id']}/release", 200)
    expect(shop.tenant.http.post(f"{path}/void"), 200)
    assert (shop.left(), shop.problems()) == (5, [])


def test_what_cannot_be(shop: Shop) -> None:
    for amount in (0, -1, "1.0000000000001"):
        assert shop.place(amount, 400)["field"] == "amount"
    assert shop.place(1, 400, seconds=0)["status"] == 400
    assert (
        shop.post(HOLDS, 404, accountId="nobody", amount=1, expiresIn=1)["detail"] == "account 'nobody' was not found"
    )
    assert "feature.none" in shop.place(1, 404, featureId="feature.none")["detail"]
    expect(shop.tenant.http.patch("/accounts/acme/wallet", json={"status": "INACTIVE"}), 200)
    assert "INACTIVE" in shop.place(1, 400)["detail"]
    expect(shop.tenant.http.patch("/accounts/acme/wallet", json={"status": "ACTIVE"}), 200)
    hold = shop.place(10)["id"]
    assert "10" in shop.post(f"{HOLDS}/{hold}/settle", 400, amount="10.01")["detail"]
    assert shop.post(f"{HOLDS}/{hold}/settle", 400, amount=-1)["field"] == "amount"
    assert shop.post(f"{HOLDS}/hold.none/settle", 404, amount=1)["detail"] == "hold 'hold.none' was not found"
    assert shop.post(f"{HOLDS}/{hold}/settle", 200, amount=0)["settled"] == 0
    assert "SETTLED" in shop.post(f"{HOLDS}/{hold}/release", 400)["detail"]
    assert shop.tenant.http.get(HOLDS, params={"after": "x"}).json()["field"] == "after"
    assert shop.problems() == []


def test_many_in_one_request_each_for_itself(shop: Shop) -> None:
    wanted = [
        {"accountId": "acme", "amount": 70, "expiresIn": 60},
        {"accountId": "acme", "amount": 31, "expiresIn": 60},
        {"accountId": "acme", "amount": 7, "expiresIn": 60, "featureId": shop.feature},
        {"accountId": "nobody", "amount": 1, "expiresIn": 60},
        {"accountId": "acme", "amount": 30, "expiresIn": 60},
        {"accountId": "acme", "amount": 6, "expiresIn": 60, "featureId": shop.feature},
    ]
    outcomes = shop.post(f"{HOLDS}/batch", 200, holds=wanted)["outcomes"]
    assert [(one.get("hold") or {}).get("amount") for one in outcomes] == [70, None, 7, None, 30, None]
    assert [(one.get("problem") or {}).get("status") for one in outcomes] == [None, 400, None, 404, None, 400]
    page = shop.read(HOLDS, limit=2, accountId="acme")
    rest = shop.read(HOLDS, limit=2, accountId="acme", after=page["next"])
    assert [hold["amount"] for hold in page["holds"] + rest["holds"]] == [7, 30, 70]  # money comes first
    assert (rest["next"], shop.read(HOLDS, accountId="other")["holds"], shop.problems()) == (None, [], [])


def test_a_key_makes_one_hold(shop: Shop) -> None:
    body = {"accountId": "acme", "amount": 60, "expiresIn": 60}
    answers = [shop.tenant.http.post(HOLDS, json=body, headers={"idempotency-key": "ride-1"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    hold = answers[0].json()["id"]
    for _ in range(2):
        done = shop.tenant.http.post(
            f"{HOLDS}/{hold}/settle", json={"amount": 10}, headers={"idempotency-key": "ride-1-paid"}
        )
        assert done.status_code == 200, done.text
    assert shop.posted() == 90
    assert shop.problems() == []


@pytest.mark.again
def test_64_writers_and_never_below_zero(shop: Shop) -> None:
    """Four queues, as those of four processes, each with sixteen writers who hold, settle and release."""
    caller = shop.tenant.caller

    async def race(db: Database) -> Counter[str]:
        pools = [await Database.open(shop.server.dsn, size=3) for _ in range(4)]
        told: Counter[str] = Counter()

        async def write(number: int, placing: Placing, closings: Closings, pool: Database) -> None:
            for turn in range(4):
                feature = shop.feature if (number + turn) % 2 else None
                amount = Decimal(2) if feature is None else Decimal("0.5")
                (hold,) = await placing.submit(pool, caller, [Place("acme", feature, amount, 600)])
                if not isinstance(hold, Hold):
                    told[f"refused {feature is not None}"] += 1
                    continue
                taken = None if turn == 1 else amount / 2 if turn == 2 else amount
                outcomes = await asyncio.gather(
                    *(closings.submit(pool, caller, Close(hold.id, taken)) for _ in range(2)), return_exceptions=True
                )
                assert sorted(isinstance(outcome, BursarError) for outcome in outcomes) == [False, True]
                told[f"taken {feature is not None}"] += int(4 * (taken or 0))

        try:
            lines = [(Placing(), Closings(), pool) for pool in pools]
            await asyncio.gather(*(write(number, *lines[number % 4]) for number in range(64)))
        finally:
            for pool in pools:
                await pool.close()
        return told

    told = shop.server.run(race)
    assert told["refused False"] > 0
    assert told["refused True"] > 0
    assert shop.posted() == 100 - Decimal(told["taken False"]) / 4
    assert Decimal(str(shop.left())) == 12 - Decimal(told["taken True"]) / 4
    assert shop.posted() >= 0
    assert shop.read(HOLDS, status="OPEN")["holds"] == []
    assert shop.problems() == []
