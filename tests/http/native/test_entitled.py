"""Entitled events in one request: each has the outcome that it would have had alone, one after the other."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from bursar.accounts.store import get_account
from bursar.catalog.features import get_feature
from bursar.core.period import Period
from bursar.db.database import Database
from bursar.purchases import grants
from bursar.purchases.grants import NewGrant
from bursar.purchases.verify import CHECKS
from bursar.usage.verify import CHECKS as USAGE
from tests.conftest import Server
from tests.http.togai.catalog import customer, event, expect, schema

NOON = datetime(2024, 5, 10, 12, tzinfo=UTC)
JUNE = datetime(2024, 6, 1, tzinfo=UTC)


def test_each_is_decided_for_itself(server: Server) -> None:
    tenant = server.workspace(clock=NOON)
    customer(tenant.http)
    schema(tenant.http)
    links = [{"schemaName": "llm", "attributeName": "tokens"}]
    feature = expect(tenant.http.post("/features", json={"name": "Tokens", "schemaAssociations": links}), 200)["id"]

    async def give(db: Database) -> None:
        async with db.transaction(tenant.caller.workspace) as connection:
            workspace = tenant.caller.workspace
            new = NewGrant(
                await get_feature(connection, workspace, feature),
                "pack",
                "ENTITLEMENT",
                Period(NOON, JUNE),
                Decimal(10),
            )
            await grants.give(connection, tenant.caller, await get_account(connection, workspace, "acme"), [new])

    server.run(give)

    def send(*events: Any) -> list[tuple[bool, int | None]]:
        answer = expect(tenant.http.post("/bursar/v1/entitled", json={"events": events}), 200)
        return [(one["success"], one.get("status")) for one in answer["outcomes"]]

    def used(name: str, tokens: Any, **more: Any) -> Any:
        return event(name, "2024-05-10T12:00:00Z", tokens=tokens, **more)

    told = send(
        used("a", 4), used("b", 7), used("c", 6), used("d", 1), used("a", 0), used("e", 0), used("f", 1, account="no")
    )
    assert told == [(True, None), (False, 400), (True, None), (False, 400), (False, 409), (True, None), (False, 400)]
    assert send(used("c", 6), used("b", 0)) == [(False, 409), (True, None)]
    assert expect(tenant.http.get(f"/accounts/acme/features/{feature}"), 200)["balance"] == 0
    for name in "abce":
        assert len(expect(tenant.http.get(f"/events/{name}"), 200)["events"]) == 1
    wrong = expect(tenant.http.post("/bursar/v1/entitled", json={"events": [used("g", 1), {"id": "h"}]}), 400)
    assert "events[1]" in wrong["detail"]
    assert server.broken(tenant, [*CHECKS, *USAGE]) == []
