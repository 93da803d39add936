"""Real requests to two language-model services, imported, priced and billed, against plain sums over the files."""

import csv
import json
import subprocess
import sys
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Server, Tenant
from tests.http.togai.catalog import card, customer, expect, meter, per_unit, plan, schema

DATA = Path(__file__).parents[2] / "shared" / "data"
FILES = {"code": DATA / "azure-llm-2023-code.csv", "conv": DATA / "azure-llm-2023-conv.csv"}

pytestmark = pytest.mark.skipif(
    not all(path.exists() for path in FILES.values()), reason="the usage files are not here"
)


def run(*arguments: str, status: int = 0) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "bursar.runtime.cli", *arguments, "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


def import_file(server: Server, tenant: Tenant, service: str, rejects: Path, *more: str) -> dict[str, Any]:
    result: dict[str, Any] = run(
        "import", "events", str(FILES[service]), "--workspace", tenant.name, "--database-url", server.dsn,
        "--schema", "llm_request", "--id", service + "-{TIMESTAMP}", "--timestamp", "TIMESTAMP",
        "--account", "=" + service, "--attribute", "context=ContextTokens", "--attribute", "generated=GeneratedTokens",
        "--rejects", str(rejects), *more,
    )  # fmt: skip
    return result


def prepare(tenant: Tenant) -> tuple[str, str]:
    for service in FILES:
        customer(tenant.http, service)
    schema(
        tenant.http,
        "llm_request",
        attributes=[{"name": "context"}, {"name": "generated"}],
        dimensions=[],
        filterFields=[],
    )
    meters = [
        meter(
            tenant.http,
            name,
            "llm_request",
            computations=[{"computation": json.dumps({"var": f"attributes.{name}"}), "order": 1}],
        )
        for name in ("context", "generated")
    ]
    return meters[0], meters[1]


def totals(service: str) -> tuple[int, int, int]:
    with FILES[service].open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    return len(rows), sum(int(row["ContextTokens"]) for row in rows), sum(int(row["GeneratedTokens"]) for row in rows)


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), rounding=ROUND_DOWN)


def lines(tenant: Tenant, account: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    (summary,) = expect(tenant.http.get("/invoices", params={"owner_id": account, "status": "DUE"}), 200)["data"]
    answer = tenant.http.get(f"/bursar/v1/invoices/{summary['id']}")
    document = json.loads(answer.text, parse_float=Decimal, parse_int=Decimal)["document"]
    return document, document["lines"]


def test_a_month_of_real_requests(server: Server, tmp_path: Path) -> None:
    tenant = server.workspace(clock=datetime(2023, 11, 16, 18, tzinfo=UTC))
    context, generated = prepare(tenant)
    graduated = plan(
        tenant.http,
        [
            card(context, per_unit(0, 5_000_000, 15_000_000), [0.00001, 0.000007, 0.000005]),
            card(generated, per_unit(0, 100_000), [0.00003, 0.00002]),
        ],
        name="Graduated",
    )
    packages = plan(
        tenant.http,
        [
            card(
                context,
                [{"order": 1, "startAfter": 0, "priceType": "PACKAGE", "slabConfig": {"packageSize": "10000"}}],
                [0.05],
            )
        ],
        name="Packages",
        commitment=250,
    )
    for account, chosen in (("conv", graduated), ("code", packages)):
        body = {
            "mode": "ASSOCIATE",
            "pricePlanId": chosen,
            "effectiveFrom": "2023-11-01",
            "effectiveUntil": "9999-01-01",
        }
        expect(tenant.http.post(f"/accounts/{account}/price_plans", json=body), 200)
    for service in FILES:
        rows, _, _ = totals(service)
        first = import_file(server, tenant, service, tmp_path / "rejects.csv")
        assert (first["rows"], first["accepted"], first["rejected"]) == (rows, rows, 0)
    again = import_file(server, tenant, "conv", tmp_path / "rejects.csv")
    assert (again["accepted"], again["known"]) == (0, totals("conv")[0])
    expect(tenant.http.post("/bursar/v1/clock", json={"now": "2023-12-05T00:00:00Z"}), 200)

    _, used_context, used_generated = totals("conv")
    document, found = lines(tenant, "conv")
    low, middle = min(used_context, 5_000_000), max(0, min(used_context, 15_000_000) - 5_000_000)
    high = max(0, used_context - 15_000_000)
    expected = [
        cents(low * Decimal("0.00001") + middle * Decimal("0.000007") + high * Decimal("0.000005")),
        cents(
            min(used_generated, 100_000) * Decimal("0.00003") + max(0, used_generated - 100_000) * Decimal("0.00002")
        ),
    ]
    assert [(line["quantity"], line["amount"]) for line in found] == [
        (used_context, expected[0]),
        (used_generated, expected[1]),
    ]
    assert document["total"] == sum(expected)

    _, used_context, _ = totals("code")
    document, found = lines(tenant, "code")
    charged = -(-used_context // 10_000) * Decimal("0.05")
    assert (found[0]["quantity"], found[0]["amount"]) == (used_context, cents(charged))
    assert found[1]["amount"] == 250 - cents(charged)
    assert document["total"] == 250


def test_history_needs_a_backfill(server: Server, tmp_path: Path) -> None:
    tenant = server.workspace(sandbox=False)
    prepare(tenant)
    rows, _, _ = totals("code")
    rejects = tmp_path / "rejects.csv"
    refused = import_file(server, tenant, "code", rejects)
    assert (refused["accepted"], refused["rejected"]) == (0, rows)
    with rejects.open(newline="") as handle:
        listed = list(csv.DictReader(handle))
    assert len(listed) == rows
    assert listed[0]["line"] == "2"
    assert "FAILED_PAST_GRACE_PERIOD" in listed[0]["reason"]
    taken = import_file(server, tenant, "code", rejects, "--backfill")
    assert (taken["accepted"], taken["rejected"]) == (rows, 0)
