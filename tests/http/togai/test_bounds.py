"""The least and the most that slabs and cards charge, from the plan to the invoice."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.conftest import Server
from tests.http.togai.catalog import card, customer, event, expect, ingest, meter, per_unit, plan, schema
from tests.http.togai.test_fixed_fees import tree
from tests.http.togai.test_invoices import run_bill, set_clock


@pytest.mark.parametrize(
    ("tokens", "rate_config", "total", "leaves", "formula"),
    [
        # 1 a token up to 10, then a half, at least 4 for that slab
        (5, {"minimumRate": "8"}, 8, [5, 3], "5 x 1 = 5, minimum of the rate card applies = 8"),
        (12, {"minimumRate": "8"}, 14, [10, 4], "10 + 4 = 14"),
        (12, {"maximumRate": "12.505"}, 12.5, [10, 4, -1.495],
         "10 + 4 = 14, maximum of the rate card applies = 12.505, rounded toward zero to 2 decimals = 12.5"),
        (0, {"minimumRate": "8"}, 0, [], "nothing to charge = 0"),
    ],
)  # fmt: skip
def test_bounds_on_an_invoice(
    server: Server, tokens: int, rate_config: dict[str, str], total: Any, leaves: list[Any], formula: str
) -> None:
    tenant = server.workspace(clock=datetime(2024, 5, 10, tzinfo=UTC))
    customer(tenant.http)
    schema(tenant.http)
    bounded = card(meter(tenant.http), per_unit(0, 10), [1, 0.5])
    bounded["rateValues"][0]["slabRates"][1]["slabRateConfig"] = {"minimumRate": "4"}
    bounded["rateValues"][0]["rateConfig"] = rate_config
    body = {"pricePlanId": plan(tenant.http, [bounded]), "effectiveFrom": "2024-05-01", "effectiveUntil": "2024-06-01"}
    expect(tenant.http.post("/accounts/acme/price_plans", json=body), 200)
    ingest(tenant.http, event("e1", "2024-05-02T10:00:00Z", tokens=tokens))
    set_clock(tenant, datetime(2024, 6, 5, tzinfo=UTC))
    run_bill(server, tenant)
    (invoice,) = expect(tenant.http.get("/invoices"), 200)["data"]
    assert invoice["totalAmount"] == total
    line = expect(tenant.http.get(f"/bursar/v1/invoices/{invoice['id']}/lines/1/explain"), 200)["line"]
    assert line["formula"] == formula
    found = tree(tenant, invoice["id"])
    assert found[5:] == [
        ("RATE_CONFIG_ADJUSTMENT_AMOUNT" if "applies" in formula and n == len(leaves) - 1
         else "USAGE_RATE_CARD_SLAB_AMOUNT", value)
        for n, value in enumerate(leaves)
    ]  # fmt: skip
