"""Nobody sees another workspace at the carrier's door: every route, made from the declarations."""

import re
from typing import Any

import pytest

from bursar.accounts.workspaces import sequence_of
from bursar.db.queries import Queries
from bursar.http.app import load_doors
from bursar.http.yeti.jsonapi import Resource, ToOne, dashed
from bursar.http.yeti.jsonapi_routes import ResourceDoor, parameter
from tests.conftest import Server, Tenant, _in_thread
from tests.http.yeti.carrier import contractor, document, make, send

MARK = "seen-by-nobody-else"
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
SHARED = {"currencies", "timezones"}
"""Types of which every workspace has some of the same."""


class Two:
    """A workspace with objects, and a stranger's without."""

    def __init__(self, owner: Tenant, stranger: Tenant) -> None:
        self.owner, self.stranger = owner, stranger


@pytest.fixture(scope="module")
def two(server: Server) -> Two:
    owner = server.workspace()

    def number_from_first(kind: str) -> None:
        name = sequence_of(kind, owner.caller.workspace)
        _in_thread(lambda: server.run(lambda db: db.lookup("select setval($1::text::regclass, $2)", name, FIRST - 1)))

    for kind in ("customer", "account"):
        number_from_first(kind)
    assert contractor(owner, MARK) == str(FIRST)
    sent = document("accounts", {"name": MARK, "external-id": FIRST}, contractor=("contractors", FIRST))
    assert make(owner, "accounts", sent)["id"] == str(FIRST)
    template = document("invoice-templates", {"name": MARK, "html-template": MARK})
    window = {"start-date": "2024-01-01", "end-date": "2024-02-01"}
    invoice = document("invoices", window, account=("accounts", FIRST))
    for path, sent in (("invoice-template", template), ("invoices", invoice)):
        number_from_first("object")  # types do not share their numbers
        assert make(owner, path, sent)["id"] == str(FIRST)
    return Two(owner, server.workspace())


@pytest.fixture(params=[False, True], ids=["as it is", "with no condition on the workspace in any statement"])
def mutated(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, two: Two) -> bool:
    """Take the first wall away: the second one alone must hold."""
    if not request.param:
        return False
    condition = re.compile(r"\b(?:\w+\.)?workspace = (\$\d+)\b")
    original = Queries.__getattr__

    def without(self: Queries, name: str) -> str:
        return condition.sub(r"\1::int is not null", original(self, name))

    monkeypatch.setattr(Queries, "__getattr__", without)
    return True


def body(resource: Resource, action: str, relationship: Any, number: int) -> Any:
    """A sound document about one object that changes nothing of it, or links it to another of that number."""
    if relationship is not None:
        link = {"type": relationship.type, "id": str(number)}
        return {"data": link if isinstance(relationship, ToOne) else [link]}
    return {"data": {"type": resource.type, "id": str(number), "attributes": {}}} if action != "create" else None


def name(route: Any) -> str:
    return f"{route[0]} {route[1]}"


@pytest.mark.parametrize("route", ADDRESSED, ids=name)
def test_what_another_owns_is_not_there(two: Two, mutated: bool, route: Any) -> None:
    method, path, resource, action, relationship = route
    if resource.id.name != "reference" or (resource.type in SHARED):
        pytest.skip("its ids are the same in every workspace")
    answers = []
    for number in (FIRST, UNKNOWN):
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
