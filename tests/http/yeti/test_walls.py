"""Nobody sees another workspace at the carrier's door: every route, made from the declarations."""

import re
from typing import Any

import pytest

from bursar.accounts.workspaces import sequence_of
from bursar.http.app import load_doors
from bursar.http.yeti.jsonapi import Resource, ToOne, dashed
from bursar.http.yeti.jsonapi_routes import ResourceDoor, parameter
from tests.conftest import Server, Tenant
from tests.http.yeti.carrier import contractor, document, make, send

MARK = "seen-by-nobody-else"
FREE_MINUTES = "Billing::Provisioning::FreeMinutes"
FIRST = 700_001
"""Numbers of the owner's objects begin here, so that a stranger has none of them."""
UNKNOWN = 900_001

door = load_doors()[2]
assert isinstance(door, ResourceDoor)
RESOURCES = door.resources
ROUTES = [
    (operation.method, operation.path.removeprefix(door.base + "/"), *door.made[operation.id])
    for operation in door.operations
    if operation.id in door.made
]
ADDRESSED = [route for route in ROUTES if "{" in route[1]]
LISTS = [route for route in ROUTES if route[3] == "list"]


class Two:
    """A workspace with objects, and a stranger's without."""

    def __init__(self, owner: Tenant, stranger: Tenant, numbers: dict[str, int]) -> None:
        self.owner, self.stranger, self.numbers = owner, stranger, numbers

    def number(self, kind: str) -> int:
        """The number of the owner's object of a type."""
        return self.numbers.get(kind, FIRST)


@pytest.fixture(scope="module")
def two(server: Server) -> Two:
    owner = server.workspace()

    def number_from_first(kind: str) -> None:
        name = sequence_of(kind, owner.caller.workspace)
        server.run(lambda db: db.lookup("select setval($1::text::regclass, $2)", name, FIRST - 1))

    for kind in ("customer", "account"):
        number_from_first(kind)
    assert contractor(owner, MARK) == str(FIRST)
    sent = document("accounts", {"name": MARK, "external-id": FIRST}, contractor=("contractors", FIRST))
    assert make(owner, "accounts", sent)["id"] == str(FIRST)
    number_from_first("object")
    at_first = {"account": ("accounts", FIRST)}
    kind = make(owner, "service-types", document("service-types", {"name": MARK, "provisioning-class": FREE_MINUTES}))
    free = {"prefixes": [{"prefix": "700001", "duration": 60}]}
    prices = {"name": MARK, "initial-price": 1, "renew-price": 0, "variables": free}
    sent_of = {
        "contacts": document("contacts", {"email": MARK}, contractor=("contractors", FIRST)),
        "api-accesses": document("api-accesses", {"customer-id": FIRST, "login": MARK, "password": MARK}),
        "currencies": document("currencies", {"name": "EUR", "rate": 700001.5}),
        "invoice-templates": document("invoice-templates", {"name": MARK, "html-template": MARK}),
        "invoices": document("invoices", {"start-date": "2024-01-01", "end-date": "2024-02-01"}, **at_first),
        "payments": document("payments", {"amount": 1, "notes": MARK}, **at_first),
        "services": document("services", prices, **at_first, **{"service-type": ("service-types", int(kind["id"]))}),
        "smtp-connections": document("smtp-connections", {"name": MARK, "host": MARK, "from-address": "a@example.com"}),
        "transactions": document("transactions", {"amount": 1, "description": MARK}, **at_first),
    }
    numbers = {"service-types": int(kind["id"])}
    for type_, one in sent_of.items():
        numbers[type_] = int(make(owner, RESOURCES[type_].segment, one)["id"])
    (counter,) = send(owner, "GET", "package-counters").json()["data"]
    return Two(owner, server.workspace(), numbers | {"package-counters": int(counter["id"])})


def body(resource: Resource, action: str, relationship: Any, number: int) -> Any:
    """A sound document about one object that changes nothing of it, or links it to another of that number."""
    if relationship is not None:
        link = {"type": relationship.type, "id": str(number)}
        return {"data": link if isinstance(relationship, ToOne) else [link]}
    return {"data": {"type": resource.type, "id": str(number), "attributes": {}}} if action != "create" else None


def test_there_is_one_of_everything(two: Two) -> None:
    """Else a foreign number would be as unknown as any other. Breakdowns come with calls and with time."""
    addressed = {route[2].type for route in ADDRESSED if route[2].id.name == "reference"}
    breakdowns = {one for one in addressed if one.startswith("invoice-") and one != "invoice-templates"}
    assert addressed - breakdowns - {"contractors", "accounts", "balances", "balance-correction"} <= {*two.numbers}


def name(route: Any) -> str:
    return f"{route[0]} {route[1]}"


@pytest.mark.parametrize("route", ADDRESSED, ids=name)
def test_what_another_owns_is_not_there(two: Two, mutated: bool, route: Any) -> None:
    method, path, resource, action, relationship = route
    if resource.id.name != "reference":
        pytest.skip("its ids are the same in every workspace")
    answers = []
    for number in (two.number(resource.type), UNKNOWN):
        where = re.sub(r"{\w+}", str(number), path)
        sent = None if method == "GET" else body(resource, action, relationship, number)
        answer = send(two.stranger, method, where, sent)
        answers.append((answer.status_code, answer.text.replace(str(number), "N"), {*answer.headers}))
    assert answers[0] == answers[1]
    allowed = () if relationship is None or dashed(relationship.name) in resource.writable("U") else (400,)
    assert answers[0][0] in {404, 403, *allowed}, answers[0][1]
    if answers[0][0] == 403:
        assert action in ("updateLinkage", "replaceLinkage"), "nobody replaces a to-many relationship"


@pytest.mark.parametrize("route", LISTS, ids=name)
def test_lists_hold_nothing_of_another(two: Two, mutated: bool, route: Any) -> None:
    answer = send(two.stranger, "GET", route[1], params={"include": ",".join(includes(route[2]))})
    assert answer.status_code == 200, answer.text
    assert MARK not in answer.text
    assert str(FIRST) not in answer.text


def includes(resource: Resource) -> list[str]:
    return [dashed(one) for one, to in resource.relationships.items() if to.type in RESOURCES]


def test_what_is_sent_leads_to_nobody_else(two: Two, mutated: bool) -> None:
    """Linkage to another's objects is as linkage to none; what another uses is free."""
    answers = []
    for number in (FIRST, UNKNOWN):
        sent = document("accounts", {"name": "mine"}, contractor=("contractors", number))
        answers.append(send(two.stranger, "POST", "accounts", sent).text)
    assert answers[0] == answers[1]
    assert "must exist" in answers[0]
    if not mutated:
        mine = contractor(two.stranger, MARK)
        sent = document("accounts", {"name": MARK, "external-id": FIRST}, contractor=("contractors", mine))
        number = make(two.stranger, "accounts", sent)["id"]
        assert send(two.stranger, "DELETE", f"accounts/{number}").status_code == 204
        assert send(two.stranger, "DELETE", f"contractors/{mine}").status_code == 204


def test_every_parameter_of_a_path_is_known() -> None:
    for _, path, resource, _, _ in ADDRESSED:
        assert set(re.findall(r"{(\w+)}", path)) <= {parameter(resource), "account_id"}
