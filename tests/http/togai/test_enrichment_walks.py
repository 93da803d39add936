"""Settings, schemas and events in any order: each event counts by what held as it came, and goes on doing so.

The oracle is a handful of dictionaries, changed step by step as the requests go out.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bursar.usage import quantities
from bursar.usage.verify import measured_again
from tests.conftest import Server, Tenant
from tests.http.togai.catalog import customer, event, expect, ingest, meter

START, END = datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 2, tzinfo=UTC)
OWNERS = {"a1": "a", "a2": "a", "b": "b"}
"""The customer of each account."""
RULES = {
    "times": '{"*":[{"var":"attributes.tokens"},{"var":"dependencies.s"}]}',
    "plus": '{"+":[{"var":"attributes.tokens"},{"var":"dependencies.s"}]}',
    "times or one": '{"*":[{"var":"attributes.tokens"},{"var":["dependencies.s",1]}]}',
}
VALUES = st.integers(-50, 50)
STEPS = st.one_of(
    st.tuples(st.just("setting"), st.sampled_from([("ORGANIZATION", ""), ("CUSTOMER", "a"), ("CUSTOMER", "b"),
              ("ACCOUNT", "a1"), ("ACCOUNT", "a2"), ("ACCOUNT", "b")]), VALUES),
    st.tuples(st.just("schema"), st.sampled_from(sorted(RULES)), st.just(0)),
    *[st.tuples(st.just("event"), st.sampled_from(sorted(OWNERS)), VALUES)] * 2,
)  # fmt: skip


def enrichments(rule: str) -> dict[str, Any]:
    field = {"name": "out", "type": "ATTRIBUTE", "enrichmentType": "JSON_LOGIC", "value": RULES[rule], "order": 1}
    return {"fields": [field], "dependencies": [{"type": "SETTING", "key": "setting.user.s", "name": "s"}]}


def prepare(tenant: Tenant) -> str:
    for name in ("a", "b"):
        customer(tenant.http, name, **({"id": "a1", "name": "ACME"} if name == "a" else {}))
    expect(tenant.http.post("/accounts", json={"id": "a2", "name": "Second", "customerId": "a"}), 201)
    body = {"name": "llm", "attributes": [{"name": "tokens"}], "dimensions": [], "enrichments": enrichments("times")}
    expect(tenant.http.post("/event_schema", json=body), 201)
    expect(tenant.http.post("/event_schema/llm/activate"), 200)
    return meter(tenant.http, computations=[{"computation": '{"var":"attributes.out"}', "order": 1}])


def set_value(tenant: Tenant, made: dict[tuple[str, str], int], owner: tuple[str, str], value: int) -> None:
    kind, name = owner[0], owner[1] or tenant.name
    if owner in made:
        expect(tenant.http.patch(f"/settings/setting.USER.s.{kind}.{name}", json={"value": str(value)}), 201)
    else:
        body = {"id": "s", "namespace": "USER", "name": "S", "value": str(value), "dataType": "NUMERIC"}
        expect(tenant.http.post("/settings", json={**body, "entityType": kind, "entityId": name}), 201)
    made[owner] = value


def expected(made: dict[tuple[str, str], int], account: str, rule: str, tokens: int) -> int | None:
    owners = (("ACCOUNT", account), ("CUSTOMER", OWNERS[account]), ("ORGANIZATION", ""))
    found = next((made[owner] for owner in owners if owner in made), None)
    if found is None:
        return tokens if rule == "times or one" else None
    return tokens + found if rule == "plus" else tokens * found


async def measured(db: Any, workspace: int, meter_id: str, end: datetime) -> dict[str, Decimal]:
    async with db.reading(workspace) as connection:
        keys = dict(await connection.fetch("select togai_id, key from account where workspace = $1", workspace))
        metered = await connection.fetchval("select key from usage_meter where wire_id = $1", meter_id)
        asked = [(keys[account], metered, START, end) for account in OWNERS]
        return dict(zip(OWNERS, await quantities.sums(connection, workspace, asked), strict=True))


async def from_bodies(db: Any, workspace: int) -> tuple[list[str], Decimal]:
    problems: list[str] = []
    async with db.snapshot() as connection:
        found = await measured_again(connection, workspace, problems)
    return problems, sum((quantity for _, quantity in found.values()), Decimal(0))


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, min_size=10, max_size=40))
def test_a_walk(server: Server, steps: list[tuple[str, Any, int]]) -> None:
    tenant = server.workspace(clock=END)
    meter_id = prepare(tenant)
    made: dict[tuple[str, str], int] = {}
    rule, version = "times", 1
    outcome: dict[str, tuple[int, int | None]] = {}
    totals = dict.fromkeys(OWNERS, 0)
    for number, (step, which, value) in enumerate(steps):
        if step == "setting":
            set_value(tenant, made, which, value)
        elif step == "schema":
            answer = expect(tenant.http.patch("/event_schema/llm", json={"enrichments": enrichments(which)}), 200)
            version += rule != which
            rule = which
            assert answer["version"] == version
        else:
            ingest(tenant.http, event(f"e{number}", "2024-05-01T10:00:00Z", account=which, tokens=value))
            outcome[f"e{number}"] = (version, expected(made, which, rule, value))
            totals[which] += outcome[f"e{number}"][1] or 0
    for identifier, (judged_by, units) in outcome.items():
        (found,) = expect(tenant.http.get(f"/events/{identifier}"), 200)["events"]
        shown = found["eventPipelineInfo"]
        assert shown["eventSchema"] == {"name": "llm", "version": judged_by}
        status = "INGESTION_FAILED_ENRICHMENT_FAILED" if units is None else "INGESTION_COMPLETED_EVENT_METERED"
        assert found["ingestionStatus"]["status"] == status
        assert [entry["units"] for entry in shown["usageMeters"]] == ([] if units is None else [units])
    # Whole buckets come from the rollups; what ends within one is measured again from what was sent.
    for end in (END, datetime(2024, 5, 1, 10, 0, 1, tzinfo=UTC)):
        again = server.run(lambda db, end=end: measured(db, tenant.caller.workspace, meter_id, end))
        assert again == totals
    problems, everything = server.run(lambda db: from_bodies(db, tenant.caller.workspace))
    assert (problems, everything) == ([], sum(totals.values()))
