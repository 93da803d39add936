"""Resource objects as text, against the same objects as plain Python values."""

import json
from dataclasses import make_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as some

from bursar.http.yeti.jsonapi import (
    BOOLEAN,
    DECIMAL,
    INTEGER,
    INTEGERS,
    JSON,
    MOMENT,
    TEXT,
    Attribute,
    Resource,
    ToMany,
    ToOne,
)
from bursar.http.yeti.jsonapi_shapes import inside, shape_of, text_of

THINGS = Resource(
    "odd-things",
    attributes=(
        Attribute("long_name", TEXT),
        Attribute("amount", DECIMAL),
        Attribute("count", INTEGER, source="number"),
        Attribute("numbers", INTEGERS),
        Attribute("whether", BOOLEAN),
        Attribute("made_at", MOMENT),
        Attribute("rest", JSON),
        Attribute("password", TEXT, "C", readable=False),
    ),
    to_one=(ToOne("owner", "owners", linked=True), ToOne("last_part", "parts", self_link=False)),
    to_many=(ToMany("parts", "parts", inverse="thing_id"),),
)
NAMES = ("id", "long_name", "amount", "number", "numbers", "whether", "made_at", "rest", "owner_id", "last_part_id")
TEXTS = some.text(some.characters(codec="utf-8"), max_size=20) | some.sampled_from(["%s", "100 %", '"\\', "\x01"])
ROWS = some.fixed_dictionaries({
    "id": some.integers(-(2**63), 2**63) | TEXTS,
    "long_name": some.none() | TEXTS,
    "amount": some.none() | some.decimals(-(10**6), 10**6, places=3),
    "number": some.none() | some.integers(-(2**63), 2**63),
    "numbers": some.none() | some.lists(some.integers(), max_size=3),
    "whether": some.none() | some.booleans(),
    "made_at": some.none() | some.integers(0, 2**31).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    "rest": some.none() | some.dictionaries(TEXTS, some.integers(0, 9), max_size=2),
    "owner_id": some.none() | some.integers(1, 9) | TEXTS,
    "last_part_id": some.none() | some.integers(1, 9),
})  # fmt: skip
Thing = make_dataclass("Thing", NAMES)


def expected(row: dict[str, Any], base: str, only: set[str] | None, parts: list[str] | None) -> dict[str, Any]:
    """The object of a row."""
    at = f"{base}/odd-things/{row['id']}"
    amount, made = row["amount"], row["made_at"]
    attributes = {
        "long-name": row["long_name"],
        "amount": None if amount is None else amount,
        "count": row["number"],
        "numbers": row["numbers"],
        "whether": row["whether"],
        "made-at": None if made is None else made.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "rest": row["rest"],
    }
    owner = None if row["owner_id"] is None else {"type": "owners", "id": str(row["owner_id"])}
    links = {name: {"related": f"{at}/{name}"} for name in ("owner", "last-part", "parts")}
    for name in ("owner", "parts"):
        links[name]["self"] = f"{at}/relationships/{name}"
    relationships: dict[str, Any] = {name: {"links": links[name]} for name in links}
    relationships["owner"]["data"] = owner
    if parts is not None:
        relationships["parts"]["data"] = [{"type": "parts", "id": key} for key in parts]
    if only is not None:
        attributes = {name: value for name, value in attributes.items() if name in only}
        relationships = {name: value for name, value in relationships.items() if name in only}
    found: dict[str, Any] = {"id": str(row["id"]), "type": "odd-things", "links": {"self": at}}
    found |= {"attributes": attributes} if attributes else {}
    return found | ({"relationships": relationships} if relationships else {})


@given(
    ROWS,
    TEXTS.map(lambda host: f"http://{host}/door"),
    some.none() | some.sets(some.sampled_from(["long-name", "amount", "made-at", "owner", "parts"])),
    some.none() | some.lists(some.sampled_from(["1", "22"]), unique=True),
)
def test_what_is_written_is_what_the_row_says(
    row: dict[str, Any], base: str, only: set[str] | None, parts: list[str] | None
) -> None:
    names = None if only is None else frozenset(name.replace("-", "_") for name in only)
    linked = {} if parts is None else {"parts": lambda _: text_of([{"type": "parts", "id": key} for key in parts])}
    for kind, made in ((dict, row), (Thing, Thing(**row))):
        written = json.loads(shape_of(THINGS, kind, names, linked).text(inside(base), made))
        shown = written.get("attributes", {})
        if shown.get("amount") is not None:
            assert "." in shown["amount"]
            shown["amount"] = Decimal(shown["amount"])
        assert written == expected(row, base, only, parts)
