"""A small catalogue for tests: made through the wire, as a user would."""

import json
from typing import Any

import httpx


def expect(answer: httpx.Response, status: int) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


def customer(http: httpx.Client, identifier: str = "acme", **account: Any) -> None:
    body = {"id": identifier, "name": "ACME", "primaryEmail": "a@example.com", "address": {}}
    if account:
        body["account"] = {"id": identifier, "name": "ACME", **account}
    expect(http.post("/customers", json=body), 201)


def schema(http: httpx.Client, name: str = "llm", *, active: bool = True, **more: Any) -> None:
    body = {
        "name": name,
        "attributes": [{"name": "tokens"}],
        "dimensions": [{"name": "model"}],
        "filterFields": ["model"],
        **more,
    }
    expect(http.post("/event_schema", json=body), 201)
    if active:
        expect(http.post(f"/event_schema/{name}/activate"), 200)


def meter(
    http: httpx.Client, name: str = "tokens", schema_name: str = "llm", *, active: bool = True, **more: Any
) -> str:
    body = {
        "name": name,
        "type": "COUNTER",
        "aggregation": "SUM",
        "eventSchemaName": schema_name,
        "computations": [{"computation": json.dumps({"var": "attributes.tokens"}), "order": 1}],
        **more,
    }
    made = expect(http.post("/usage_meters", json=body), 201)
    if active:
        expect(http.post(f"/usage_meters/{made['id']}/activate"), 200)
    return str(made["id"])


def card(
    meter_id: str, slabs: list[dict[str, Any]], rates: list[Any], *, model: str = "TIERED", currency: str = "USD"
) -> dict[str, Any]:
    return {
        "usageMeterId": meter_id,
        "displayName": "Tokens",
        "ratePlan": {"pricingModel": model, "slabs": slabs},
        "rateValues": [
            {"currency": currency, "slabRates": [{"order": i + 1, "rate": rate} for i, rate in enumerate(rates)]}
        ],
    }


def add_on(http: httpx.Client, name: str = "Support", kind: str = "FIXED_FEE", **more: Any) -> str:
    return str(expect(http.post("/addons", json={"name": name, "type": kind, **more}), 200)["id"])


def fixed_fee(
    add_on_id: str, rate: Any, *, prorated: bool = True, currency: str = "USD", **more: Any
) -> dict[str, Any]:
    return {
        "id": add_on_id,
        "rateValues": [{"currency": currency, "rate": rate}],
        "enableProration": prorated,
        **more,
    }


def per_unit(*starts: Any) -> list[dict[str, Any]]:
    return [{"order": i + 1, "startAfter": start, "priceType": "PER_UNIT"} for i, start in enumerate(starts)]


def plan(
    http: httpx.Client,
    cards: list[dict[str, Any]],
    *,
    name: str = "plan",
    currency: str = "USD",
    cycle: dict[str, Any] | None = None,
    commitment: Any = None,
    fees: list[dict[str, Any]] | None = None,
    active: bool = True,
) -> str:
    details: dict[str, Any] = {
        "supportedCurrencies": [currency],
        "pricingCycleConfig": cycle
        or {"interval": "MONTHLY", "startOffset": {"dayOffset": "1", "monthOffset": "NIL"}, "gracePeriod": 3},
        "usageRateCards": cards,
    }
    if fees is not None:
        details["fixedFeeRateCards"] = fees
    if commitment is not None:
        details["minimumCommitment"] = {
            "displayName": "Commitment",
            "rateValues": [{"currency": currency, "rate": commitment}],
        }
    made = expect(http.post("/price_plans", json={"name": name, "type": "BILLING", "pricePlanDetails": details}), 200)
    if active:
        expect(http.post(f"/price_plans/{made['id']}/activate", json={"currencies": [currency]}), 200)
    return str(made["id"])


def event(
    identifier: str | None, at: str, *, account: str = "acme", tokens: Any = 1, model: str = "big", **more: Any
) -> dict[str, Any]:
    content = {
        "schemaName": "llm",
        "id": identifier,
        "timestamp": at,
        "accountId": account,
        "attributes": [{"name": "tokens", "value": str(tokens)}],
        "dimensions": {"model": model},
        **more,
    }
    return {key: value for key, value in content.items() if value is not None}


def ingest(http: httpx.Client, *events: dict[str, Any], status: int = 202) -> Any:
    return expect(http.post("/ingestBatch", json={"events": list(events)}), status)


def status_of(http: httpx.Client, identifier: str) -> list[str]:
    found = expect(http.get(f"/events/{identifier}"), 200)
    return [entry["ingestionStatus"]["status"].removeprefix("INGESTION_") for entry in found["events"]]
