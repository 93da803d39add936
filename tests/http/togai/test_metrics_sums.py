"""Every metric, group, filter and interval against plain sums over the list of events that were sent."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import cache
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from togai_client.api.metrics_api import MetricsApi
from togai_client.models.get_metrics_request import GetMetricsRequest

from tests.conftest import Server, Tenant
from tests.http.togai.catalog import customer, event, expect, ingest, meter, schema

ZONE = ZoneInfo("Asia/Kolkata")
START = datetime(2024, 4, 26, 20, 15, tzinfo=UTC)
END = datetime(2024, 5, 8, 6, 0, tzinfo=UTC)
PERIODS = ("HOUR", "DAY", "WEEK", "MONTH")
OWNERS = {"a1": "one", "a2": "one", "b1": "two", "nobody": ""}
SLABS = {"USD": (1, 50, 2), "EUR": (3, 50, 1)}
"""Graduated prices: rate, up to (the same in every currency), rate beyond."""

Key = Callable[["Sent"], str]


@dataclass(frozen=True)
class Sent:
    """An event as it was sent."""

    schema: str
    account: str
    at: datetime
    tokens: int
    model: str

    @property
    def status(self) -> str:
        if self.schema == "unknown":
            return "INGESTION_FAILED_SCHEMA_NOT_DEFINED"
        if self.account == "nobody":
            return "INGESTION_FAILED_ACCOUNT_NOT_FOUND"
        return "INGESTION_COMPLETED_EVENT_METERED"


@dataclass(frozen=True)
class Used:
    """What a meter found in an event."""

    meter: str
    sent: Sent
    quantity: int


@dataclass
class Ready:
    """A workspace with a month of events, the list of them, and its meters by name."""

    tenant: Tenant
    sent: list[Sent]
    meters: dict[str, str]

    @property
    def used(self) -> list[Used]:
        found = []
        for sent in self.sent:
            if not sent.status.startswith("INGESTION_COMPLETED"):
                continue
            if sent.schema == "api":
                found.append(Used(self.meters["calls"], sent, 1))
                continue
            found.append(Used(self.meters["tokens"], sent, sent.tokens))
            if sent.model == "big":
                found.append(Used(self.meters["big"], sent, 1))
        return found


def _card(identifier: str) -> dict[str, Any]:
    (low, bound, high), (low_eur, _, high_eur) = SLABS["USD"], SLABS["EUR"]
    return {
        "displayName": f"Card {identifier}",
        "usageMeterId": identifier,
        "ratePlan": {
            "pricingModel": "TIERED",
            "slabs": [
                {"order": 1, "startAfter": 0, "priceType": "PER_UNIT"},
                {"order": 2, "startAfter": bound, "priceType": "PER_UNIT"},
            ],
        },
        "rateValues": [
            {"currency": "USD", "slabRates": [{"order": 1, "rate": low}, {"order": 2, "rate": high}]},
            {"currency": "EUR", "slabRates": [{"order": 1, "rate": low_eur}, {"order": 2, "rate": high_eur}]},
        ],
    }


@pytest.fixture(scope="module")
def ready(server: Server) -> Ready:
    tenant = server.workspace(clock=datetime(2024, 5, 2, tzinfo=UTC), timezone=str(ZONE))
    http = tenant.http
    schema(http)
    schema(http, "api", filterFields=[])
    count: dict[str, Any] = {"aggregation": "COUNT", "computations": [{"computation": "1", "order": 1}]}
    meters = {
        "tokens": meter(http, "tokens"),
        "big": meter(http, "big", **count, filters=[{"field": "model", "value": "big"}]),
        "calls": meter(http, "calls", "api", **count),
    }
    details = {
        "supportedCurrencies": ["USD", "EUR"],
        "pricingCycleConfig": {
            "interval": "MONTHLY", "startOffset": {"dayOffset": "1", "monthOffset": "NIL"}, "gracePeriod": 10,
        },
        "usageRateCards": [_card(meters["tokens"]), _card(meters["calls"])],
    }  # fmt: skip
    body = {"name": "plan", "type": "BILLING", "pricePlanDetails": details}
    priced = expect(http.post("/price_plans", json=body), 200)["id"]
    expect(http.post(f"/price_plans/{priced}/activate", json={"currencies": ["USD", "EUR"]}), 200)
    for name in ("one", "two"):
        customer(http, name)
    for account, currency in (("a1", "USD"), ("a2", "USD"), ("b1", "EUR")):
        new = {"id": account, "name": account * 2, "customerId": OWNERS[account], "invoiceCurrency": currency}
        expect(http.post("/accounts", json=new), 201)
        body = {"pricePlanId": priced, "effectiveFrom": "2024-04-01", "effectiveUntil": "9999-01-01"}
        expect(http.post(f"/accounts/{account}/price_plans", json={"mode": "ASSOCIATE", **body}), 200)
    random = Random(20240501)
    minutes = int((END - START) / timedelta(minutes=1))
    sent = [
        Sent(
            schema=random.choice(("llm", "llm", "api", "unknown")),
            account=random.choice(tuple(OWNERS)),
            at=START + timedelta(minutes=random.randrange(-1440, minutes + 1440)),
            tokens=random.randrange(1, 9),
            model=random.choice(("big", "small")),
        )
        for _ in range(400)
    ]
    # The boundaries themselves: the start belongs to a point, the end to none.
    sent += [Sent("llm", "a1", START, 5, "big"), Sent("llm", "a1", END, 7, "big")]
    ingest(
        http,
        *(
            event(f"e{n}", s.at.isoformat(), account=s.account, tokens=s.tokens, model=s.model, schemaName=s.schema)
            for n, s in enumerate(sent)
        ),
    )
    return Ready(tenant, sent, meters)


@cache
def cuts(period: str) -> list[datetime]:
    """Where points begin, found by trying every quarter of an hour."""
    found = [START]
    moment = START + timedelta(minutes=15)
    while moment < END:
        local = moment.astimezone(ZONE)
        midnight = (local.hour, local.minute) == (0, 0)
        hit = {
            "HOUR": moment.minute == 0,
            "DAY": midnight,
            "WEEK": midnight and local.isoweekday() == 1,
            "MONTH": midnight and local.day == 1,
        }
        if hit[period]:
            found.append(moment)
        moment += timedelta(minutes=15)
    return found


@cache
def cycle_of(moment: datetime) -> datetime:
    """The first of the month around an instant."""
    return moment.astimezone(ZONE).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


Groups = dict[str | None, list[Fraction]]


def tally(rows: list[tuple[str | None, datetime, Fraction]], period: str, *, grouped: bool) -> Groups:
    """Values by group and point; groups of nothing but zeros are left out."""
    starts = cuts(period)
    groups: Groups = defaultdict(lambda: [Fraction(0)] * len(starts))
    if not grouped:
        groups[None] = [Fraction(0)] * len(starts)
    for group, moment, value in rows:
        if START <= moment < END:
            groups[group][bisect_right(starts, moment) - 1] += value
    return {group: values for group, values in groups.items() if not grouped or any(values)}


def cost(quantity: int, currency: str) -> Fraction:
    low, bound, high = SLABS[currency]
    return Fraction(min(quantity, bound) * low + max(quantity - bound, 0) * high)


def ask(ready: Ready, name: str, **query: Any) -> dict[str, Groups]:
    """One metric by every interval, through the official client."""
    queries = [{"id": period, "name": name, "aggregationPeriod": period, **query} for period in PERIODS]
    body = {"startTime": START.isoformat(), "endTime": END.isoformat(), "metricQueries": queries}
    results = MetricsApi(ready.tenant.togai).get_metrics(GetMetricsRequest.from_dict(body)).results
    answer: dict[str, Groups] = {}
    for result in results:
        assert result.name == name
        answer[result.id] = {}
        for points in result.data:
            assert points.timestamps == cuts(result.id)
            group = points.grouped_by.field_value if points.grouped_by else None
            assert points.grouped_by is None or points.grouped_by.field_name == query["groupBy"]
            answer[result.id][group] = [Fraction(str(value)) for value in points.metric_values]
    return answer


def only(**fields: list[str]) -> dict[str, Any]:
    return (
        {"filters": [{"fieldName": name, "fieldValues": values} for name, values in fields.items()]} if fields else {}
    )


EVENT_GROUPS: dict[str | None, Key | None] = {
    None: None,
    "ACCOUNT_ID": lambda sent: sent.account if sent.account != "nobody" else "",
    "CUSTOMER_ID": lambda sent: OWNERS[sent.account],
    "SCHEMA_NAME": lambda sent: sent.schema if sent.schema != "unknown" else "",
    "EVENT_STATUS": lambda sent: "PROCESSED" if "COMPLETED" in sent.status else "UNPROCESSED",
    "RAW_EVENT_STATUS": lambda sent: sent.status,
}
EVENT_FILTERS: list[tuple[dict[str, list[str]], Callable[[Sent], bool]]] = [
    ({}, lambda sent: True),
    ({"ACCOUNT_ID": ["a1", "b1", "none"]}, lambda sent: sent.account in ("a1", "b1")),
    ({"CUSTOMER_ID": ["one"]}, lambda sent: sent.account in ("a1", "a2")),
    ({"CUSTOMER_ID": ["one"], "ACCOUNT_ID": ["a2", "b1"]}, lambda sent: sent.account == "a2"),
    ({"SCHEMA_NAME": ["api"]}, lambda sent: sent.schema == "api"),
    ({"EVENT_STATUS": ["PROCESSED"]}, lambda sent: "COMPLETED" in sent.status),
    ({"EVENT_STATUS": ["IN_PROGRESS"]}, lambda sent: False),
    (
        {"EVENT_STATUS": ["INGESTION_FAILED_ACCOUNT_NOT_FOUND", "PROCESSED"], "ACCOUNT_ID": ["a1"]},
        lambda sent: sent.account == "a1" and "COMPLETED" in sent.status,
    ),
    ({"EVENT_STATUS": ["INGESTION_FAILED_SCHEMA_NOT_DEFINED"]}, lambda sent: sent.schema == "unknown"),
]


@pytest.mark.parametrize("group", EVENT_GROUPS, ids=str)
def test_events(ready: Ready, group: str | None) -> None:
    label = EVENT_GROUPS[group]
    for filters, keep in EVENT_FILTERS:
        rows = [(label(sent) if label else None, sent.at, Fraction(1)) for sent in ready.sent if keep(sent)]
        found = ask(ready, "EVENTS", **only(**filters), **({"groupBy": group} if group else {}))
        for period in PERIODS:
            assert found[period] == tally(rows, period, grouped=label is not None), (filters, period)


USAGE_GROUPS: dict[str | None, Callable[[Used], str] | None] = {
    None: None,
    "ACCOUNT_ID": lambda used: used.sent.account,
    "CUSTOMER_ID": lambda used: OWNERS[used.sent.account],
    "USAGE_METER_ID": lambda used: used.meter,
    "BILLABLE_ID": lambda used: used.meter,
}


def usage_filters(ready: Ready) -> list[tuple[dict[str, list[str]], Callable[[Used], bool]]]:
    tokens, calls = ready.meters["tokens"], ready.meters["calls"]
    return [
        ({}, lambda used: True),
        ({"ACCOUNT_ID": ["a1", "none"]}, lambda used: used.sent.account == "a1"),
        ({"CUSTOMER_ID": ["two"]}, lambda used: used.sent.account == "b1"),
        ({"USAGE_METER_ID": [tokens]}, lambda used: used.meter == tokens),
        ({"USAGE_METER_ID": ["calls", "um.none"]}, lambda used: used.meter == calls),
        ({"BILLABLE_ID": [calls, "tokens"]}, lambda used: used.meter in (tokens, calls)),
        ({"BILLABLE_ID": [calls], "USAGE_METER_ID": [tokens]}, lambda used: False),
        (
            {"BILLABLE_ID": [tokens], "CUSTOMER_ID": ["one"], "ACCOUNT_ID": ["a2"]},
            lambda used: used.meter == tokens and used.sent.account == "a2",
        ),
    ]


@pytest.mark.parametrize("group", USAGE_GROUPS, ids=str)
def test_usage(ready: Ready, group: str | None) -> None:
    label = USAGE_GROUPS[group]
    grouping = {"groupBy": group} if group else {}
    for filters, keep in usage_filters(ready):
        kept = [used for used in ready.used if keep(used)]
        rows = [(label(used) if label else None, used.sent.at, Fraction(used.quantity)) for used in kept]
        whole = [
            (label(used) if label else None, cycle_of(used.sent.at), Fraction(used.quantity))
            for used in kept
            if used.meter != ready.meters["big"]  # no plan prices it
        ]
        for name, expected in (("USAGE", rows), ("METER_USAGE", rows), ("USAGE_FOR_CYCLE", whole)):
            found = ask(ready, name, **only(**filters), **grouping)
            for period in PERIODS:
                assert found[period] == tally(expected, period, grouped=label is not None), (name, filters, period)


@pytest.mark.parametrize("config", [None, "BASE", "INVOICE"])
@pytest.mark.parametrize("group", USAGE_GROUPS, ids=str)
def test_revenue(ready: Ready, group: str | None, config: str | None) -> None:
    """The event that takes a cycle's quantity from q to q + n brings cost(q + n) - cost(q)."""
    label = USAGE_GROUPS[group]
    options: dict[str, Any] = {"groupBy": group} if group else {}
    if config is not None:
        options["configs"] = {"CURRENCY": config}
    for filters, keep in usage_filters(ready)[:6:2]:
        kept = [used for used in ready.used if keep(used) and used.meter != ready.meters["big"]]
        currencies = defaultdict(set)
        so_far: defaultdict[tuple[str, str, datetime], int] = defaultdict(int)
        rows = []
        for used in sorted(kept, key=lambda used: used.sent.at):
            currency = "EUR" if config == "INVOICE" and used.sent.account == "b1" else "USD"
            place = (used.sent.account, used.meter, cycle_of(used.sent.at))
            before = so_far[place]
            so_far[place] += used.quantity
            group_label = label(used) if label else None
            currencies[group_label].add(currency)
            rows.append((group_label, used.sent.at, cost(so_far[place], currency) - cost(before, currency)))
        whole = [(group_label, cycle_of(moment), value) for group_label, moment, value in rows]
        for name, expected in (("REVENUE", rows), ("REVENUE_FOR_CYCLE", whole)):
            if any(len(some) > 1 for some in currencies.values()):
                continue
            found = ask(ready, name, **only(**filters), **options)
            for period in PERIODS:
                assert found[period] == tally(expected, period, grouped=label is not None), (name, filters, period)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": "NAMED_LICENSE_USAGE", "groupBy": "EVENT_STATUS"}, "groupBy"),
    ({"name": "SALES"}, "name"),
    ({"aggregationPeriod": "YEAR"}, "aggregationPeriod"),
    ({"groupBy": "RAW_EVENT_STATUS"}, "groupBy"),
    ({"name": "EVENTS", "groupBy": "BILLABLE_ID"}, "groupBy"),
    ({"filters": []}, "filters"),
    ({"filters": only(ACCOUNT_ID=["a"])["filters"] * 6}, "filters"),
    ({"filters": only(ACCOUNT_ID=["a"])["filters"] * 2}, "twice"),
    (only(ORGANIZATION_ID=["a"]), "fieldName"),
    (only(EVENT_STATUS=["PROCESSED"]), "fieldName"),
    ({"name": "EVENTS", **only(BILLABLE_ID=["a"])}, "fieldName"),
    ({"name": "EVENTS", **only(RAW_EVENT_STATUS=["INGESTION_FAILED"])}, "fieldName"),
    ({"name": "EVENTS", **only(SCHEMA_NAME=["llm", "api"])}, "fieldValues"),
    ({"name": "EVENTS", **only(EVENT_STATUS=["ODD"])}, "ODD"),
    ({"configs": {"CURRENCY": "BASE"}}, "configs"),
    ({"name": "REVENUE", "configs": {"COLOUR": "BASE"}}, "COLOUR"),
    ({"name": "REVENUE", "configs": {"CURRENCY": "USD"}}, "BASE or INVOICE"),
    ({"name": "REVENUE", "configs": {"CURRENCY": "INVOICE"}}, "currencies"),
    ({"name": "REVENUE_FOR_CYCLE", "groupBy": "BILLABLE_ID", "configs": {"CURRENCY": "INVOICE"}}, "currencies"),
]


@pytest.mark.parametrize(("change", "word"), REFUSED)
def test_what_cannot_be_asked_is_said(ready: Ready, change: dict[str, Any], word: str) -> None:
    query = {"id": "q", "name": "USAGE", "aggregationPeriod": "MONTH", **change}
    body = {"startTime": "2024-04-01T00:00:00Z", "endTime": "2024-06-01T00:00:00Z", "metricQueries": [query]}
    answer = ready.tenant.http.post("/metrics", json=body)
    assert answer.status_code == 400, answer.text
    assert word in answer.json()["message"]


def test_the_bounds_of_a_request(ready: Ready) -> None:
    query = {"id": "q", "name": "USAGE", "aggregationPeriod": "HOUR"}
    whole: dict[str, Any] = {
        "startTime": "2024-04-01T00:00:00Z",
        "endTime": "2024-04-13T12:00:00Z",
        "metricQueries": [query] * 5,
    }
    expect(ready.tenant.http.post("/metrics", json=whole), 200)
    changes: list[tuple[dict[str, Any], str]] = [
        ({"metricQueries": []}, "metricQueries"),
        ({"metricQueries": [query] * 6}, "metricQueries"),
        ({"endTime": "2024-04-13T13:00:00Z"}, "300"),
        ({"endTime": whole["startTime"]}, "endTime"),
        ({"startTime": "soon"}, "startTime"),
    ]
    for change, word in changes:
        answer = ready.tenant.http.post("/metrics", json={**whole, **change})
        assert answer.status_code == 400, answer.text
        assert word in answer.json()["message"]


def test_a_plan_without_prices_in_the_base_currency_has_no_revenue_in_it(server: Server) -> None:
    tenant = server.workspace(clock=datetime(2024, 5, 2, tzinfo=UTC))
    schema(tenant.http)
    card = _card(meter(tenant.http))
    card["rateValues"] = card["rateValues"][1:]
    details = {
        "supportedCurrencies": ["EUR"],
        "pricingCycleConfig": {
            "interval": "MONTHLY", "startOffset": {"dayOffset": "1", "monthOffset": "NIL"}, "gracePeriod": 3,
        },
        "usageRateCards": [card],
    }  # fmt: skip
    body = {"name": "euro", "type": "BILLING", "pricePlanDetails": details}
    priced = expect(tenant.http.post("/price_plans", json=body), 200)["id"]
    expect(tenant.http.post(f"/price_plans/{priced}/activate", json={"currencies": ["EUR"]}), 200)
    customer(tenant.http, "acme", invoiceCurrency="EUR")
    association = {"pricePlanId": priced, "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01"}
    expect(tenant.http.post("/accounts/acme/price_plans", json=association), 200)
    query: dict[str, Any] = {"id": "q", "name": "REVENUE", "aggregationPeriod": "MONTH"}
    asked = {"startTime": "2024-05-01T00:00:00Z", "endTime": "2024-06-01T00:00:00Z", "metricQueries": [query]}
    empty = expect(tenant.http.post("/metrics", json=asked), 200)["results"]
    assert empty[0]["data"][0]["metricValues"] == [0]
    ingest(tenant.http, event("a", "2024-05-01T12:00:00Z", tokens=60))
    for name in ("REVENUE", "REVENUE_FOR_CYCLE"):
        query["name"] = name
        query.pop("configs", None)
        answer = tenant.http.post("/metrics", json=asked)
        assert answer.status_code == 400, answer.text
        assert "USD" in answer.json()["message"]
        assert "INVOICE" in answer.json()["message"]
        query["configs"] = {"CURRENCY": "INVOICE"}
        found = expect(tenant.http.post("/metrics", json=asked), 200)["results"]
        assert found[0]["data"][0]["metricValues"] == [160]
