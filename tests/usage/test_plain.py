"""Plain meters give by the shorter way what their rules give, and leave to them whatever is not plain."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.catalog.definitions import AttributeDefinition, SchemaDefinition
from bursar.catalog.snapshot import MeterView, SchemaView
from bursar.usage import plain
from bursar.usage.admission import AccountView, Tenant, judge
from bursar.usage.event import Attribute, Event
from bursar.usage.measure import Schema, compile_schema
from bursar.usage.states import State

NOW = datetime(2024, 5, 10, 12, tzinfo=UTC)
TOKENS: dict[str, Any] = {"var": "attributes.tokens"}
LARGE: dict[str, Any] = {"==": [{"var": "dimensions.model"}, "large"]}
NAMES = ("model", "city")

Filters = Sequence[tuple[str, str]]


def schema(*meters: tuple[Filters, Any, Any]) -> Schema:
    """A schema that wants `tokens` and `model`, with meters of filters, matcher and computation (None counts)."""
    views = [
        MeterView(
            30 + n, 20 + n, 1, f"m{n}", f"m{n}", "call", "COUNT" if computation is None else "SUM", tuple(filters),
            None if matcher is None else json.dumps(matcher), None if computation is None else json.dumps(computation),
            0, None,
        )
        for n, (filters, matcher, computation) in enumerate(meters)
    ]  # fmt: skip
    definition = SchemaDefinition([AttributeDefinition("tokens")], ["model"])
    return compile_schema(SchemaView(11, "call", frozenset({"tokens"}), frozenset({"model"}), tuple(views), definition))


def tenant(of: Schema) -> Tenant:
    made = Tenant(1, 1, NOW, "UTC", 30, schemas={"call": of}, names={"acme": [(None, None, 7)]})
    made.accounts[7] = AccountView(7, True, None, None, ())
    return made


def event(attributes: Sequence[tuple[str, str]], dimensions: dict[str, str]) -> Event:
    return Event("call", NOW, "acme", [Attribute(name, value) for name, value in attributes], dimensions, "e")


@pytest.mark.parametrize(
    ("filters", "matcher", "computation", "expected"),
    [
        ([], None, None, True),
        ([], LARGE, None, True),
        ([], LARGE, TOKENS, True),
        ([], LARGE, {"var": ["attribute.tokens"]}, True),
        ([("dimension.model", "large")], None, TOKENS, True),
        ([], {"and": [LARGE, {"!": {"in": [{"var": "dimension.city"}, ["Rome"]]}}]}, 0, True),
        ([], None, {"+": [1, 2]}, True),
        ([("model", "large")], None, TOKENS, False),
        ([("attribute.tokens", "1")], None, TOKENS, False),
        ([("dimension.model", "a"), ("dimensions.model", "b")], None, None, False),
        ([], {"==": [TOKENS, 1]}, None, False),
        ([], {"==": [{"var": ["dimensions.model", "x"]}, "x"]}, None, False),
        ([], {"==": [{"var": "dimensions.a.b"}, "x"]}, None, False),
        ([], {"==": [{"var": ""}, "x"]}, None, False),
        ([], {"!": {"missing": ["dimensions.model"]}}, None, False),
        ([], {"some": [["a"], {"==": [{"var": ""}, "a"]}]}, None, False),
        ([], None, {"+": [TOKENS, 1]}, False),
        ([], None, {"var": ["attributes.tokens", 1]}, False),
        ([], None, {"var": "dimensions.model"}, False),
        ([], None, {"var": {"cat": ["attributes.", "tokens"]}}, False),
    ],
)
def test_which_meters_are_plain(filters: Filters, matcher: Any, computation: Any, expected: bool) -> None:
    assert (schema((filters, matcher, computation)).plain is not None) is expected


def test_one_meter_that_is_not_plain_leaves_all_to_the_rules() -> None:
    assert schema(([], None, None), ([], None, {"+": [TOKENS, 1]})).plain is None
    assert schema().plain is None


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "REMEMBERED", 3)
    judging = tenant(schema(([], LARGE, None)))
    for model in ("a", "large", "b", "c", "d", "large", "a"):
        state = judge(judging, event([("tokens", "1")], {"model": model}), backfill=False).state
        assert (state is State.COMPLETED_EVENT_METERED) is (model == "large")
    shorter = judging.schemas["call"].plain
    assert shorter is not None
    assert 1 <= len(shorter._known) <= 3


RULE = st.one_of(
    st.none(),
    st.sampled_from(NAMES).flatmap(
        lambda name: st.sampled_from(
            [
                {"==": [{"var": f"dimensions.{name}"}, "large"]},
                {"!=": [{"var": f"dimension.{name}"}, "Rome"]},
                {"in": [{"var": f"dimensions.{name}"}, ["large", "Rome"]]},
                {">": [{"var": f"dimensions.{name}"}, 5]},
                {"-": [{"var": f"dimensions.{name}"}]},
                {"var": f"dimensions.{name}"},
            ]
        )
    ),
    st.just({"==": [TOKENS, 1]}),
)
COMPUTED = st.sampled_from([None, 0, 1, "2.5", TOKENS, {"var": "attributes.more"}, {"*": [TOKENS, 2]}])
METER = st.tuples(
    st.lists(st.tuples(st.sampled_from(["dimension.model", "dimensions.city", "city"]), st.just("large")), max_size=2),
    RULE,
    COMPUTED,
)
NUMBER = st.one_of(
    st.sampled_from(
        ["0", "-0", "1", "-2.50", "0.0000000000005", "1" * 26, "9" * 27, "123456789012.5", "1.0000000000001"]
    ),
    st.decimals(-(10**14), 10**14, places=13).map(lambda value: format(value, "f")),
)
EVENTS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from(["tokens", "more"]), NUMBER), max_size=3),
        st.dictionaries(st.sampled_from([*NAMES, "other"]), st.sampled_from(["large", "Rome", "7", "x"])),
    ),
    min_size=1,
    max_size=8,
)


@settings(deadline=None, max_examples=400)
@given(st.lists(METER, min_size=1, max_size=3), EVENTS)
def test_the_shorter_way_never_changes_a_verdict(
    meters: list[tuple[Filters, Any, Any]], events: list[tuple[list[tuple[str, str]], dict[str, str]]]
) -> None:
    found = schema(*meters)
    short, long = tenant(found), tenant(replace(found, plain=None))
    for sent in events:
        one, other = (judge(way, event(*sent), backfill=False) for way in (short, long))
        assert one == other
        assert [str(value) for _, value in one.measures] == [str(value) for _, value in other.measures]


def test_a_constant_of_nothing_is_a_quantity() -> None:
    verdict = judge(tenant(schema(([], None, 0))), event([("tokens", "1")], {"model": "a"}), backfill=False)
    assert verdict.measures == ((20, Decimal(0)),)
