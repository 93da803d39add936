"""What the demonstration plays: a catalogue, three customers, and a month of events that is the same every time."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from bursar.core.period import show_instant
from bursar.usage.event import BATCH_LIMIT

Call = Callable[..., Any]

ACCOUNTS = ("globex", "initech", "umbrella")
WEIGHTS = (5, 3, 2)
MODELS = ("small", "small", "large")
SEED = 20240501
MONTH = datetime(2024, 5, 1, 4, tzinfo=UTC)
"""Midnight of 1 May in New York, where the demonstration's workspace keeps its days."""
DAYS = 31


def prepare(call: Call) -> tuple[str, ...]:
    """Make the catalogue, the customers and their plans; returns the account ids."""
    call("POST", "/bursar/v1/clock", {"now": show_instant(MONTH)})
    schema = {
        "name": "completion",
        "attributes": [{"name": "tokens", "defaultUnit": "tokens"}],
        "dimensions": [{"name": "model"}],
        "filterFields": ["model"],
    }
    call("POST", "/event_schema", schema)
    call("POST", "/event_schema/completion/activate")
    tokens = _meter(call, "Tokens", "SUM", '{"var":"attributes.tokens"}', '{">":[{"var":"attributes.tokens"},0]}')
    requests = _meter(call, "Large requests", "COUNT", "1", '{"==":[{"var":"dimensions.model"},"large"]}')
    plans = (
        _plan(call, "Graduated", [_graduated(tokens), _packages(requests)], None),
        _plan(call, "Volume", [_volume(tokens)], None),
        _plan(call, "Committed", [_graduated(tokens)], 25000),
    )
    for account, plan in zip(ACCOUNTS, plans, strict=True):
        customer = {
            "id": account,
            "name": account.title(),
            "primaryEmail": f"billing@{account}.example",
            "address": {"city": "New York", "country": "US"},
            "account": {"id": account, "name": account.title(), "aliases": [f"{account}-app"], "netTermDays": 30},
        }
        call("POST", "/customers", customer)
        body = {"mode": "ASSOCIATE", "pricePlanId": plan, "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01"}
        call("POST", f"/accounts/{account}/price_plans", body)
    return ACCOUNTS


def weeks(total: int) -> Iterator[tuple[str, list[list[dict[str, Any]]]]]:
    """The month in pieces: where the clock stands, and the batches that are sent then. About `total` events in all.

    Of a thousand events about nine are repeats of earlier ones, six come a season too late, and twelve are wrong in
    various ways; one in a hundred has no tokens and is not measured.
    """
    chance = random.Random(SEED)  # noqa: S311 - the same play every time is what it is for
    number = 0
    for first in range(0, DAYS, 7):
        last = min(first + 7, DAYS)
        events: list[dict[str, Any]] = []
        for _ in range(round(total * (last - first) / DAYS)):
            number += 1
            at = MONTH + timedelta(seconds=chance.uniform(first, last) * 86_400)
            events.append(_event(chance, number, at, events))
        clock = show_instant(MONTH + timedelta(days=last) - timedelta(seconds=1))
        yield clock, [events[place : place + BATCH_LIMIT] for place in range(0, len(events), BATCH_LIMIT)]


def _event(chance: random.Random, number: int, at: datetime, earlier: list[dict[str, Any]]) -> dict[str, Any]:
    account = chance.choices(ACCOUNTS, WEIGHTS)[0]
    event: dict[str, Any] = {
        "schemaName": "completion",
        "id": f"req-{number:07}",
        "timestamp": show_instant(at.replace(microsecond=number % 1000 * 1000)),
        "accountId": account if number % 3 else f"{account}-app",
        "attributes": [{"name": "tokens", "value": str(chance.randint(1, 4000))}],
        "dimensions": {"model": chance.choice(MODELS)},
    }
    kind = chance.randrange(1000)
    if kind < 9 and earlier:
        return earlier[chance.randrange(len(earlier))]
    if kind < 15:
        event["timestamp"] = show_instant(at - timedelta(days=120))
    elif kind < 19:
        event["accountId"] = "nobody"
    elif kind < 23:
        event["attributes"] = []
    elif kind < 27:
        event["schemaName"] = "unheard-of"
    elif kind < 37:
        event["attributes"] = [{"name": "tokens", "value": "0"}]
        event["dimensions"] = {"model": "small"}
    return event


def _meter(call: Call, name: str, aggregation: str, computation: str, matcher: str) -> str:
    meter = {
        "name": name,
        "type": "COUNTER",
        "aggregation": aggregation,
        "eventSchemaName": "completion",
        "computations": [{"computation": computation, "matcher": matcher, "order": 1}],
    }
    made = call("POST", "/usage_meters", meter)
    call("POST", f"/usage_meters/{made['id']}/activate")
    return str(made["id"])


def _plan(call: Call, name: str, cards: list[dict[str, Any]], commitment: int | None) -> str:
    details: dict[str, Any] = {
        "supportedCurrencies": ["USD"],
        "pricingCycleConfig": {
            "interval": "MONTHLY",
            "startOffset": {"dayOffset": "1", "monthOffset": "NIL"},
            "gracePeriod": 2,
        },
        "usageRateCards": cards,
    }
    if commitment is not None:
        rate = {"currency": "USD", "rate": commitment}
        details["minimumCommitment"] = {"displayName": "Minimum commitment", "rateValues": [rate]}
    made = call("POST", "/price_plans", {"name": name, "type": "BILLING", "pricePlanDetails": details})
    call("POST", f"/price_plans/{made['id']}/activate", {"currencies": ["USD"]})
    return str(made["id"])


def _graduated(meter: str) -> dict[str, Any]:
    return _card(meter, "Tokens", "TIERED", [(0, "PER_UNIT", "0", None), (1_000_000, "PER_UNIT", "0.0002", None),
                                            (50_000_000, "PER_UNIT", "0.00015", None)])  # fmt: skip


def _volume(meter: str) -> dict[str, Any]:
    return _card(
        meter, "Tokens", "VOLUME", [(0, "PER_UNIT", "0.0003", None), (10_000_000, "PER_UNIT", "0.00021", None)]
    )


def _packages(meter: str) -> dict[str, Any]:
    return _card(meter, "Large requests", "TIERED", [(0, "PACKAGE", "2.5", "1000")])


def _card(meter: str, name: str, model: str, slabs: list[tuple[int, str, str, str | None]]) -> dict[str, Any]:
    return {
        "usageMeterId": meter,
        "displayName": name,
        "ratePlan": {
            "pricingModel": model,
            "slabs": [
                {"order": order, "startAfter": start, "priceType": kind}
                | ({"slabConfig": {"packageSize": size}} if size else {})
                for order, (start, kind, _, size) in enumerate(slabs, 1)
            ],
        },
        "rateValues": [
            {
                "currency": "USD",
                "slabRates": [
                    {"order": order, "rate": Decimal(rate)} for order, (_, _, rate, _) in enumerate(slabs, 1)
                ],
            }
        ],
    }
