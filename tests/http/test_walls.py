"""Nobody sees another workspace: with its ids, every operation answers as for an id that is not there."""

import re
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from bursar.accounts import files
from bursar.accounts.store import get_account
from bursar.catalog.features import get_feature
from bursar.core.period import Period
from bursar.db.database import Database
from bursar.http.app import load_doors
from bursar.http.openapi import document
from bursar.invoicing.statements import create_statement
from bursar.notify.deliveries import list_deliveries, make
from bursar.notify.model import Channel, Message
from bursar.notify.outbox import Entry
from bursar.purchases.grants import NewGrant, give
from tests.conftest import Server, Tenant
from tests.http.togai.catalog import card, customer, event, expect, ingest, meter, per_unit, plan, schema

MARK = "seen-by-nobody-else"
SAFE = {"ingest", "ingestBatch", "ingestCloudEvents", "authenticate", "openPortal", "eventCorrection"}
"""Operations that take no id of an object, or are tried by themselves: below, or where they are tested."""


def operations() -> Iterator[tuple[str, str, str]]:
    """Method, path and id of every operation of every door."""
    for door in load_doors()[:2]:
        for path, methods in document(door)["paths"].items():
            for method, operation in methods.items():
                yield method.upper(), path, operation["operationId"]


OPERATIONS = list(operations())
ADDRESSED = [entry for entry in OPERATIONS if "{" in entry[1]]
LISTS = [entry for entry in OPERATIONS if "{" not in entry[1] and entry[0] == "GET" and entry[2] not in SAFE]

COMMON = {"number", "currency_id", "statement_number"}
"""Parts of paths that are the same in every workspace."""

NUMBERS = {"number", "statement_number"}
"""Those that are counted: the stranger's first is another's first, too."""

BODIES: dict[str, Any] = {
    "updateAccount": {"name": "Mine"},
    "updateCustomer": {"name": "Mine"},
    "addAliases": {"aliases": ["mine-now"]},
    "removeAliases": {"aliases": [f"alias-{MARK}"]},
    "updateSetting": {"value": "mine"},
    "updateEventSchema": {"description": "Mine"},
    "createCustomerContact": {"name": "X", "email": "x@example.com"},
    "rotateToken": {},
    "activatePricePlan": {"currencies": ["USD"]},
    "updateAddOn": {"name": "Mine"},
    "updateFeature": {"name": "Mine"},
    "UpdateFeatureCreditEntry": {"granted": 9},
    "validateEntitlementValue": {"value": "1"},
    "updatePricePlan": {"description": "Mine"},
    "addCurrencyToPricePlan": {"currency": "EUR"},
    "updateUsageMeter": {"name": "Mine"},
    "updateInvoice": {"status": "PAID"},
    "AddInvoiceGroupAccounts": {"accountIds": ["mine"]},
    "RemoveInvoiceGroupAccounts": {"accountIds": ["mine"]},
    "manageMiscellaneousChargesInAccount": {"items": [{"name": "Mine", "value": "1"}]},
    "manageMiscellaneousChargesInInvoice": {"items": [{"name": "Mine", "value": "1"}]},
    "updateWalletForAccount": {"status": "INACTIVE"},
    "topUpWalletForAccount": {"topupAmount": 5},
    "settleHold": {"amount": 1},
    "updateLicenseEntryDetails": {
        "accountId": "mine", "effectiveFrom": "2024-05-01T00:00:00Z", "metadata": {"note": "mine"},
    },
    "initiateOneTimeEntitlementPlan": {"type": "WALLET_TOPUP", "walletTopupDetails": {"topupAmount": 5}},
    "createProposal": {
        "type": "WALLET_TOPUP", "paymentMode": "PREPAID", "walletTopupDetails": {"topupAmount": 5},
    },
    "updateProposalStatus": {"status": "APPROVE"},
    "updatePricingSchedule": {
        "mode": "ASSOCIATE", "pricePlanId": "pp.none", "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01",
    },
    "updatePricingScheduleBatch": {"edits": [
        {"mode": "DISASSOCIATE", "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01"},
    ]},
}  # fmt: skip
"""A sound body for each operation with a path that needs one."""


@dataclass
class Two:
    """A workspace with one of everything, the ids of it, and a stranger's workspace."""

    owner: Tenant
    stranger: Tenant
    ids: dict[str, str]

    def path(self, template: str, ids: dict[str, str]) -> str:
        """The path with ids in it."""
        missing = set(re.findall(r"{(\w+)}", template)) - ids.keys()
        assert not missing, f"{template}: give `ids` of this test a {', '.join(missing)} of the owner's"
        return template.format(**ids)

    @property
    def unknown(self) -> dict[str, str]:
        """Ids of the same form that nobody has."""
        return {name: value if name in NUMBERS else value[:-4] + "none" for name, value in self.ids.items()}


async def _file(db: Database, owner: Tenant) -> str:
    async with db.transaction(owner.caller.workspace) as connection:
        return (await files.keep(connection, owner.caller, f"{MARK}.txt", "text/plain", MARK.encode())).id


async def _statement(db: Database, owner: Tenant, name: str) -> int:
    async with db.transaction(owner.caller.workspace) as connection:
        number = await connection.fetchval("select yeti_id from account where togai_id = $1", name)
        values = {"account": number, "start_date": "2024-04-01", "end_date": "2024-04-02"}
        return await create_statement(connection, owner.caller, values)


async def _grant(db: Database, owner: Tenant, name: str, feature: str) -> str:
    async with db.transaction(owner.caller.workspace) as connection:
        workspace = owner.caller.workspace
        effective = Period(datetime(2024, 5, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC))
        new = NewGrant(
            await get_feature(connection, workspace, feature), f"grant-{MARK}", "ENTITLEMENT", effective, Decimal(5)
        )
        await give(connection, owner.caller, await get_account(connection, workspace, name), [new])
        return new.id


async def _delivery(db: Database, owner: Tenant) -> str:
    async with db.transaction(owner.caller.workspace) as connection:
        message = Message(Channel.HTTP, f"https://{MARK}.example", MARK, MARK)
        await make(connection, Entry(1, owner.caller.workspace, "balance", {}), [message], owner.caller.wall)
        return (await list_deliveries(connection, owner.caller.workspace, None, None, 1)).items[0].id


@pytest.fixture(scope="module")
def two(server: Server) -> Two:
    return furnish(server)


def furnish(server: Server) -> Two:
    """Two workspaces, of which one is furnished."""
    owner = server.workspace(clock=datetime(2024, 5, 1, tzinfo=UTC))
    name = f"acme-{MARK}"
    customer(owner.http, name, aliases=[f"alias-{MARK}"])
    setting = {"id": "threshold", "value": MARK, "entityType": "ACCOUNT", "entityId": name, "namespace": "USER"}
    expect(owner.http.post("/settings", json={**setting, "name": MARK, "dataType": "STRING"}), 201)
    schema(owner.http, f"schema-{MARK}")
    meter_id = meter(owner.http, f"meter-{MARK}", f"schema-{MARK}")
    body: dict[str, Any] = {"name": f"addon-{MARK}", "type": "FIXED_FEE"}
    add_on = expect(owner.http.post("/addons", json=body), 200)["id"]
    body = {"name": f"seats-{MARK}", "type": "LICENSE"}
    seats = expect(owner.http.post("/addons", json=body), 200)["id"]
    body = {"licenseId": seats, "accountId": name, "updateType": "ABSOLUTE", "quantity": 3,
            "effectiveFrom": "2024-05-01T00:00:00Z", "metadata": {"note": MARK}}  # fmt: skip
    expect(owner.http.post("/license_updates", json=body), 200)
    links = [{"schemaName": f"schema-{MARK}", "attributeName": "tokens"}]
    body = {"name": f"feature-{MARK}", "schemaAssociations": links}
    feature = expect(owner.http.post("/features", json=body), 200)["id"]
    plan_id = plan(owner.http, [card(meter_id, per_unit(0), [1])], name=f"plan-{MARK}")
    body = {"mode": "ASSOCIATE", "pricePlanId": plan_id, "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01"}
    expect(owner.http.post(f"/accounts/{name}/price_plans", json=body), 200)
    sent = event(f"event-{MARK}", "2024-05-01T00:00:00Z", account=name, schemaName=f"schema-{MARK}")
    refused = event(f"refused-{MARK}", "2024-05-01T00:00:00Z", account=f"nobody-{MARK}", schemaName=f"schema-{MARK}")
    ingest(owner.http, sent, refused)
    expect(owner.http.post("/bursar/v1/clock", json={"now": "2024-06-10T00:00:00Z"}), 200)
    expect(owner.http.post(f"/accounts/{name}/wallet_topup", json={"topupAmount": 5}), 200)
    held = expect(owner.http.post("/bursar/v1/holds", json={"accountId": name, "amount": 1, "expiresIn": 60}), 201)[
        "id"
    ]
    invoice = expect(owner.http.get("/invoices", params={"status": "DUE"}), 200)["data"][0]["id"]
    topup = {"type": "WALLET_TOPUP", "walletTopupDetails": {"topupAmount": 5}}
    bought = expect(owner.http.post(f"/accounts/{name}/purchases", json=topup), 200)["id"]
    body = {**topup, "paymentMode": "PREPAID"}
    proposed = expect(owner.http.post(f"/accounts/{name}/purchase_proposals", json=body), 200)["id"]
    # What was due is paid out of the wallet by now.
    invoice = expect(owner.http.get("/invoices", params={"owner_id": name}), 200)["data"][-1]["id"]
    again = {**sent, "attributes": [{"name": "tokens", "value": "3"}]}
    adjusted = expect(owner.http.post("/bursar/v1/corrections", json={"action": "REDO_EVENT", "event": again}), 200)
    assert adjusted["outcomes"][0]["adjustments"], "listed by whom it belongs to alone"
    gift = {"accountId": name, "purpose": MARK, "effectiveFrom": "2024-05-01", "priority": 1, "creditAmount": 5}
    credit = expect(owner.http.post("/credits", json={"creditRequests": [gift]}), 200)["credits"][0]["id"]
    file = server.run(lambda db: _file(db, owner))
    delivery = server.run(lambda db: _delivery(db, owner))
    group = {"name": f"group-{MARK}", "email": "x@example.com", "dailyInvoiceConsolidation": True, "address": {},
             "accountIds": [name]}  # fmt: skip
    told = {"event": "AccountLowThesholdReached", "url": f"https://{MARK}.example"}
    expect(owner.http.put("/bursar/v1/event_subscriptions", json={"subscriptions": [told]}), 200)
    expect(owner.http.post("/invoices/bill_runs", params={"require_confirmation": "true"}), 200)
    paid = {
        "accountId": name, "currency": "USD", "totalAmount": 1, "lineItemRecords": [], "notes": MARK,
        "externalPaymentReference": {"sourceName": MARK, "sourceType": "CARD", "transactionNumber": "1"},
    }  # fmt: skip
    payment = expect(owner.http.post("/payments", json=paid), 201)["id"]
    ids = {
        "job_id": expect(owner.http.get("/jobs"), 200)["data"][0]["id"],
        "account_id": name,
        "delivery_id": delivery,
        "file_id": file,
        "hold_id": held,
        "customer_id": name,
        "alias": f"alias-{MARK}",
        "event_schema_name": f"schema-{MARK}",
        "event_id": f"event-{MARK}",
        "refused_event_id": f"refused-{MARK}",
        "setting_id_str": f"setting.USER.threshold.ACCOUNT.{name}",
        "usage_meter_id": meter_id,
        "price_plan_id": plan_id,
        "pricing_schedule_id": expect(owner.http.get(f"/price_plans/{plan_id}"), 200)["pricingSchedule"][0]["id"],
        "addon_id": add_on,
        "feature_id": feature,
        "license_id": seats,
        "entry_id": server.run(lambda db: _grant(db, owner, name, feature)),
        "currency_id": "USD",
        "credit_id": credit,
        "payment_id": payment,
        "invoice_id": invoice,
        "invoice_group_id": expect(owner.http.post("/invoice_groups", json=group), 200)["id"],
        "purchase_id": bought,
        "purchase_proposal_id": proposed,
        "number": "1",
        "statement_number": str(server.run(lambda db: _statement(db, owner, name))),
        "token": owner.token[:12],
    }
    return Two(owner, server.workspace(clock=datetime(2024, 6, 10, tzinfo=UTC)), ids)


def call(tenant: Tenant, method: str, path: str, body: Any) -> httpx.Response:
    return tenant.http.request(method, path, json=body)


def neutral(answer: httpx.Response, ids: dict[str, str]) -> str:
    """An answer's text without the ids that were asked for."""
    text = answer.text
    for value in sorted(ids.values(), key=len, reverse=True):
        text = text.replace(value, "ID") if len(value) > 3 else text
    return text


@pytest.mark.parametrize(("method", "path", "operation"), ADDRESSED, ids=[entry[2] for entry in ADDRESSED])
def test_what_another_owns_is_not_there(two: Two, mutated: bool, method: str, path: str, operation: str) -> None:
    body = BODIES.get(operation)
    foreign = call(two.stranger, method, two.path(path, two.ids), body)
    unknown = call(two.stranger, method, two.path(path, two.unknown), body)
    assert foreign.status_code == unknown.status_code == 404, (foreign.text, unknown.text)
    assert neutral(foreign, two.ids) == neutral(unknown, two.unknown)
    assert {*foreign.headers} == {*unknown.headers}


@pytest.mark.parametrize(("method", "path", "operation"), LISTS, ids=[entry[2] for entry in LISTS])
def test_lists_hold_nothing_of_another(two: Two, mutated: bool, method: str, path: str, operation: str) -> None:
    answer = call(two.stranger, method, path, None)
    assert answer.status_code == 200, answer.text
    assert MARK not in answer.text
    assert not any(value in answer.text for name, value in two.ids.items() if name not in COMMON)


def bodies(ids: dict[str, str]) -> dict[str, Any]:
    """Bodies that name another's objects, by operation."""
    computation = [{"computation": "1", "order": 1}]
    return {
        "createUsageMeter": {
            "name": "mine", "type": "COUNTER", "aggregation": "COUNT", "eventSchemaName": ids["event_schema_name"],
            "computations": computation,
        },
        "createPricePlan": {
            "name": "mine", "type": "BILLING", "pricePlanDetails": {
                "supportedCurrencies": ["USD"],
                "pricingCycleConfig": {
                    "interval": "MONTHLY", "startOffset": {"dayOffset": "1", "monthOffset": "NIL"}, "gracePeriod": 3,
                },
                "usageRateCards": [card(ids["usage_meter_id"], per_unit(0), [1])],
            },
        },
        "createFeature": {
            "name": "mine",
            "schemaAssociations": [{"schemaName": ids["event_schema_name"], "attributeName": "tokens"}],
        },
        "ingestEntitledEvent": {
            "event": event("mine", "2024-06-09T00:00:00Z", account=ids["account_id"],
                           schemaName=ids["event_schema_name"]),
        },
        "ingestEntitledEvents": {
            "events": [event("mine", "2024-06-09T00:00:00Z", account=ids["account_id"],
                             schemaName=ids["event_schema_name"])],
        },
        "pricePlanMigration": {
            "sourceId": ids["price_plan_id"], "sourceVersion": 1, "migrationMode": "NEXT_CYCLE",
        },
        "insertSetting": {
            "id": "mine", "value": "1", "entityType": "CUSTOMER", "entityId": ids["customer_id"], "namespace": "USER",
            "name": "Mine", "dataType": "NUMERIC",
        },
        "calculateRevenue": {
            "currencyConfig": {"mode": "ACCOUNT_INVOICE", "accountId": ids["account_id"]},
            "pricePlanDetailsConfig": {"mode": "PRICE_PLAN", "pricePlanId": ids["price_plan_id"]},
            "usageConfig": {"mode": "CUSTOM", "usageMap": {ids["usage_meter_id"]: 1}},
            "licenseEntriesConfig": {"mode": "CUSTOM"},
        },
        "correctEvents": {"action": "REDO", "eventId": ids["event_id"]},
        "getCustomerPortalDelegateToken": {"customerId": ids["customer_id"], "allAccountsAccess": True},
        "createInvoiceGroup": {
            "name": "Mine", "email": "x@example.com", "dailyInvoiceConsolidation": True, "address": {},
            "accountIds": [ids["account_id"]],
        },
        "placeHold": {"accountId": ids["account_id"], "amount": 1, "expiresIn": 60},
        "placeHolds": {"holds": [
            {"accountId": ids["account_id"], "featureId": ids["feature_id"], "amount": 1, "expiresIn": 60},
        ]},
        "createCustomInvoice": {
            "accountId": ids["account_id"], "startDate": "2024-05-01T00:00:00Z", "endDate": "2024-06-01T00:00:00Z",
            "status": "DUE", "lineItems": [{"value": 1}],
        },
        "createPayments": {
            "accountId": ids["account_id"], "currency": "USD", "totalAmount": 1, "lineItemRecords": [],
            "externalPaymentReference": {"sourceName": "x", "sourceType": "CARD", "transactionNumber": "1"},
        },
        "createCredit": {"creditRequests": [
            {"accountId": ids["account_id"], "purpose": "x", "effectiveFrom": "2024-06-01", "priority": 1,
             "creditAmount": 5}]},
        "replayRejectedEvents": {"ids": [ids["event_id"], ids["refused_event_id"]], "backfill": True},
        "addLicenseUpdateEntry": {
            "licenseId": ids["license_id"], "accountId": ids["account_id"], "updateType": "ABSOLUTE", "quantity": 1,
        },
        "createAccount": {"id": "mine", "name": "Mine", "customerId": ids["customer_id"]},
        "getMetrics": {
            "startTime": "2024-05-01T00:00:00Z", "endTime": "2024-06-01T00:00:00Z", "metricQueries": [
                {"id": "a", "name": "EVENTS", "filters": [
                    {"fieldName": "ACCOUNT_ID", "fieldValues": [ids["account_id"]]}]}],
        },
    }  # fmt: skip


FREE = {
    "createAddOn",
    "createAlias",
    "createCustomer",
    "createEventSchema",
    "createInvoiceBillRun",
    "createToken",
    "replaceEventSubscriptions",
    "setClock",
}
"""Operations whose bodies name nothing that exists before."""


EACH = {"getMetrics", "ingestEntitledEvents", "placeHolds", "replayRejectedEvents"}
"""Operations that answer 200 and tell of each thing that was asked for what became of it."""


def test_bodies_that_name_what_another_owns(two: Two, mutated: bool) -> None:
    named = bodies(two.ids)
    tried = {operation for _, path, operation in OPERATIONS if "{" in path or operation in named}
    tried |= {operation for _, _, operation in LISTS} | FREE | SAFE
    assert {operation for _, _, operation in OPERATIONS} <= tried, "give new operations a place in this test"
    paths = {operation: (method, path) for method, path, operation in OPERATIONS}
    for operation, body in named.items():
        foreign = call(two.stranger, *paths[operation], body)
        unknown = call(two.stranger, *paths[operation], bodies(two.unknown)[operation])
        assert foreign.status_code == unknown.status_code, (operation, foreign.text, unknown.text)
        assert neutral(foreign, two.ids) == neutral(unknown, two.unknown), operation
        assert foreign.status_code >= 400 or operation in EACH, operation


def test_names_and_event_ids_are_free_in_every_workspace(server: Server, two: Two) -> None:
    """What one workspace uses does not stand in another's way, nor tell it anything."""
    stranger = server.workspace(clock=datetime(2024, 6, 10, tzinfo=UTC))  # the other tests' one keeps nothing
    customer(stranger.http, two.ids["account_id"])
    schema(stranger.http, two.ids["event_schema_name"])
    sent = event(
        two.ids["event_id"], "2024-06-09T00:00:00Z", account=two.ids["account_id"],
        schemaName=two.ids["event_schema_name"],
    )  # fmt: skip
    ingest(stranger.http, sent)
    found = expect(stranger.http.get(f"/events/{two.ids['event_id']}"), 200)["events"]
    assert [entry["ingestionStatus"]["status"] for entry in found] == ["INGESTION_COMPLETED_NO_MATCHING_METERS"]
    owned = expect(two.owner.http.get(f"/events/{two.ids['event_id']}"), 200)["events"]
    statuses = [entry["ingestionStatus"]["status"] for entry in owned]
    assert statuses == ["INGESTION_COMPLETED_EVENT_METERED", "REVERTED"], "as corrected, and its former self"
    for path in (f"/accounts/{two.ids['account_id']}", f"/customers/{two.ids['customer_id']}"):
        expect(stranger.http.delete(path), 200)


READ = [entry for entry in ADDRESSED if entry[0] == "GET"]


@pytest.mark.parametrize("path", [entry[1] for entry in READ], ids=[entry[2] for entry in READ])
def test_another_s_id_takes_as_long_as_none(two: Two, path: str) -> None:
    """About as long: an answer that tells by its time would differ by whole queries, not by a tenth."""

    def seconds(ids: dict[str, str]) -> float:
        began = time.perf_counter()
        two.stranger.http.get(two.path(path, ids))
        return time.perf_counter() - began

    ratios = []
    for _ in range(4):
        pairs = [(seconds(two.ids), seconds(two.unknown)) for _ in range(11)]
        foreign, unknown = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratios.append(foreign / unknown)
        if 0.5 < ratios[-1] < 2:
            return
    raise AssertionError(ratios)
