"""Metrics with the official client, against sums made here."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from togai_client.api.metrics_api import MetricsApi
from togai_client.models.get_metrics_request import GetMetricsRequest

from tests.conftest import Server, Tenant
from tests.http.togai.catalog import card, customer, event, expect, ingest, meter, per_unit, plan, schema

START, END = "2024-05-01T00:00:00Z", "2024-05-04T00:00:00Z"


@pytest.fixture
def ready(server: Server) -> tuple[Tenant, str]:
    """Two accounts with ten events a day over three days, priced at 1 up to 50 and 2 above."""
    tenant = server.workspace(clock=datetime(2024, 5, 4, tzinfo=UTC))
    schema(tenant.http)
    identifier = meter(tenant.http)
    priced = plan(tenant.http, [card(identifier, per_unit(0, 50), [1, 2])])
    for account in ("one", "two"):
        customer(tenant.http, account)
        body = {"pricePlanId": priced, "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01"}
        expect(tenant.http.post(f"/accounts/{account}/price_plans", json=body), 200)
    for day in (1, 2, 3):
        ingest(
            tenant.http,
            *(
                event(f"{account}-{day}-{hour}", f"2024-05-0{day}T{hour:02}:00:00Z", account=account, tokens=tokens)
                for account, tokens in (("one", 3), ("two", 1))
                for hour in range(10)
            ),
            event(f"stray-{day}", f"2024-05-0{day}T01:00:00Z", account="nobody"),
        )
    return tenant, identifier


def ask(tenant: Tenant, **query: Any) -> dict[str | None, list[Any]]:
    body = {
        "startTime": START,
        "endTime": END,
        "metricQueries": [{"id": "q", "name": "USAGE", "aggregationPeriod": "DAY", **query}],
    }
    (result,) = MetricsApi(tenant.togai).get_metrics(GetMetricsRequest.from_dict(body)).results
    return {
        points.grouped_by.field_value if points.grouped_by else None: [
            Decimal(str(value)) for value in points.metric_values
        ]
        for points in result.data
    }


def test_usage(ready: tuple[Tenant, str]) -> None:
    tenant, identifier = ready
    assert ask(tenant) == {None: [40, 40, 40]}
    assert ask(tenant, name="METER_USAGE", groupBy="ACCOUNT_ID") == {"one": [30] * 3, "two": [10] * 3}
    assert ask(tenant, groupBy="USAGE_METER_ID") == {identifier: [40] * 3}
    assert ask(tenant, aggregationPeriod="MONTH") == {None: [120]}
    only = [{"fieldName": "ACCOUNT_ID", "fieldValues": ["two"]}]
    assert ask(tenant, filters=only) == {None: [10] * 3}
    assert ask(tenant, filters=[{"fieldName": "CUSTOMER_ID", "fieldValues": ["one", "never"]}]) == {None: [30] * 3}
    assert sum(ask(tenant, aggregationPeriod="HOUR")[None]) == 120


def test_revenue_follows_the_slabs(ready: tuple[Tenant, str]) -> None:
    tenant, _ = ready
    # Account one uses 30 a day: 30 at 1, then 20 at 1 and 10 at 2, then 30 at 2. Account two stays in the first slab.
    assert ask(tenant, name="REVENUE", groupBy="ACCOUNT_ID") == {"one": [30, 40, 60], "two": [10, 10, 10]}
    assert ask(tenant, name="REVENUE") == {None: [40, 50, 70]}


def test_events(ready: tuple[Tenant, str]) -> None:
    tenant, _ = ready
    assert ask(tenant, name="EVENTS") == {None: [21] * 3}
    assert ask(tenant, name="EVENTS", groupBy="EVENT_STATUS") == {"PROCESSED": [20] * 3, "UNPROCESSED": [1] * 3}
    found = ask(tenant, name="EVENTS", groupBy="RAW_EVENT_STATUS")
    assert found["INGESTION_FAILED_ACCOUNT_NOT_FOUND"] == [1] * 3
    processed = [{"fieldName": "EVENT_STATUS", "fieldValues": ["PROCESSED"]}]
    assert ask(tenant, name="EVENTS", groupBy="SCHEMA_NAME", filters=processed) == {"llm": [20] * 3}
