"""Feature credits and entitled events with the official client, one by one and all at once."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from togai_client.api.entitlements_api import EntitlementsApi
from togai_client.exceptions import (
    ApiException,
    BadRequestException,
    ForbiddenException,
    NotFoundException,
    UnauthorizedException,
)
from togai_client.models.ingest_event_request import IngestEventRequest
from togai_client.models.update_feature_credits_request import UpdateFeatureCreditsRequest
from togai_client.models.validate_entitlement_value_request import ValidateEntitlementValueRequest

from bursar.accounts.store import get_account
from bursar.accounts.tokens import Access, create_token
from bursar.catalog.features import get_feature
from bursar.core.errors import BursarError, Invalid, Taken
from bursar.core.period import Period
from bursar.db.database import Database
from bursar.http.ingest import ENTITLED
from bursar.http.repeat import attempt_of
from bursar.http.togai.entitlements import decide
from bursar.purchases import grants
from bursar.purchases.entitled import Desk
from bursar.purchases.grant_model import Source
from bursar.purchases.grants import NewGrant
from bursar.purchases.verify import CHECKS
from bursar.runtime.wall import wall
from bursar.usage.event import parse_single
from bursar.usage.flush import Submission
from bursar.usage.pipeline import Pipeline
from bursar.usage.states import State
from bursar.usage.verify import CHECKS as USAGE
from tests.conftest import PLAIN, Server, Tenant, broken_after
from tests.http.togai.catalog import customer, event, expect, meter, schema, status_of

START = datetime(2024, 5, 1, tzinfo=UTC)
JUNE = datetime(2024, 6, 1, tzinfo=UTC)
NOON = "2024-05-10T12:00:00Z"


def day(number: int, month: int = 5) -> datetime:
    return datetime(2024, month, number, tzinfo=UTC)


@dataclass
class Shop:
    """A workspace in which events of schema `llm` draw a feature by their tokens."""

    server: Server
    tenant: Tenant
    feature: str

    @property
    def api(self) -> EntitlementsApi:
        return EntitlementsApi(self.tenant.togai)

    def give(
        self,
        identifier: str,
        units: Any,
        *,
        start: datetime = START,
        end: datetime = JUNE,
        source: Source = "ENTITLEMENT",
        account: str = "acme",
    ) -> None:
        async def work(db: Database) -> None:
            caller = self.tenant.caller
            async with db.transaction(caller.workspace) as connection:
                new = NewGrant(
                    await get_feature(connection, caller.workspace, self.feature),
                    identifier,
                    source,
                    Period(start, end),
                    None if units is None else Decimal(units),
                )
                await grants.give(connection, caller, await get_account(connection, caller.workspace, account), [new])

        self.server.run(work)

    def use(self, identifier: str | None, tokens: Any = 1, **more: Any) -> Any:
        sent = {"event": event(identifier, NOON, tokens=tokens, **more)}
        return self.api.ingest_entitled_event(IngestEventRequest.from_dict(sent))

    def left(self) -> Any:
        return self.api.get_feature_credits("acme", self.feature).balance

    def entries(self) -> dict[str, tuple[str, Any, Any, Any]]:
        page = self.api.list_feature_credit_entries("acme", self.feature)
        return {entry.id: (entry.status, entry.granted, entry.used, entry.balance) for entry in page.data}

    def problems(self) -> list[str]:
        return self.server.broken(self.tenant, [*CHECKS, *USAGE])


@pytest.fixture
def shop(server: Server) -> Shop:
    tenant = server.workspace(clock=day(10))
    customer(tenant.http)
    schema(tenant.http)
    links = [{"schemaName": "llm", "attributeName": "tokens"}]
    made = expect(tenant.http.post("/features", json={"name": "Tokens", "schemaAssociations": links}), 200)
    return Shop(server, tenant, made["id"])


def refused(call: Callable[[], object], *words: str) -> None:
    with pytest.raises(BadRequestException) as caught:
        call()
    for word in words:
        assert word in caught.value.body, caught.value.body


def conflict(call: Callable[[], object]) -> None:
    with pytest.raises(ApiException) as caught:
        call()
    assert caught.value.status == 409, caught.value.body


def test_credits_are_used_until_nothing_is_left(shop: Shop) -> None:
    meter(shop.tenant.http)
    none = shop.api.get_feature_credits("acme", shop.feature)
    assert (none.account_id, none.feature_id, none.granted, none.balance, none.used_overage) == (
        "acme", shop.feature, 0, 0, 0,
    )  # fmt: skip
    refused(lambda: shop.use("early"), "acme", "not entitled", shop.feature)
    shop.give("later", "10", end=day(20))
    shop.give("sooner", "2.5", end=day(15))
    assert shop.use("one", "1.5").success is True
    assert shop.entries() == {"later": ("ACTIVE", 10, 0, 10), "sooner": ("ACTIVE", 2.5, 1.5, 1)}
    assert shop.use("two", 4).success is True
    now = shop.api.get_feature_credits("acme", shop.feature)
    assert (now.granted, now.balance) == (12.5, 7)
    refused(lambda: shop.use("three", "7.1"), "has 7 of feature", "needs 7.1")
    assert shop.left() == 7, "drawn whole or not at all"
    assert shop.use("three", 7).success is True, "a refused event has left nothing behind, not even its id"
    assert shop.use("none", 0).success is True
    refused(lambda: shop.use("four", "0.000000000001"), "has 0 of feature")
    http = shop.tenant.http
    for name in ("one", "two", "three", "none"):
        assert status_of(http, name) == ["COMPLETED_EVENT_METERED"], "an event like all others"
    for name in ("early", "four"):
        expect(http.get(f"/events/{name}"), 404)
    assert shop.problems() == []


def test_a_known_event_is_a_conflict(shop: Shop) -> None:
    shop.give("g", 10)
    shop.use("one", 2)
    conflict(lambda: shop.use("one", 2))
    conflict(lambda: shop.use("one", 3))
    conflict(lambda: shop.use("one", 300))
    expect(shop.tenant.http.post("/ingest", json={"event": event("plain", NOON)}), 202)
    conflict(lambda: shop.use("plain"))
    assert shop.left() == 8, "what comes in by /ingest is measured and draws nothing"
    expect(shop.tenant.http.post("/ingest", json={"event": event("lost", NOON, account="nobody")}), 202)
    assert shop.use("lost", 1).success is True, "what was refused for a cause that is gone may come again"
    assert shop.problems() == []


def test_what_would_be_no_usage_event_is_refused(shop: Shop) -> None:
    shop.give("g", 10)
    schema(shop.tenant.http, "free")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"account": "nobody"}, "No account has this id"),
        ({"schemaName": "nothing"}, "No active event schema"),
        ({"schemaName": "free"}, "no feature is associated"),
        ({"timestamp": "2023-01-01T00:00:00Z"}, "no longer takes events"),
        ({"dimensions": {}}, "model is missing"),
        ({"tokens": "-1"}, "event.attributes[0].value"),
        ({"tokens": "1.0000000000001"}, "event.attributes[0].value"),
        ({"tokens": "1" + 26 * "0"}, "event.attributes[0].value"),
    ]
    for change, word in cases:
        sent = {"event": event("one", NOON, **change)}
        assert word in expect(shop.tenant.http.post("/entitled", json=sent), 400)["message"]
    refused(lambda: shop.use(None), "no id")
    bodies: list[dict[str, Any]] = [{}, {"event": {}}, {"events": []}]
    for body in bodies:
        expect(shop.tenant.http.post("/entitled", json=body), 400)
    assert shop.left() == 10
    assert shop.use("one").success is True


def test_grants_hold_from_their_beginning_to_their_end(shop: Shop) -> None:
    shop.give("now", 1, end=day(12))
    shop.give("next", 5, start=day(12), end=day(14))
    shop.give("o", 3, source="OVERAGE", start=day(11), end=day(14))
    assert shop.left() == 1
    shop.use("one")
    refused(lambda: shop.use("two"), "has 0")
    expect(shop.tenant.http.post("/bursar/v1/clock", json={"now": "2024-05-11T00:00:00Z"}), 200)
    shop.use("two")
    expect(shop.tenant.http.post("/bursar/v1/clock", json={"now": "2024-05-12T00:00:00Z"}), 200)
    assert shop.entries() == {
        "now": ("EXPIRED", 1, 1, 0), "next": ("ACTIVE", 5, 0, 5), "o": ("ACTIVE", 3, 1, 2),
    }  # fmt: skip
    shop.use("three", 6)
    now = shop.api.get_feature_credits("acme", shop.feature)
    assert (now.granted, now.balance, now.overage_limit, now.used_overage) == (5, 0, 3, 2)
    shop.give("endless", None, source="OVERAGE", start=day(12))
    shop.use("four", 1000)
    assert shop.entries()["endless"] == ("ACTIVE", None, 999, None), "what ends sooner is drawn first"
    assert shop.api.get_feature_credits("acme", shop.feature).overage_limit is None
    assert shop.problems() == []


def test_entries_are_edited_and_voided(shop: Shop) -> None:
    entry = "sch.1#2024-05-01$PRICE_PLAN"
    shop.give(entry, 10, source="PRICE_PLAN")
    shop.give("spare", 4, end=day(20, 6))
    shop.use("one", 3)

    def update(identifier: str, **change: Any) -> Any:
        body = UpdateFeatureCreditsRequest.from_dict(change)
        return shop.api.update_feature_credit_entry("acme", shop.feature, identifier, body)

    changed = update(entry, granted=3.5, effectiveUntil="2024-05-11T00:00:00Z")
    assert (changed.id, changed.source, changed.status) == (entry, "PRICE_PLAN", "ACTIVE")
    assert (changed.granted, changed.used, changed.balance) == (3.5, 3, 0.5)
    assert (changed.effective_from, changed.effective_until) == (START, day(11))
    assert update(entry).to_dict() == changed.to_dict()
    refused(lambda: update(entry, granted=3), "granted", "3 that are used")
    refused(lambda: update(entry, effectiveUntil="2024-05-10T00:00:00Z"), "effectiveUntil", "future")
    assert update(entry, granted=5).balance == 2
    assert shop.left() == 6
    assert shop.api.void_feature_credit_entry("acme", shop.feature, entry).success is True
    assert shop.entries()[entry] == ("VOIDED", 5, 3, 0)
    assert shop.left() == 4
    refused(lambda: shop.api.void_feature_credit_entry("acme", shop.feature, entry), "voided")
    refused(lambda: update(entry, granted=9), "voided")
    shop.use("two", 4)
    refused(lambda: shop.use("three"), "has 0")
    assert shop.problems() == []
    expect(shop.tenant.http.delete("/accounts/acme"), 200)
    refused(lambda: update("spare", granted=9), "archived")


def test_entitlements_are_told_and_asked_for(shop: Shop) -> None:
    def value() -> list[tuple[str, str]]:
        return [(entry.feature_id, entry.value) for entry in shop.api.get_entitlement_value("acme", shop.feature).data]

    def allows(asked: str) -> bool:
        body = ValidateEntitlementValueRequest(value=asked)
        return bool(shop.api.validate_entitlement_value("acme", shop.feature, body).success)

    assert shop.api.get_entitlements("acme").data == []
    assert value() == [(shop.feature, "false")]
    assert (allows("true"), allows("1")) == (False, False)
    shop.give("switch", 0)
    assert value() == [(shop.feature, "true")]
    shop.give("units", "10.5")
    shop.give("later", 5, start=day(11))
    shop.use("one", 4)
    assert value() == [(shop.feature, "6.5")]
    assert (allows("true"), allows("6.5"), allows("6.6"), allows("gold")) == (True, True, False, False)
    other = expect(shop.tenant.http.post("/features", json={"name": "Seats", "schemaAssociations": []}), 200)["id"]
    Shop(shop.server, shop.tenant, other).give("seats", 3)
    found = shop.api.get_entitlements("acme").data
    assert [(entry.feature_id, entry.value) for entry in found] == [(shop.feature, "6.5"), (other, "3")]
    shop.give("endless", None, source="OVERAGE")
    assert value() == [(shop.feature, "unlimited")]
    assert allows("1000000")
    assert shop.left() == 6.5, "asking draws nothing"
    answer = shop.tenant.http.post(f"/accounts/acme/entitlements/{shop.feature}", json={})
    assert "value" in expect(answer, 400)["message"]
    missing: list[Callable[[], object]] = [
        lambda: shop.api.get_entitlements("nobody"),
        lambda: shop.api.get_entitlement_value("acme", "feature.none"),
        lambda: shop.api.validate_entitlement_value("nobody", shop.feature, ValidateEntitlementValueRequest(value="1")),
    ]
    for call in missing:
        with pytest.raises(NotFoundException, match="was not found"):
            call()


def test_lists_in_pages(shop: Shop) -> None:
    names = [f"g{n}" for n in range(5)]
    for name in names:
        shop.give(name, 1)
    seen: list[str] = []
    token = None
    while True:
        page = shop.api.list_feature_credit_entries("acme", shop.feature, page_size=2, next_token=token)
        seen += [entry.id for entry in page.data]
        token = page.next_token
        if token is None:
            break
    assert seen == names
    refused(lambda: shop.api.list_feature_credit_entries("acme", shop.feature, page_size=51), "pageSize")


def test_what_does_not_exist_and_who_may_not(shop: Shop) -> None:
    shop.give("g", 1)
    change = UpdateFeatureCreditsRequest(granted=5)
    for account, feature, entry in (("nobody", shop.feature, "g"), ("acme", "feature.none", "g"), ("acme", None, "h")):
        named = feature or shop.feature
        calls: list[Callable[[], object]] = [
            partial(shop.api.update_feature_credit_entry, account, named, entry, change),
            partial(shop.api.void_feature_credit_entry, account, named, entry),
        ]
        if entry == "g":
            calls += [
                partial(shop.api.get_feature_credits, account, named),
                partial(shop.api.list_feature_credit_entries, account, named),
            ]
        for call in calls:
            with pytest.raises(NotFoundException, match="was not found"):
                call()

    async def narrow(db: Database) -> str:
        async with db.transaction(shop.tenant.caller.workspace) as connection:
            text, _ = await create_token(connection, shop.tenant.caller, "reader", scopes=frozenset({"read"}))
        return text

    shop.tenant.togai.configuration.access_token = shop.server.run(narrow)
    assert shop.left() == 1
    with pytest.raises(ForbiddenException, match="ingest"):
        shop.use("one")
    with pytest.raises(ForbiddenException, match="write"):
        shop.api.void_feature_credit_entry("acme", shop.feature, "g")
    shop.tenant.togai.configuration.access_token = "nobody"
    with pytest.raises(UnauthorizedException):
        shop.use("one")


def test_grants_that_cannot_be(shop: Shop) -> None:
    shop.give("g", 1)
    cases: list[tuple[str, Any, Source, type[BursarError]]] = [
        ("g", 1, "ENTITLEMENT", Taken),
        ("h", -1, "ENTITLEMENT", Invalid),
        ("h", "0.0000000000001", "ENTITLEMENT", Invalid),
        ("h", None, "ENTITLEMENT", Invalid),
    ]
    for identifier, units, source, kind in cases:
        with pytest.raises(kind):
            shop.give(identifier, units, source=source)
    assert shop.entries() == {"g": ("ACTIVE", 1, 0, 1)}


WRITERS = 64


async def _at_once(tenant: Tenant, names: list[str]) -> Counter[int]:
    """The statuses of entitled events that are all on their way together."""
    limits = httpx.Limits(max_connections=WRITERS)
    headers = {"authorization": f"Bearer {tenant.token}"}
    async with httpx.AsyncClient(base_url=tenant.url, headers=headers, limits=limits, timeout=30, verify=PLAIN) as http:
        sent = [http.post("/entitled", json={"event": event(name, NOON)}) for name in names]
        return Counter(answer.status_code for answer in await asyncio.gather(*sent))


@pytest.mark.again
def test_many_writers_use_what_there_is_and_no_more(shop: Shop) -> None:
    shop.give("a", "100.5", end=day(20))
    shop.give("b", "49.75", end=day(15))
    answers = asyncio.run(_at_once(shop.tenant, [f"e{n}" for n in range(200)]))
    assert answers == {200: 150, 400: 50}
    assert shop.entries() == {"a": ("ACTIVE", 100.5, 100.25, 0.25), "b": ("ACTIVE", 49.75, 49.75, 0)}
    assert shop.problems() == []


@pytest.mark.again
def test_one_event_sent_many_times_at_once_is_used_once(shop: Shop) -> None:
    shop.give("a", 50)
    assert asyncio.run(_at_once(shop.tenant, ["same"] * 100)) == {200: 1, 409: 99}
    assert shop.left() == 49
    assert shop.problems() == []


async def _by_three_processes(shop: Shop, names: list[str]) -> Counter[str]:
    """What becomes of events that two desks and a plain pipeline, each with connections of its own, get at once."""
    db = await Database.open(shop.server.dsn, size=2)
    workspace = shop.tenant.caller.workspace

    async def through(pipeline: Pipeline, name: str) -> str:
        parsed = parse_single(json.dumps({"event": event(name, NOON)}).encode())
        try:
            receipt = await pipeline.submit(Submission(workspace, None, parsed))
        except BursarError as error:
            return type(error).__name__
        kind = "entitled" if isinstance(pipeline, Desk) else "plain"
        return kind if State.COMPLETED_NO_MATCHING_METERS in receipt.states else "repeat"

    try:
        async with Desk(db, wall) as one, Desk(db, wall) as two, Pipeline(db, wall) as plain:
            sent = [through(pipeline, name) for name in names for pipeline in (one, two, plain)]
            return Counter(await asyncio.gather(*sent))
    finally:
        await db.close()


@pytest.mark.again
def test_processes_that_meet_on_grants_and_ids(shop: Shop) -> None:
    shop.give("a", 60, end=day(15))
    shop.give("b", "40.5", end=day(20))
    names = [f"e{n}" for n in range(300)]
    became = asyncio.run(_by_three_processes(shop, names))
    assert became.total() == 900
    assert became["entitled"] + became["plain"] == 300, "each event was let in once, by one of them"
    assert became["entitled"] <= 100
    assert shop.left() == Decimal("100.5") - became["entitled"]
    assert became.keys() <= {"entitled", "plain", "repeat", "KnownEvent", "NotEntitled"}
    assert shop.problems() == []


async def _by_two_that_die(shop: Shop, body: bytes, key: str) -> list[str]:
    """What two processes find out of a request under a key that both got, and that neither answers."""
    db = await Database.open(shop.server.dsn, size=2)
    scope = {"type": "http", "method": "POST", "path": "/entitled", "query_string": b"", "headers": [
        (b"idempotency-key", key.encode()), (b"host", b"server"),
    ]}  # fmt: skip
    access = Access(shop.tenant.caller, frozenset(("ingest",)), None, None)
    attempt = attempt_of(Request(scope), access, ENTITLED, body)

    async def through(desk: Desk) -> str:
        try:
            await decide(desk, access, body, attempt)
        except BursarError as error:
            return type(error).__name__
        return "let in"

    try:
        async with Desk(db, wall) as one, Desk(db, wall) as two:
            return sorted(await asyncio.gather(through(one), through(two)))
    finally:
        await db.close()


def test_a_key_finds_the_answer_that_nobody_heard(shop: Shop) -> None:
    shop.give("a", 5)
    body = json.dumps({"event": event("one", NOON, tokens=2)}).encode()

    def send(content: bytes, key: str) -> tuple[int, str | None]:
        headers = {"idempotency-key": key, "content-type": "application/json"}
        answer = shop.tenant.http.post("/entitled", content=content, headers=headers)
        return answer.status_code, answer.headers.get("idempotency-replayed")

    told = asyncio.run(_by_two_that_die(shop, body, "first"))
    assert told[1] == "let in"
    assert told[0] in ("KeyTaken", "KnownEvent")
    assert (send(body, "first"), send(body, "first")) == ((200, "true"), (200, "true"))
    assert send(body, "second") == (409, None)
    other = json.dumps({"event": event("two", NOON, tokens=4)}).encode()
    assert send(other, "first") == (422, None)
    assert send(other, "third") == (400, None), "more than is left"
    shop.give("b", 1)
    assert (send(other, "third"), send(other, "third")) == ((200, None), (200, "true"))
    assert (shop.left(), shop.problems()) == (0, [])


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        ("update feature_grant set used = used + 1 where key = $1", "has used 3"),
        ("update feature_balance set balance = balance + 1 where key = (select feature_balance from feature_grant"
         " where key = $1)", "shows 9"),
        ("update feature_entry set event = gen_random_uuid() where event is not null and feature_grant = $1",
         "does not have"),
        ("update feature_entry set amount = amount + 1 where kind = 'GRANT' and feature_grant = $1", "entries say 9"),
    ],
)  # fmt: skip
def test_verify_finds_what_is_wrong(shop: Shop, damage: str, word: str) -> None:
    shop.give("a", 10)
    shop.use("one", 2)

    caller = shop.tenant.caller

    async def look(db: Database) -> Any:
        async with db.transaction(caller.workspace) as connection:
            key = await connection.fetchval("select key from feature_grant")
        return await broken_after(db, caller, CHECKS, damage, key)

    assert shop.problems() == []
    assert any(word in problem for problems in shop.server.run(look).values() for problem in problems)
