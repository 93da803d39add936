"""A customer is erased: a full dump shows nothing of it, and everything still verifies."""

import base64
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import zstandard

from bursar.runtime.datadir import DataDir
from bursar.runtime.postgres import client_programs
from tests.conftest import PLAIN
from tests.http.togai import catalog
from tests.postgres import open_folder
from tests.runtime.program import Program, command, program

SECRETS = {
    "name": "Wilhelmina Quackenbush",
    "email": "wilhelmina@quackenbush.example",
    "former": "former@quackenbush.example",
    "line": "77 Zanzibar Crescent",
    "phone": "+4915550123456",
    "account": "Private account of Mina",
    "billing": "billing@quackenbush.example",
    "contact": "Bartholomew Quackenbush",
    "login": "bartholomew77",
    "notes": "prefers to be called Barty",
    "wire": "paid by aunt Philippa",
    "remark": "pays late since the divorce",
    "transfer": "from her late mother",
    "purpose": "sorry for the wedding",
    "hold": "taxi to the hospital",
    "units": "calls to the hospice",
    "portal": "mina@portal.example",
    "metadata": "her-internal-remark",
    "tag": "zanzibar-tag",
}


def _lived(running: Program, token: str) -> None:
    """A customer with everything that people have, an invoice, and a change."""
    headers = {"authorization": f"Bearer {token}", "idempotency-key": "once"}
    with httpx.Client(base_url=running.url, headers=headers, timeout=30, verify=PLAIN) as http:
        address = {"phoneNumber": SECRETS["phone"], "line1": SECRETS["line"], "country": "DE"}
        catalog.expect(
            http.post("/customers", json={
                "id": "mina", "name": SECRETS["name"], "primaryEmail": SECRETS["former"], "address": address,
                "account": {
                    "id": "mina", "name": SECRETS["account"], "metadata": {"note": SECRETS["metadata"]},
                    "tags": [SECRETS["tag"]],
                },
            }), 201,
        )  # fmt: skip
        catalog.expect(http.patch("/customers/mina", json={"primaryEmail": SECRETS["email"]}), 200)
        billing = {"billingInformation": {"emailRecipients": [SECRETS["billing"]]}}
        catalog.expect(http.patch("/accounts/mina", json=billing), 200)
        contact = {"name": SECRETS["contact"], "email": SECRETS["email"], "phone": SECRETS["phone"],
                   "preferredUsername": SECRETS["login"]}  # fmt: skip
        made = http.post("/customers/mina/contacts", json=contact)
        assert made.is_success, made.text
        del http.headers["idempotency-key"]
        _met_by_a_carrier(http)
        _paid_and_told(http)
        catalog.schema(http)
        plan = catalog.plan(http, [catalog.card(catalog.meter(http), catalog.per_unit(0), ["0.1"])])
        body = {"mode": "ASSOCIATE", "pricePlanId": plan, "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01"}
        catalog.expect(http.post("/accounts/mina/price_plans", json=body), 200)
        _had_credits_and_holds(http)
        catalog.ingest(http, catalog.event("e1", "2024-05-05T00:00:00Z", account="mina", tokens=100))
        catalog.expect(http.post("/bursar/v1/clock", json={"now": "2024-06-10T00:00:00Z"}), 200)


def _met_by_a_carrier(http: httpx.Client) -> None:
    """A contact and a login at the carrier's door."""
    found = catalog.expect(http.get("/api/rest/admin/contractors", params={"filter[name_eq]": SECRETS["name"]}), 200)
    contractor = found["data"][0]["id"]
    linked = {"contractor": {"data": {"type": "contractors", "id": contractor}}}
    for kind, attributes, relationships in (
        ("contacts", {"email": SECRETS["email"], "notes": SECRETS["notes"]}, linked),
        ("api-accesses", {"customer-id": contractor, "login": SECRETS["portal"], "password": "x"}, {}),
    ):
        data = {"type": kind, "attributes": attributes, "relationships": relationships}
        made = http.post(
            f"/api/rest/admin/{kind}", json={"data": data}, headers={"content-type": "application/vnd.api+json"}
        )
        assert made.status_code == 201, made.text


def _paid_and_told(http: httpx.Client) -> None:
    """A payment, and a message about the balance that its receiver does not get."""
    subscription = {"event": "AccountLowThesholdReached", "url": "http://127.0.0.1:9/"}
    catalog.expect(http.put("/bursar/v1/event_subscriptions", json={"subscriptions": [subscription]}), 200)
    http.headers["content-type"] = "application/vnd.api+json"
    contact = catalog.expect(http.get("/api/rest/admin/contacts"), 200)["data"][0]["id"]
    account = catalog.expect(http.get("/api/rest/admin/accounts"), 200)["data"][0]["id"]
    attributes = {"send-balance-notifications-to": [int(contact)], "balance-low-threshold": 100}
    change = {"data": {"type": "accounts", "id": account, "attributes": attributes}}
    catalog.expect(http.patch(f"/api/rest/admin/accounts/{account}", json=change), 200)
    payment = {
        "type": "payments", "attributes": {"amount": 5, "notes": SECRETS["wire"], "private-notes": SECRETS["remark"]},
        "relationships": {"account": {"data": {"type": "accounts", "id": account}}},
    }  # fmt: skip
    catalog.expect(http.post("/api/rest/admin/payments", json={"data": payment}), 201)
    del http.headers["content-type"]
    deadline = time.monotonic() + 100
    while not (found := catalog.expect(http.get("/bursar/v1/deliveries"), 200)["deliveries"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert SECRETS["account"] in found[0]["body"]


def _had_credits_and_holds(http: httpx.Client) -> None:
    """Money by a transfer, a credit that no invoice uses, and holds of money and of units."""
    reference = {"sourceName": "Bank", "sourceType": "BANK_TRANSFER", "transactionNumber": "T-1"}
    payment = {
        "accountId": "mina", "currency": "USD", "totalAmount": 2, "externalPaymentReference": reference,
        "description": SECRETS["transfer"], "lineItemRecords": [{"type": "WALLET_CREDIT", "order": 1}],
    }  # fmt: skip
    catalog.expect(http.post("/payments", json=payment), 201)
    credit = {
        "accountId": "mina", "purpose": SECRETS["purpose"], "effectiveFrom": "2024-05-01", "priority": 1,
        "creditAmount": 10, "applicableEntityIds": ["um.none"],
    }  # fmt: skip
    catalog.expect(http.post("/credits", json={"creditRequests": [credit]}), 200)
    feature = catalog.expect(http.post("/features", json={"name": "Calls", "schemaAssociations": []}), 200)["id"]
    pack = {
        "featureId": feature, "invoiceTiming": "PREPAID",
        "featureConfigs": [{"featureCreditLimit": 10, "effectiveUntil": "P1Y"}],
        "ratePlan": {"pricingModel": "TIERED", "slabs": catalog.per_unit(0)},
        "rateValues": [{"currency": "USD", "slabRates": [{"order": 1, "rate": 0}]}],
    }  # fmt: skip
    details = {"supportedCurrencies": ["USD"], "billingEntitlementRateCards": [pack]}
    sent = {"name": "pack", "type": "PURCHASE", "pricePlanDetails": details}
    plan = catalog.expect(http.post("/price_plans", json=sent), 200)["id"]
    catalog.expect(http.post(f"/price_plans/{plan}/activate", json={"currencies": ["USD"]}), 200)
    catalog.expect(http.post("/accounts/mina/purchases", json={"pricePlanId": plan}), 200)
    for text, of in ((SECRETS["hold"], {}), (SECRETS["units"], {"featureId": feature})):
        body = {"accountId": "mina", "amount": 1, "expiresIn": 60, "description": text, **of}
        hold = catalog.expect(http.post("/bursar/v1/holds", json=body), 201)["id"]
        catalog.expect(http.post(f"/bursar/v1/holds/{hold}/settle", json={"amount": 0.5}), 200)


def _dump(folder: Path) -> bytes:
    program = client_programs() / "pg_dump"
    dump = subprocess.run([program, "--inserts", "-d", DataDir(folder).dsn()], capture_output=True, check=True)
    return dump.stdout


def _traces(dump: bytes) -> list[str]:
    """What of the secrets is in a dump: as text, in a column of bytes, or in one that is compressed."""
    packed = re.findall(rb"\\x(28b52ffd[0-9a-f]+)'", dump)
    assert packed, "a dump has documents"
    dump += b"".join(zstandard.ZstdDecompressor().decompress(bytes.fromhex(text.decode())) for text in packed)
    found = []
    for name, text in SECRETS.items():
        plain = text.encode()
        if plain in dump or plain.hex().encode() in dump or base64.b64encode(plain)[:-4] in dump:
            found.append(name)
    return found


def test_a_dump_shows_nothing_of_an_erased_customer_and_everything_holds() -> None:
    with open_folder() as folder, program(folder) as running:
        data = ["--data-dir", str(folder)]
        command("workspace", "create", "trial", "--sandbox", *data)
        token = str(command("token", "create", "--workspace", "trial", *data)["token"])
        running.call("POST", "/bursar/v1/clock", {"now": "2024-05-01T00:00:00Z"}, token=token)
        _lived(running, token)

        def call(path: str) -> Any:
            return running.call("GET", path, token=token)

        invoice = call("/invoices?status=PARTIALLY_PAID")["data"][0]["id"]
        before = call(f"/bursar/v1/invoices/{invoice}")["document"]
        assert before["customer"]["name"] == SECRETS["name"]
        assert {*_traces(_dump(folder))} == {*SECRETS} - {"former"}  # which it was before, and is overwritten
        erased = ["erase", "customer", "mina", "--workspace", "trial", *data]
        assert command(*erased) == {"customer": "mina", "erased": True}
        assert _traces(_dump(folder)) == []
        assert command(*erased) == {"customer": "mina", "erased": False}
        after = call(f"/bursar/v1/invoices/{invoice}")["document"]
        assert after["customer"] == {"id": "mina", "name": "[erased]", "primaryEmail": "", "address": {}}
        assert {**after, "customer": None, "account": None} == {**before, "customer": None, "account": None}
        customer = call("/customers/mina")
        assert (customer["name"], customer["status"]) == ("[erased]", "ARCHIVED")
        # The invoice of the month in which it was erased is still issued, to nobody.
        running.call("POST", "/bursar/v1/clock", {"now": "2024-07-10T00:00:00Z"}, token=token)
        issued = {entry["startDate"][:7]: entry["status"] for entry in call("/invoices?owner_id=mina")["data"]}
        assert (issued["2024-05"], issued["2024-06"]) == ("PARTIALLY_PAID", "PAID"), "in June nothing was used"
        assert command("verify", *data)["holds"] is True
        assert "was not found" in command("erase", "customer", "nobody", *data, status=2)
