"""A published client for JSON:API reads and writes accounts, with nothing made for this door.

Its deleting is left out: it reads the body of every answer as JSON, also the empty one of 204 that JSON:API asks for.
"""

from typing import Any

import jsonapi_client  # type: ignore[import-untyped]
import pytest

from tests.conftest import Server, Tenant
from tests.http.yeti.carrier import ADMIN, contractor, get

SCHEMA = {
    "accounts": {
        "properties": {
            "name": {"type": "string"},
            "min-balance": {"type": ["number", "string"]},
            "contractor": {"relation": "to-one", "resource": ["contractors"]},
        }
    },
    "contractors": {"properties": {"name": {"type": "string"}}},
}


@pytest.fixture(scope="module")
def tenant(server: Server) -> Tenant:
    return server.workspace()


def session(tenant: Tenant, schema: dict[str, Any] | None = None) -> Any:
    return jsonapi_client.Session(
        f"{tenant.url}{ADMIN}", schema=schema, request_kwargs={"headers": {"authorization": tenant.token}}
    )


def test_it_makes_reads_and_changes_accounts(tenant: Tenant) -> None:
    owner = contractor(tenant, "owner")
    with session(tenant, SCHEMA) as client:
        made = client.create("accounts", {"name": "mine", "min-balance": "-1.5", "contractor": owner})
        made.commit()
        number = made.id
    assert get(tenant, f"accounts/{number}")["data"]["attributes"]["min-balance"] == "-1.5"
    with session(tenant) as client:
        read = client.get("accounts", number).resource
        assert (read.name, read.min_balance, read.contractor.id) == ("mine", "-1.5", owner)
        assert read.contractor.name == "owner"
        read.name = "yours"
        read.commit()
        assert get(tenant, f"accounts/{number}")["data"]["attributes"]["name"] == "yours"
        found = client.get("accounts", jsonapi_client.Filter(name="yours"))
        assert [row.id for row in found.resources] == [number]


def test_it_walks_through_all_pages(tenant: Tenant) -> None:
    names = {f"c{number}" for number in range(7)}
    for name in sorted(names):
        contractor(tenant, name)
    with session(tenant) as client:
        pages = client.iterate("contractors", jsonapi_client.Modifier("page[size]=2&filter[name_start]=c"))
        assert {row.name for row in pages} == names
