"""To-many relationships that may be written: no resource of the doors has one yet, so a small one of the tests has."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import uvicorn

from bursar.core.errors import Invalid, NotFound
from bursar.db.database import Database
from bursar.db.listing import Listing, Slice
from bursar.http.limits import Limiter
from bursar.http.routing import Table, path_of
from bursar.http.yeti.authentication import Doorkeeper
from bursar.http.yeti.door import door as admin_door
from bursar.http.yeti.jsonapi import TEXT, Attribute, Resource, ToMany, Turn, Values
from bursar.http.yeti.jsonapi_routes import ResourceDoor
from tests.conftest import PLAIN, Server
from tests.http.yeti.carrier import HEADERS, JSON_API

BASE = "/api/rest/toys"


@dataclass
class Room:
    """Boxes, the toys that lie in them, and the labels that stick on them. A toy lies in one box, labels on many."""

    boxes: dict[int, str] = field(default_factory=lambda: {1: "red", 2: "blue"})
    toys: dict[int, int | None] = field(default_factory=lambda: {1: 1, 2: 1, 3: 2, 4: None, 5: None})
    labels: dict[int, list[int]] = field(default_factory=lambda: {1: [7, 8], 2: []})
    updates: int = 0

    async def list_boxes(self, turn: Turn, listing: Listing) -> Slice[Any]:
        return _listed([{"id": key, "name": name} for key, name in self.boxes.items()], listing)

    async def list_toys(self, turn: Turn, listing: Listing) -> Slice[Any]:
        return _listed([{"id": key, "box_id": box, "name": f"toy {key}"} for key, box in self.toys.items()], listing)

    async def list_labels(self, turn: Turn, listing: Listing) -> Slice[Any]:
        return _listed([{"id": key, "name": f"label {key}"} for key in (7, 8, 9)], listing)

    async def labels_of(self, turn: Turn, boxes: list[Any]) -> dict[Any, list[Any]]:
        return {box: self.labels[box] for box in boxes if box in self.labels}

    async def create(self, turn: Turn, values: Values) -> int:
        key = max(self.boxes) + 1
        self.boxes[key], self.labels[key] = values["name"], []
        return await self.update(turn, key, values)

    async def update(self, turn: Turn, box: int, values: Values) -> int:
        if box not in self.boxes:
            raise NotFound("box", str(box))
        for key in values.get("toys", ()):
            if key not in self.toys:
                raise NotFound("toy", str(key))
        if len(values.get("labels", ())) > 2:
            raise Invalid("labels", "are too many (maximum is 2)")
        if "toys" in values:
            self.toys.update({key: None for key, at in self.toys.items() if at == box})
            self.toys.update(dict.fromkeys(values["toys"], box))
        if "labels" in values:
            self.labels[box] = list(values["labels"])
        self.boxes[box] = values.get("name", self.boxes[box])
        self.updates += 1
        return box


def _listed(rows: list[dict[str, Any]], listing: Listing) -> Slice[Any]:
    for condition in listing.conditions:
        assert condition.operator in ("eq", "in")
        rows = [row for row in rows if row[condition.field] in condition.values]
    return Slice(rows, len(rows))


def _door(room: Room) -> ResourceDoor:
    door = ResourceDoor(
        name="toys", title="Toys", description="", base=BASE,
        failure=admin_door.failure, error=admin_door.error, error_type=admin_door.error_type, hide_methods=True,
        admit=admin_door.admit, refuse=admin_door.refuse, finish=admin_door.finish, document=admin_door.document,
    )  # fmt: skip
    name = (Attribute("name", TEXT, "CU"),)
    many = (
        ToMany("toys", "toys", "box_id", writes="CU"),
        ToMany("labels", "labels", writes="CU", keys=room.labels_of),
        ToMany("kept", "toys", "box_id"),
    )
    door.add(Resource("boxes", name, to_many=many, list=room.list_boxes, create=room.create, update=room.update))
    door.add(Resource("toys", name, list=room.list_toys))
    door.add(Resource("labels", name, list=room.list_labels))
    return door


class _Serving:
    """A door behind a socket of its own, over the database of the tests."""

    def __init__(self, door: ResourceDoor, dsn: str) -> None:
        self._door, self._dsn = door, dsn
        self._ready, self._stop = threading.Event(), threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> "_Serving":
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._ready.wait(100)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(20)

    async def _serve(self) -> None:
        db = await Database.open(self._dsn, size=2)
        table = Table(self._door, db, {Database: db, Limiter: Limiter(), Doorkeeper: Doorkeeper(db)})

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await table({**scope, "path": path_of(scope["raw_path"])}, receive, send)

        running = uvicorn.Server(uvicorn.Config(app, http="httptools", log_level="warning", lifespan="off"))
        task = asyncio.create_task(running.serve([self._socket]))
        self._ready.set()
        while not self._stop.is_set():
            await asyncio.sleep(0.02)
        running.should_exit = True
        await task
        await db.close()


@dataclass
class Toys:
    """The room, and a client of its door."""

    room: Room
    http: httpx.Client

    def send(self, method: str, path: str, document: Any = None) -> httpx.Response:
        return self.http.request(method, f"{BASE}/{path}", json=document, headers=HEADERS)


@pytest.fixture(scope="module")
def serving(server: Server) -> Iterator[tuple[Room, httpx.Client]]:
    room, tenant = Room(), server.workspace()
    authorization = {"authorization": f"Bearer {tenant.token}"}
    with (
        _Serving(_door(room), server.dsn) as served,
        httpx.Client(base_url=served.url, headers=authorization, timeout=30, verify=PLAIN) as http,
    ):
        yield room, http


@pytest.fixture
def toys(serving: tuple[Room, httpx.Client]) -> Toys:
    """The room as it is at first."""
    room, http = serving
    room.__dict__.update(vars(Room()))
    return Toys(room, http)


def links(*members: Any, kind: str = "toys") -> dict[str, Any]:
    return {"data": [{"type": kind, "id": member} for member in members]}


def fault(status: int, code: str, title: str, detail: str, pointer: str | None = None) -> str:
    source = {} if pointer is None else {"source": {"pointer": pointer}}
    return json.dumps(
        {"errors": [{"title": title, "detail": detail, "code": code, **source, "status": str(status)}]},
        separators=(",", ":"),
    )


def lying(toys: Toys, box: int) -> list[int]:
    return [key for key, at in toys.room.toys.items() if at == box]


@pytest.mark.parametrize(
    ("method", "name", "sent", "left"),
    [
        ("POST", "toys", links("4"), [1, 2, 4]),
        ("POST", "toys", links(4, "5"), [1, 2, 4, 5]),
        ("POST", "toys", links("3"), [1, 2, 3]),
        ("POST", "toys", links("4", 4), [1, 2, 4]),
        ("POST", "toys", links(), [1, 2]),
        ("DELETE", "toys", links("1"), [2]),
        ("DELETE", "toys", links(2, "1"), []),
        ("DELETE", "toys", links(), [1, 2]),
        ("DELETE", "labels", links("7", kind="labels"), [8]),
        ("DELETE", "labels", links("7", "8", kind="labels"), []),
    ],
)
def test_members_come_and_go(toys: Toys, method: str, name: str, sent: Any, left: list[int]) -> None:
    path = f"boxes/1/relationships/{name}"
    answer = toys.send(method, path, sent)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (lying(toys, 1) if name == "toys" else toys.room.labels[1]) == left
    shown = toys.send("GET", path)
    assert shown.status_code == 200
    root = str(toys.http.base_url).rstrip("/") + BASE
    assert shown.json() == {
        "data": [{"type": name, "id": str(key)} for key in left],
        "links": {"self": f"{root}/{path}", "related": f"{root}/boxes/1/{name}"},
    }
    related = toys.send("GET", f"boxes/1/{name}").json()
    assert [row["id"] for row in related["data"]] == [str(key) for key in left]
    assert related["meta"] == {"total-count": len(left)}


FORBIDDEN = fault(403, "403", "Complete replacement forbidden", "Complete replacement forbidden for this relationship")
NO_LINKS = fault(400, "115", "Invalid Links Object", "Data is not a valid Links Object.")
NO_DATA = fault(400, "106", "Missing Parameter", "The required parameter, data, is missing.")
NOT_TOYS = fault(400, "116", "Type Mismatch", "labels is not a valid type for this operation.")
NOT_KEPT = fault(400, "105", "Param not allowed", "kept is not allowed.")


def missing(number: int) -> str:
    return fault(404, "404", "Record not found", f"The record identified by {number} could not be found.")


def field_value(value: str) -> str:
    return fault(400, "103", "Invalid field value", f"{value} is not a valid value for id.")


TOYS, LABELS = "boxes/1/relationships/toys", "boxes/1/relationships/labels"
REFUSED: list[tuple[str, str, Any, str]] = [
    *((method, path, sent, FORBIDDEN) for method in ("PATCH", "PUT") for path, sent in (
        (TOYS, links("3")), (TOYS, links()), (LABELS, links("9", kind="labels")))),
    ("POST", TOYS, links("1"), fault(400, "113", "Relation exists", "The relation to 1 already exists.")),
    ("POST", TOYS, links("4", "2"), fault(400, "113", "Relation exists", "The relation to 2 already exists.")),
    ("POST", LABELS, links("8", kind="labels"),
     fault(400, "113", "Relation exists", "The relation to 8 already exists.")),
    *((method, TOYS, sent, expected) for method in ("POST", "DELETE", "PATCH", "PUT") for sent, expected in (
        ({}, NO_DATA), ({"data": None}, NO_LINKS), ({"data": {"type": "toys", "id": "1"}}, NO_LINKS),
        ({"data": ["1"]}, NO_LINKS), ({"data": [None]}, NO_LINKS), ({"data": [{"id": "1"}]}, NO_LINKS),
        ({"data": [{"type": "toys"}]}, NO_LINKS), ({"data": [{"type": "toys", "id": "1", "meta": {}}]}, NO_LINKS),
        ({"data": "toys"}, NO_LINKS), (links("1", kind="labels"), NOT_TOYS), (links("abc"), field_value("abc")),
        (links("1.5"), field_value("1.5")), (links(True), field_value("true")), (links(None), field_value("null")),
        (links({"a": 1}), field_value('{"a":1}')), (links(2**70), missing(2**70)))),
    *((method, "boxes/1/relationships/kept", links("1"), NOT_KEPT) for method in ("POST", "DELETE", "PATCH", "PUT")),
    ("DELETE", TOYS, links("3"), missing(3)),
    ("DELETE", TOYS, links("1", "99"), missing(99)),
    ("POST", TOYS, links("99"), missing(99)),
    ("POST", "boxes/99/relationships/toys", links("4"), missing(99)),
    ("DELETE", "boxes/99/relationships/toys", links("4"), missing(99)),
    ("GET", "boxes/99/relationships/toys", None, missing(99)),
    ("GET", "boxes/abc/relationships/toys", None, field_value("abc")),
    ("POST", "boxes/abc/relationships/toys", links("4"), field_value("abc")),
    ("POST", LABELS, links("9", kind="labels"),
     fault(422, "100", "are too many (maximum is 2)", "labels - are too many (maximum is 2)",
           "/data/relationships/labels")),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "sent", "expected"), REFUSED, ids=lambda value: str(value)[:45])
def test_what_is_refused_changes_nothing(toys: Toys, method: str, path: str, sent: Any, expected: str) -> None:
    answer = toys.send(method, path, sent)
    assert answer.text == expected
    assert answer.status_code == int(json.loads(expected)["errors"][0]["status"])
    assert answer.headers["content-type"] == JSON_API
    assert toys.room == Room()


def test_the_whole_is_replaced_with_the_object_itself(toys: Toys) -> None:
    sent = {"data": {"type": "boxes", "id": "1", "relationships": {"toys": links("4", 3), "labels": {"data": []}}}}
    changed = toys.send("PATCH", "boxes/1?include=toys,labels", sent)
    assert changed.status_code == 200, changed.text
    shown = changed.json()
    assert {name: one["data"] for name, one in shown["data"]["relationships"].items() if name != "kept"} == {
        "toys": [{"type": "toys", "id": "3"}, {"type": "toys", "id": "4"}], "labels": [],
    }  # fmt: skip
    assert [row["id"] for row in shown["included"]] == ["3", "4"]
    assert "data" not in toys.send("GET", "boxes/1").json()["data"]["relationships"]["toys"]
    made = {"data": {"type": "boxes", "attributes": {"name": "new"}, "relationships": {"toys": links("5")}}}
    answer = toys.send("POST", "boxes", made)
    assert (answer.status_code, lying(toys, 3)) == (201, [5])


@pytest.mark.parametrize(("content", "expected"), [
    ({"data": {"type": "toys", "id": "1"}}, NO_LINKS), ({"data": None}, NO_LINKS), ({}, NO_LINKS),
    (links("1", kind="labels"), NOT_TOYS), (links("abc"), field_value("abc")),
])  # fmt: skip
def test_linkage_within_an_object_is_as_strict(toys: Toys, content: Any, expected: str) -> None:
    for method, path, data in (
        ("PATCH", "boxes/1", {"type": "boxes", "id": "1"}),
        ("POST", "boxes", {"type": "boxes", "attributes": {"name": "x"}}),
    ):
        answer = toys.send(method, path, {"data": {**data, "relationships": {"toys": content}}})
        assert (answer.status_code, answer.text) == (400, expected)
    assert toys.room == Room()


def test_documents_are_of_the_type_and_senders_known(toys: Toys) -> None:
    for method, status in (("POST", 415), ("PATCH", 415), ("PUT", 415), ("DELETE", 204)):
        headers = {"content-type": "application/json"}
        content = json.dumps(links("1"))
        answer = toys.http.request(method, f"{BASE}/{TOYS}", content=content, headers=headers)
        assert answer.status_code == status
        refused = toys.http.request(
            method, f"{BASE}/{TOYS}", content=content, headers={**HEADERS, "authorization": "nonsense"}
        )
        assert (refused.status_code, refused.content) == (401, b"")
    assert toys.room.updates == 1
