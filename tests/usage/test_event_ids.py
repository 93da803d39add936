"""The id that a template gives an event, against plain replacement of text."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.catalog.definitions import AttributeDefinition, SchemaDefinition
from bursar.catalog.id_templates import read_template
from bursar.core.errors import Invalid
from bursar.usage.admission import Tenant, judge, named
from bursar.usage.event import Attribute, Event
from bursar.usage.event_ids import NoId, compose, identified, template_of
from bursar.usage.measure import Schema
from bursar.usage.states import State

AT = datetime(2024, 5, 1, 10, 30, tzinfo=UTC)
ATTRIBUTES, DIMENSIONS = {"tokens", "both"}, {"call", "both", "timestamp"}
SENT = Event(
    "llm", AT, "acme", [Attribute("tokens", "1.50"), Attribute("both", "2")],
    {"call": "c-7", "both": "two", "timestamp": "mine"},
)  # fmt: skip

FIELDS = {
    "accountId": "acme",
    "timestamp": "2024-05-01T10:30:00Z",
    "schemaName": "llm",
    "call": "c-7",
    "dimension.call": "c-7",
    "dimensions.both": "two",
    "both": "two",
    "tokens": "1.50",
    "attribute.both": "2",
    "attributes.tokens": "1.50",
    "dimensions.timestamp": "mine",
}
LITERAL = st.text(st.characters(exclude_characters="{}\0", exclude_categories=["Cs"]), max_size=5)

PIECE = st.tuples(LITERAL, st.sampled_from(sorted(FIELDS)), st.sampled_from(["{%s}", "{{%s}}", "{{ %s }}"]))


@settings(deadline=None)
@given(
    st.lists(st.tuples(LITERAL, st.sampled_from(sorted(FIELDS)), st.sampled_from(["{%s}", "{{%s}}", "{{ %s }}"]))),
    LITERAL,
)
def test_fields_stand_where_the_template_has_them(pieces: list[tuple[str, str, str]], tail: str) -> None:
    template = "{{call}}" + "".join(text + braces % name for text, name, braces in pieces) + tail
    expected = "c-7" + "".join(text + FIELDS[name] for text, name, _ in pieces) + tail
    assert compose(read_template(template, ATTRIBUTES, DIMENSIONS), SENT) == expected


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("", "must read a field"),
        ("constant", "must read a field"),
        ("{{schemaName}}-x", "must read a field"),
        ("{{}}", "carry no ''"),
        ("{{id}}", "carry no 'id'"),
        ("{{attributes.call}}", "carry no 'attributes.call'"),
        ("{{planet.call}}", "carry no 'planet.call'"),
        ("{{call}", "brace"),
        ("{call}}", "brace"),
        ("{{{call}}}", "brace"),
        ("{call", "brace"),
        ("}{call}", "brace"),
    ],
)
def test_templates_that_cannot_be(template: str, words: str) -> None:
    with pytest.raises(Invalid, match=words) as caught:
        read_template(template, ATTRIBUTES, DIMENSIONS)
    assert caught.value.field == "eventIdTemplate"


def changed(**change: object) -> Event:
    fields = {name: getattr(SENT, name) for name in SENT.__struct_fields__}
    return Event(**{**fields, **change})


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (changed(dimensions={}), "dimensions.call is missing"),
        (changed(attributes=[]), "attributes.tokens is missing"),
        (changed(dimensions={"call": "x" * 506}), "not 513"),
        (changed(dimensions={"call": "\0"}), "NUL"),
    ],
)
def test_an_event_that_cannot_have_an_id(sent: Event, words: str) -> None:
    template = read_template("{{call}}-{{tokens}}-x", ATTRIBUTES, DIMENSIONS)
    with pytest.raises(NoId, match=words):
        compose(template, sent)
    assert identified(sent, template) is sent
    tenant = Tenant(1, 1, AT, "UTC", 3)
    tenant.schemas["llm"] = Schema(11, frozenset(), frozenset(), (), None, template)
    verdict = judge(tenant, named(tenant, sent), backfill=False)
    assert (verdict.state, verdict.schema) == (State.FAILED_NO_EVENT_ID, 11)
    assert words in (verdict.reason or "")


def test_an_id_of_its_own_stays() -> None:
    template = template_of(SchemaDefinition([AttributeDefinition("tokens")], ["call"], id_template="{call}"))
    own = changed(id="own")
    assert identified(own, template) is own
    assert identified(SENT, None) is SENT
    assert identified(SENT, template) == changed(id="c-7")
    assert SENT.id is None
