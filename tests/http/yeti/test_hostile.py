"""Input made to hurt, at every route of the carrier's door: refused or taken as data, never a 5xx."""

import re
from typing import Any
from urllib.parse import quote

import pytest

from bursar.http.app import load_doors
from bursar.http.yeti.jsonapi import Resource, dashed
from bursar.http.yeti.jsonapi_routes import ResourceDoor
from tests.conftest import Server, Tenant
from tests.http.test_hostile import BOMBS, CURSORS, DIGITS, SIZES, STRINGS
from tests.http.yeti.carrier import ADMIN, HEADERS, contractor, document, make, send

door = load_doors()[2]
assert isinstance(door, ResourceDoor)
TYPES = door.resources
RESOURCES = [resource for resource in door.resources.values() if resource.list is not None]
WRITES = [operation for operation in door.operations if operation.id in door.made and operation.body is not None]
VALUES: tuple[Any, ...] = (
    *STRINGS, *CURSORS, *SIZES, DIGITS, "\0", "1e400", "-9223372036854775809", "NaN", "Infinity", "0x1f", "1_000",
    " 5 ", True, False, None, [], {}, [[]], {"a": 1}, int(1e308), -1, 0, 2**63, 10**400, [None, "", {}], ["x"] * 2000,
)  # fmt: skip

NAMES = (
    "sort", "include", "page", "page[size]", "page[number]", "fields", "filter", "filter[][]", "filter[id][x]",
    "page[size][]", "page[][]", "[", "sort[]", "include[]",
)  # fmt: skip


@pytest.fixture(scope="module")
def tenant(server: Server) -> Tenant:
    tenant = server.workspace()
    owner = contractor(tenant, "owner")
    make(tenant, "accounts", document("accounts", {"name": "first"}, contractor=("contractors", owner)))
    return tenant


@pytest.mark.parametrize("operation", WRITES, ids=lambda operation: operation.id)
def test_bombs_are_refused(tenant: Tenant, operation: Any) -> None:
    for name, content in BOMBS.items():
        where = re.sub(r"{\w+}", "1", operation.path)
        answer = tenant.http.request(operation.method, where, content=content, headers=HEADERS)
        allowed = {204} if operation.id.startswith("yeti-deleteLinkage") else set[int]()
        assert 400 <= answer.status_code < 500 or answer.status_code in allowed, (name, answer.text)


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.type)
def test_filters_sorts_and_pages_of_any_kind(tenant: Tenant, resource: Resource) -> None:
    path = f"{ADMIN}/{resource.segment}"
    texts = [
        str(value) for value in (*STRINGS[:8], *CURSORS, *SIZES, DIGITS, "1e400", "-1e-400", "a,b", '"', "\0", ",")
    ]
    for name in resource.filters:
        # Each filter meets one of the texts, all filters together most of them.
        for text in texts[len(name) % len(texts) :: len(texts)]:
            answer = tenant.http.get(path, params={f"filter[{name}]": text})
            assert answer.status_code in (200, 400), (name, text, answer.text)
    for name in (*NAMES, f"fields[{resource.type}]"):
        for text in texts[len(name) % 12 :: 12]:
            answer = tenant.http.get(path, params={name: text})
            assert answer.status_code in (200, 400), (name, text, answer.text)
    for text in texts[len(resource.type) % 6 :: 6]:
        answer = tenant.http.get(f"{path}/{quote(text, safe='') or 'x'}")
        assert answer.status_code in (200, 400, 404), (text, answer.text)


@pytest.mark.parametrize("name", ["accounts", "contractors"])
def test_values_of_any_kind(tenant: Tenant, name: str) -> None:
    resource = TYPES[name]
    links = {"contractor": ("contractors", "1")} if name == "accounts" else {}
    for attribute in sorted(resource.writable("C") - {dashed(one) for one in resource.relationships}):
        for value in VALUES[len(attribute) % 4 :: 4]:
            sent = document(name, {"name": "hostile", "vendor": True, attribute: value}, **links)
            if name == "accounts":
                sent["data"]["attributes"].pop("vendor", None)
            answer = send(tenant, "POST", name, sent)
            assert answer.status_code in (201, 400, 422), (attribute, value, answer.text)
            if answer.status_code == 201:
                number = answer.json()["data"]["id"]
                shown = send(tenant, "GET", f"{name}/{number}")
                assert shown.text == answer.text, "what is answered is what was stored"
                assert send(tenant, "DELETE", f"{name}/{number}").status_code == 204
