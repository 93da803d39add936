"""Credits with the official client: granted, held, used, expired, voided, refused."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import pytest
from togai_client import ApiClient, Configuration
from togai_client.api.credits_api import CreditsApi
from togai_client.exceptions import ApiException
from togai_client.models.create_credit_request import CreateCreditRequest
from togai_client.models.credit import Credit

from tests.conftest import Server, Tenant
from tests.http.togai.catalog import card, customer, event, expect, ingest, meter, per_unit, plan, schema
from tests.http.togai.test_invoices import BROWSER, run_bill, set_clock

NOW = datetime(2024, 5, 10, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def tenant(server: Server) -> Tenant:
    return server.workspace(clock=NOW)


@pytest.fixture(scope="module")
def api(tenant: Tenant) -> CreditsApi:
    return CreditsApi(tenant.togai)


_names = (f"acc-{number}" for number in range(1000))


def account(tenant: Tenant, **more: Any) -> str:
    name = next(_names)
    customer(tenant.http, name, **more)
    return name


def request(name: str, **more: Any) -> dict[str, Any]:
    body = {"accountId": name, "purpose": "welcome", "effectiveFrom": "2024-05-01", "priority": 1, "creditAmount": 10}
    return body | more


def grant(api: CreditsApi, *requests: dict[str, Any]) -> list[Credit]:
    made = api.create_credit(CreateCreditRequest.from_dict({"creditRequests": list(requests)}))
    return list(made.credits)


def refused(call: Callable[[], Any], status: int, *words: str) -> None:
    with pytest.raises(ApiException) as caught:
        call()
    assert caught.value.status == status, caught.value.body
    for word in words:
        assert word in json.loads(caught.value.body)["message"], caught.value.body


def test_credits_are_granted(tenant: Tenant, api: CreditsApi) -> None:
    name = account(tenant)
    gift, pack = grant(
        api,
        request(name, applicableEntityIds=["ALL_USAGE_METER_RATE_CARDS"], effectiveUntil="2024-06-01", grantorId="me"),
        request(name, creditAmount=2.5, idempotencyKey="k1", priority=0),
    )
    assert (gift.account_id, gift.customer_id, gift.purpose, gift.priority, gift.grantor_id) == (
        name, name, "welcome", 1, "me",
    )  # fmt: skip
    assert (gift.effective_from, gift.effective_until) == (date(2024, 5, 1), date(2024, 6, 1))
    assert (gift.credit_amount, gift.hold_amount, gift.consumed_amount, gift.credit_unit) == (10, 0, 0, "USD")
    assert (gift.status, gift.applicable_entity_ids) == ("ACTIVE", ["ALL_USAGE_METER_RATE_CARDS"])
    assert (pack.idempotency_key, pack.effective_until, pack.applicable_entity_ids) == ("k1", None, [])
    (again,) = grant(api, request(name, creditAmount=2.5, idempotencyKey="k1", priority=0))
    assert again == pack
    refused(lambda: grant(api, request(name, idempotencyKey="k1")), 400, "creditRequests[0].idempotencyKey", "'k1'")
    assert [one.id for one in api.list_credits(account_id=name).data] == [pack.id, gift.id]
    details = api.get_credit_details(gift.id)
    assert [(entry.transaction_type, entry.amount, entry.credit_id) for entry in details.transactions] == [
        ("CREDITED", 10, gift.id)
    ]
    balance = api.credit_balance_for_account(name)
    assert (balance.active_credits, balance.available_balance, balance.unit) == (12.5, 12.5, "USD")
    assert (balance.inapplicable_credits, balance.running_balance) == (10, 2.5), "nothing is measured for the account"
    trail = expect(tenant.http.get("/bursar/v1/audit", params={"object": gift.id}), 200)["entries"]
    assert [(entry["action"], entry["detail"]) for entry in trail] == [("grant", {"amount": "10"})]


def test_pages_and_filters(tenant: Tenant, api: CreditsApi) -> None:
    name = account(tenant)
    made = [one.id for one in grant(api, *(request(name) for _ in range(5)))]
    api.void_credit(made[1])
    listed, token = [], None
    while True:
        page = api.list_credits(account_id=name, page_size=2, next_token=token)
        listed += [one.id for one in page.data]
        token = page.next_token
        if token is None:
            break
    assert listed == made[::-1]
    assert [one.id for one in api.list_credits(account_id=name, status="VOIDED").data] == [made[1]]
    assert [one.id for one in api.list_credits(id=made[3]).data] == [made[3]]
    assert api.list_credits(account_id="nobody").data == []
    for parameters in ({"pageSize": "51"}, {"status": "GONE"}, {"nextToken": "xyz"}):
        assert tenant.http.get("/credits", params=parameters).status_code == 400


def test_a_credit_is_voided_once(tenant: Tenant, api: CreditsApi) -> None:
    name = account(tenant)
    (credit,) = grant(api, request(name))
    voided = api.void_credit(credit.id)
    assert (voided.id, voided.status, voided.credit_amount, voided.hold_amount) == (credit.id, "VOIDED", 10, 0)
    refused(lambda: api.void_credit(credit.id), 400, credit.id, "VOIDED")
    details = api.get_credit_details(credit.id)
    assert [entry.transaction_type for entry in details.transactions] == ["CREDITED", "VOIDED"]
    assert api.credit_balance_for_account(name).active_credits == 0


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"creditAmount": None}, "creditRequests[0].creditAmount"),
        ({"creditAmount": 0}, "creditAmount"),
        ({"creditAmount": -1}, "creditAmount"),
        ({"creditAmount": 0.001}, "creditAmount"),
        ({"creditAmount": "ten"}, "creditAmount"),
        ({"effectiveUntil": "2024-05-01"}, "effectiveUntil"),
        ({"effectiveUntil": "2024-05-10"}, "effectiveUntil"),
        ({"effectiveFrom": "soon"}, "effectiveFrom"),
        ({"priority": -1}, "priority"),
        ({"priority": 1.5}, "priority"),
        ({"purpose": ""}, "purpose"),
        ({"accountId": "nobody"}, "creditRequests[0].accountId"),
        ({"applicableEntityIds": [""]}, "applicableEntityIds"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_granted(tenant: Tenant, api: CreditsApi, more: dict[str, Any], word: str) -> None:
    name = account(tenant)
    body = {"creditRequests": [{k: v for k, v in request(name, **more).items() if v is not None}]}
    answer = tenant.http.post("/credits", json=body)
    assert answer.status_code == 400, answer.text
    assert word in answer.json()["message"]
    # One that cannot be takes the others with it.
    body["creditRequests"].insert(0, request(name))
    assert tenant.http.post("/credits", json=body).status_code == 400
    assert api.list_credits(account_id=name).data == []


def test_what_is_not_there_and_who_may_not(server: Server, tenant: Tenant, api: CreditsApi) -> None:
    name = account(tenant)
    (credit,) = grant(api, request(name))
    expect(tenant.http.delete(f"/accounts/{name}"), 200)
    refused(lambda: grant(api, request(name)), 400, name, "archived")
    stranger = CreditsApi(server.workspace().togai)
    for call in (
        partial(api.get_credit_details, "cred.none"),
        partial(api.void_credit, "cred.none"),
        partial(api.credit_balance_for_account, "nobody"),
        partial(stranger.get_credit_details, credit.id),
        partial(stranger.void_credit, credit.id),
    ):
        refused(call, 404, "was not found")
    nobody = CreditsApi(ApiClient(Configuration(host=tenant.url, access_token="nobody")))
    for call in (nobody.list_credits, partial(grant, nobody, request(name)), partial(nobody.void_credit, credit.id)):
        refused(call, 401)
    assert tenant.http.post("/credits", json={"creditRequests": []}).status_code == 400


def test_from_the_draft_to_the_invoice(server: Server) -> None:
    """May costs 10 of tokens; a credit of 4 for them, one of 50 for something else, and 3 in the wallet."""
    tenant = server.workspace(clock=NOW)
    api = CreditsApi(tenant.togai)
    customer(tenant.http, "acme")
    schema(tenant.http)
    identifier = meter(tenant.http)
    priced = plan(tenant.http, [card(identifier, per_unit(0), [2])])
    body = {"pricePlanId": priced, "effectiveFrom": "2024-05-01", "effectiveUntil": "2024-06-01"}
    expect(tenant.http.post("/accounts/acme/price_plans", json=body), 200)
    ingest(tenant.http, event("e1", "2024-05-02T10:00:00Z", tokens=5))
    credit, _ = grant(
        api,
        request("acme", creditAmount=4, applicableEntityIds=[identifier]),
        request("acme", creditAmount=50, applicableEntityIds=["addon.other"], priority=0),
    )
    assert (credit.hold_amount, credit.consumed_amount) == (4, 0)
    balance = api.credit_balance_for_account("acme")
    figures = (balance.active_credits, balance.available_balance, balance.running_balance, balance.inapplicable_credits)
    assert figures == (54, 50, 0, 50)
    expect(tenant.http.post("/accounts/acme/wallet_topup", json={"topupAmount": 3}), 200)
    wallet = expect(tenant.http.get("/accounts/acme/wallet"), 200)
    assert (wallet["balance"], wallet["holdAmount"]) == (0, 3)
    set_clock(tenant, datetime(2024, 6, 10, tzinfo=UTC))
    run_bill(server, tenant)
    (invoice,) = expect(tenant.http.get("/invoices", headers=BROWSER), 200)["data"]
    assert (invoice["status"], invoice["totalAmount"], invoice["paidAmount"]) == ("PARTIALLY_PAID", 6, 3)
    shown = expect(tenant.http.get(f"/invoices/{invoice['id']}", headers=BROWSER), 200)
    net = shown["revenueInfo"]["lineItems"][0]["lineItems"][0]
    assert [(item["type"], item["value"]) for item in net["lineItems"]] == [("GROSS_AMOUNT", 10), ("TOTAL_CREDITS", -4)]
    assert (net["value"], net["lineItems"][1]["lineItems"][0]["id"]) == (6, credit.id)
    used = api.get_credit_details(credit.id)
    assert (used.status, used.hold_amount, used.consumed_amount) == ("CONSUMED", 0, 4)
    assert [(entry.transaction_type, entry.invoice_id) for entry in used.transactions] == [
        ("CREDITED", None), ("DEBITED", invoice["id"]),
    ]  # fmt: skip
    revenue = {"id": "a", "name": "REVENUE", "aggregationPeriod": "MONTH"}
    asked = {"startTime": "2024-05-01T00:00:00Z", "endTime": "2024-06-01T00:00:00Z", "metricQueries": [revenue]}
    (result,) = expect(tenant.http.post("/metrics", json=asked), 200)["results"]
    assert [value for point in result["data"] for value in point["metricValues"] if value] == [10]
