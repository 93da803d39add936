"""Which operations there are at the carrier's doors: those of the contract's tables, and no others.

Routing and switching are outside, and so is what belongs to calls; it is not there either.
"""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import Server, Tenant
from tests.http.yeti.carrier import HEADERS, document, send

ADMIN, CUSTOMER = "/api/rest/admin", "/api/rest/customer/v1"
BREAKDOWN = "invoice country network"
TABLE: dict[str, tuple[str, str, str]] = {
    # path: actions (Create, Read, Update, Delete), to-one and to-many relationships
    "accounts": ("CRUD", "contractor invoice-template", ""),
    "contractors": ("CRUD", "smtp-connection", ""),
    "contacts": ("CRUD", "contractor", ""),
    "smtp-connections": ("CRUD", "", ""),
    "api-accesses": ("CRUD", "", ""),
    "customer-tokens": ("C", "", ""),
    "payments": ("CR", "account", ""),
    "transactions": ("CR", "account service", ""),
    "services": ("CRU", "account service-type", "transactions package-counters"),
    "service-types": ("CRUD", "", ""),
    "currencies": ("CRUD", "", ""),
    "package-counters": ("R", "account service", ""),
    "invoice-template": ("CRUD", "", ""),
    "invoices": (
        "CRD", "account",
        "originated-destinations originated-networks terminated-destinations terminated-networks service-data",
    ),
    "invoice-originated-destinations": ("R", BREAKDOWN, ""),
    "invoice-originated-networks": ("R", BREAKDOWN, ""),
    "invoice-terminated-destinations": ("R", BREAKDOWN, ""),
    "invoice-terminated-networks": ("R", BREAKDOWN, ""),
    "invoice-service-data": ("R", "invoice service", ""),
    "timezones": ("R", "", ""),
}  # fmt: skip
OTHERS = {
    ("POST", f"{ADMIN}/auth"), ("GET", f"{ADMIN}/invoices/_/pdf"),
    *((verb, f"{ADMIN}/accounts/_/{what}") for verb in ("PUT", "PATCH") for what in ("balance", "balance-correction")),
}  # fmt: skip
OF_CUSTOMERS: dict[str, str] = {
    "accounts": "", "payments": "account", "invoices": "account", "services": "account transactions",
    "transactions": "account service",
}  # fmt: skip
OTHERS_OF_CUSTOMERS = {
    *((verb, f"{CUSTOMER}/auth") for verb in ("POST", "GET", "DELETE")),
    *(("GET", f"{CUSTOMER}/{name}") for name in ("profile", "profiles")),
}
VERBS = ("GET", "POST", "PATCH", "PUT", "DELETE")


def operations(path: str, actions: str, to_one: str, to_many: str) -> Iterator[tuple[str, str]]:
    """What the contract gives a resource; relationships are changed where the resource is."""
    one = f"{path}/_"
    if "R" in actions:
        yield from (("GET", path), ("GET", one))
    if "C" in actions:
        yield "POST", path
    if "U" in actions:
        yield from (("PATCH", one), ("PUT", one))
    if "D" in actions:
        yield "DELETE", one
    for name in (*to_one.split(), *to_many.split()):
        link = f"{one}/relationships/{name}"
        yield from (("GET", f"{one}/{name}"), ("GET", link))
        if "U" in actions:
            yield from ((verb, link) for verb in ("PATCH", "PUT", "DELETE"))
            if name in to_many.split():
                yield "POST", link


def described(server: Server, name: str) -> set[tuple[str, str]]:
    """All operations of a door, as its OpenAPI document has them."""
    paths: dict[str, Any] = httpx.get(f"{server.url}/openapi/{name}.json", timeout=30).json()["paths"]
    return {(verb.upper(), re.sub(r"{\w+}", "_", path)) for path, verbs in paths.items() for verb in verbs}


ALL = {
    *OTHERS,
    *(entry for path, resource in TABLE.items() for entry in operations(f"{ADMIN}/{path}", *resource)),
}  # fmt: skip
ALL_OF_CUSTOMERS = {
    *OTHERS_OF_CUSTOMERS,
    *(entry for path, links in OF_CUSTOMERS.items() for entry in operations(f"{CUSTOMER}/{path}", "R", links, "")),
}


def test_the_admin_door_has_the_operations_of_the_contract(server: Server) -> None:
    assert described(server, "yeti") == ALL


def test_they_are_shown_to_readers(server: Server) -> None:
    for name in ("yeti", "yeti-customer"):
        answer = httpx.get(f"{server.url}/openapi/{name}.json", timeout=30)
        assert answer.json()["openapi"].startswith("3.1.")
        assert f"/openapi/{name}.json" in httpx.get(f"{server.url}/docs", timeout=30).text


def test_so_has_the_customers_door(server: Server) -> None:
    assert described(server, "yeti-customer") == ALL_OF_CUSTOMERS


def test_what_is_not_there_is_404_for_every_other_verb(tenant: Tenant) -> None:
    paths = sorted({path for _, path in ALL if path.startswith(ADMIN)})
    for path in paths:
        for verb in VERBS:
            where = path.removeprefix(f"{ADMIN}/").replace("_", "1")
            known = (verb, path) in ALL
            answer = send(tenant, verb, where, document("foo", {}, "1"))
            if known:
                # Routed: the answer is about the document or the object, not about the URL.
                assert where.endswith("/pdf") or answer.status_code != 404 or "identified by" in answer.text, (
                    verb,
                    path,
                )
            else:
                assert answer.status_code == 404, (verb, path)
                assert answer.headers["content-type"] == HEADERS["accept"]
                assert "identified by" not in answer.text


@pytest.mark.parametrize(
    "name",
    ["invoice-templates", "gateways", "dialpeers", "customers-auths", "nodes", "rateplans", "destinations", "cdrs",
     "balances", "balance-correction", "numberlists", "countries", "networks"],
)  # fmt: skip
def test_what_is_outside_is_not_there(tenant: Tenant, name: str) -> None:
    for path in (name, f"{name}/1"):
        answer = send(tenant, "GET", path)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "404")
