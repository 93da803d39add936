"""The published examples, sent as they stand, each in a workspace that has what they presuppose."""

from typing import Any

from tests.conftest import Tenant

ADDRESS = {
    "phoneNumber": "+919876543210",
    "line1": "2281 Broadway Street",
    "line2": "G-31",
    "postalCode": "29501",
    "city": "Florence",
    "state": "South Carolina",
    "country": "US",
}


def setting(identifier: str) -> dict[str, str]:
    return {"id": identifier, "value": "INR", "namespace": "USER", "name": "Settings Name", "dataType": "STRING"}


def post(tenant: Tenant, path: str, body: dict[str, Any], status: int) -> dict[str, Any]:
    answer = tenant.http.post(path, json=body)
    assert answer.status_code == status, answer.text
    result: dict[str, Any] = answer.json()
    return result


def presuppose(tenant: Tenant) -> None:
    body = {"id": "C1234qwd", "name": "Presupposed", "primaryEmail": "x@example.com", "address": {}}
    post(tenant, "/customers", body, 201)


def test_create_an_account(tenant: Tenant) -> None:
    presuppose(tenant)
    body = {
        "id": "ACC00001",
        "name": "Primary Account",
        "customerId": "C1234qwd",
        "aliases": ["acme_primary", "acme_1"],
        "address": ADDRESS,
        "primaryEmail": "admin@example.com",
        "settings": [setting("accountSettingId")],
        "netTermDays": 45,
    }
    made = post(tenant, "/accounts", body, 201)
    assert made["id"] == "ACC00001"
    assert made["customerId"] == "C1234qwd"
    assert made["togaiAccountId"].startswith("account.")
    assert made["togaiCustomerId"].startswith("customer.")
    assert (made["name"], made["invoiceCurrency"], made["status"]) == ("Primary Account", "USD", "ACTIVE")
    assert made["address"] == ADDRESS
    assert made["primaryEmail"] == "admin@example.com"
    assert made["billingInformation"] == {"emailRecipients": ["admin@example.com"]}
    assert made["netTermDays"] == 45
    assert made["settings"] == [setting("accountSettingId")]
    assert [alias["alias"] for alias in made["aliases"]] == ["acme_primary", "acme_1"]
    with_billing = {
        **body,
        "id": "ACC00002",
        "aliases": [],
        "billingInformation": {"emailRecipients": ["a@example.com"]},
    }
    made = post(tenant, "/accounts", with_billing, 201)
    assert made["billingInformation"] == {"emailRecipients": ["a@example.com"]}


def test_create_a_customer(tenant: Tenant) -> None:
    body = {
        "id": "01BX5ZZKBKACTAV9WEVGEMMVRZ",
        "name": "ACME Enterprise",
        "primaryEmail": "admin@example.com",
        "address": ADDRESS,
        "settings": [setting("customerSettingId")],
        "account": {
            "id": "ACC00001",
            "name": "Primary Account",
            "invoiceCurrency": "USD",
            "aliases": ["acme_primary", "admin@example.com"],
            "settings": [setting("accountSettingId")],
        },
    }
    made = post(tenant, "/customers", body, 201)
    assert {key: made[key] for key in ("id", "name", "primaryEmail", "address", "settings")} == {
        key: body[key] for key in ("id", "name", "primaryEmail", "address", "settings")
    }
    assert made["billingAddress"] == "2281 Broadway Street, G-31, 29501, Florence, South Carolina, US"
    assert made["togaiCustomerId"].startswith("customer.")
    account = made["account"]
    assert (account["id"], account["name"], account["invoiceCurrency"], account["status"]) == (
        "ACC00001",
        "Primary Account",
        "USD",
        "ACTIVE",
    )
    assert account["aliases"] == [
        {"alias": "acme_primary", "status": "ACTIVE"},
        {"alias": "admin@example.com", "status": "ACTIVE"},
    ]
    assert account["settings"] == [setting("accountSettingId")]
    assert account["togaiAccountId"].startswith("account.")
    assert account["togaiCustomerId"] == made["togaiCustomerId"]
    assert account["customerId"] == made["id"]


def test_add_aliases_to_an_account(tenant: Tenant) -> None:
    presuppose(tenant)
    account = {"id": "G234DZZKBKACATFFGVGEMERFI", "name": "ACME Enterprise - Account2", "customerId": "C1234qwd"}
    post(tenant, "/accounts", {**account, "address": ADDRESS, "primaryEmail": "admin@example.com"}, 201)
    body = {"aliases": ["account2@acme.com", "+1234567890"]}
    made = post(tenant, "/accounts/G234DZZKBKACATFFGVGEMERFI/add_aliases", body, 200)
    assert made["aliases"] == [
        {"alias": "account2@acme.com", "status": "ACTIVE"},
        {"alias": "+1234567890", "status": "ACTIVE"},
    ]
    for member in ("id", "name", "customerId", "invoiceCurrency", "address", "primaryEmail", "status"):
        assert made[member], member
    for member in ("settings", "metadata", "invoiceGroupDetails", "togaiAccountId", "togaiCustomerId"):
        assert member in made
