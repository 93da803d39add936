"""What JSON can carry and the database cannot is refused wherever it stands, with its place; all else comes through."""

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.core.errors import Invalid
from bursar.http.decode import decode_body


class Part(msgspec.Struct, rename="camel"):
    """One of everything."""

    some_text: str | None = None
    whole: int | bool | msgspec.UnsetType = msgspec.UNSET
    amount: Decimal | None = None
    at: datetime | None = None
    names: dict[str, "Part | str"] = {}
    parts: list["Part"] = []


texts = st.text(st.characters(exclude_categories=["Cs"]) | st.just("\0"), max_size=3)
keys = texts.map("-{}".format)
leaves = st.fixed_dictionaries(
    {},
    optional={
        "someText": texts,
        "whole": st.integers() | st.booleans(),
        "amount": st.decimals(allow_nan=False, allow_infinity=False).map(str),
        "at": st.sampled_from(["2024-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "2024-01-01T00:00:00-05:00"]),
    },
)
bodies = st.recursive(
    leaves,
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "names": st.dictionaries(keys, inner | texts, max_size=2),
            "parts": st.lists(inner, max_size=2),
        },
    ),
    max_leaves=5,
)


def _faults(value: Any, field: str = "") -> list[bool]:
    """Whether each scalar of plain JSON is one that is refused, by what it is and where it stands."""
    if isinstance(value, dict):
        keys = ["\0" in key for key in value]
        return keys + [fault for key, item in value.items() for fault in _faults(item, key)]
    if isinstance(value, list):
        return [fault for item in value for fault in _faults(item)]
    if field == "amount":
        _, digits, exponent = Decimal(value).as_tuple()
        assert isinstance(exponent, int)
        text = "".join(map(str, digits)).lstrip("0")
        behind = -exponent - (len(text) - len(text.rstrip("0")))
        return [bool(text) and (len(text) + exponent > 26 or behind > 12)]
    if field == "at":
        return [value.startswith("0001")]
    if isinstance(value, str):
        return ["\0" in value]
    return [not isinstance(value, bool) and not -(2**63) <= value < 2**63]


@given(bodies)
def test_exactly_what_cannot_be_kept_is_refused(body: dict[str, Any]) -> None:
    content = json.dumps(body).encode()
    if any(_faults(body)):
        with pytest.raises(Invalid):
            decode_body(content, Part)
    else:
        decode_body(content, Part)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"parts": [{}, {"someText": "a\0"}]}, "parts[1].someText"),
        ({"names": {"a": {"parts": [{"amount": "1e26"}]}}}, "names.a.parts[0].amount"),
        ({"names": {"\0": "a"}}, "names.<key>"),
        ({"whole": 2**63}, "whole"),
        ({"parts": [{"at": "0001-01-01T00:00:00+01:00"}]}, "parts[0].at"),
    ],
)
def test_the_place_of_it_is_told(body: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        decode_body(json.dumps(body).encode(), Part)
    assert caught.value.field == field
