"""What enrichment makes of an event, against plain arithmetic; and how it fails."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.accounts.setting_values import Reference, Value
from bursar.catalog.definitions import DependencyDefinition, EnrichedField, EnrichmentDefinition
from bursar.usage.admission import AccountView, Tenant, Verdict, judge
from bursar.usage.enrichment import Data, Enrichment, EnrichmentFailed, compile_enrichment
from bursar.usage.event import Attribute, Event
from bursar.usage.measure import Meter, Schema
from bursar.usage.states import State

NOW = datetime(2024, 5, 10, 12, tzinfo=UTC)


def made(*fields: EnrichedField, needs: tuple[str, ...] = ()) -> Enrichment:
    names = [DependencyDefinition(f"setting.user.{name}", name) for name in needs]
    compiled = compile_enrichment(EnrichmentDefinition(list(fields), names))
    assert compiled is not None
    return compiled


def rule(name: str, logic: Any, order: int = 1, kind: str = "ATTRIBUTE") -> EnrichedField:
    return EnrichedField(name, kind, "JSON_LOGIC", json.dumps(logic), order)  # type: ignore[arg-type]


def data(**attributes: str) -> Data:
    return {"attributes": {name: Decimal(value) for name, value in attributes.items()}, "dimensions": {"city": "Rome"}}


@settings(deadline=None)
@given(
    st.integers(-(10**9), 10**9),
    st.lists(st.tuples(st.integers(-99, 99), st.integers(-(10**6), 10**6)), min_size=1, max_size=8),
    st.randoms(use_true_random=False),
)
def test_fields_follow_their_order_however_they_are_listed(x: int, steps: list[tuple[int, int]], random: Any) -> None:
    """Each field is a factor times the field before, plus a setting: integers tell what must come out."""
    fields, before, expected, last = [], "attributes.x", {}, x
    known: dict[str, Value] = {}
    for index, (factor, addend) in enumerate(steps):
        product = {"*": [factor, {"var": before}]}
        fields.append(rule(f"f{index}", {"+": [product, {"var": f"dependencies.s{index}"}]}, index * 3))
        known[f"s{index}"] = Value(str(addend), "NUMERIC")
        last = expected[f"f{index}"] = factor * last + addend
        before = f"attributes.f{index}"
    random.shuffle(fields)
    sent = data(x=str(x))
    found = made(*fields, needs=tuple(known)).apply(sent, known)
    assert found["attributes"] == {"x": x, **expected}
    assert sent == data(x=str(x)), "what was sent stays as it was"


@pytest.mark.parametrize(
    ("field", "known", "value"),
    [
        (EnrichedField("f", "ATTRIBUTE", "VALUE", "1.50", 1), None, Decimal("1.5")),
        (EnrichedField("f", "DIMENSION", "VALUE", "1.50", 1), None, "1.50"),
        (rule("f", {"/": [{"var": "attribute.x"}, 3]}), None, Decimal("3.333333333333")),
        (rule("f", {"var": "attributes.x"}, kind="DIMENSION"), None, "10"),
        (rule("f", {"cat": [{"var": "dimension.city"}, "-", {"var": "dependencies.s"}]}, kind="DIMENSION"),
         Value("x", "STRING"), "Rome-x"),
        (rule("f", {"var": ["dependencies.s", 7]}), None, Decimal(7)),
        (rule("f", {"var": "dependencies.s.USD"}), Value('{"USD": 0.1}', "JSON"), Decimal("0.1")),
        (rule("f", {"in": [{"var": "dimensions.city"}, {"var": "dependencies.s"}]}, kind="DIMENSION"),
         Value('["Rome"]', "JSON"), "true"),
        (EnrichedField("f", "ATTRIBUTE", "JSON_LOGIC_FROM_DEPENDENCY", "s", 1),
         Value('{"*":[{"var":"attributes.x"},2]}', "JSON_LOGIC"), Decimal(20)),
    ],
)  # fmt: skip
def test_every_kind_of_field(field: EnrichedField, known: Value | None, value: Any) -> None:
    found = made(field, needs=("s",)).apply(data(x="10"), {} if known is None else {"s": known})
    kept = found["dimensions" if field.type == "DIMENSION" else "attributes"]["f"]
    assert (kept, type(kept)) == (value, type(value))


def test_a_sent_field_of_the_same_name_gives_way() -> None:
    found = made(rule("f", {"+": [{"var": "attributes.x"}, 1]})).apply(data(x="1", f="9"), {})
    assert found["attributes"] == {"x": 1, "f": 2}


@pytest.mark.parametrize(
    ("field", "known", "words"),
    [
        (rule("f", {"/": [{"var": "attributes.x"}, {"var": "dependencies.s"}]}), None,
         'f: "/" needs numbers, not null (is a variable missing?); setting.user.s is not set'),
        (rule("f", {"/": [1, {"var": "dependencies.s"}]}), Value("0", "NUMERIC"), "f: division by zero"),
        (rule("f", {"var": "dependencies.s"}), Value("ten", "STRING"), "f: the result must be a number, not"),
        (rule("f", {"*": [{"var": "attributes.x"}, 1e25]}), None, "f: the result must be a number below 1E+26"),
        (rule("f", {"var": "dependencies.s"}, kind="DIMENSION"), Value("", "STRING"), "1 to 200 characters"),
        (rule("f", {"var": "dependencies.s"}, kind="DIMENSION"), Value("x" * 201, "STRING"), "1 to 200 characters"),
        (rule("f", {"var": "dependencies.s"}, kind="DIMENSION"), Value("[1]", "JSON"), "f: "),
        (EnrichedField("f", "ATTRIBUTE", "JSON_LOGIC_FROM_DEPENDENCY", "s", 1), None, "setting of the type JSON_LOGIC"),
        (EnrichedField("f", "ATTRIBUTE", "JSON_LOGIC_FROM_DEPENDENCY", "s", 1), Value("1", "NUMERIC"), "JSON_LOGIC"),
        (EnrichedField("f", "ATTRIBUTE", "JSON_LOGIC_FROM_DEPENDENCY", "s", 1),
         Value('{"+":[{"var":"attributes.nothing"}]}', "JSON_LOGIC"), 'f: "+" needs numbers'),
    ],
)  # fmt: skip
def test_what_cannot_be_computed_says_why(field: EnrichedField, known: Value | None, words: str) -> None:
    with pytest.raises(EnrichmentFailed) as caught:
        made(field, needs=("s",)).apply(data(x="10"), {} if known is None else {"s": known})
    assert words in caught.value.message
    assert len(caught.value.message) <= 250


def test_admission_enriches_with_the_settings_of_the_account_and_the_version() -> None:
    factor = Reference("USER", "s")
    tenant = Tenant(1, 5, NOW, "UTC", 3)
    enrichment = made(rule("f", {"*": [{"var": "attributes.x"}, {"var": "dependencies.s"}]}), needs=("s",))
    meter = Meter(21, 31, (("attribute.f", "20"),), None, None)
    tenant.schemas["call"] = Schema(11, frozenset({"x"}), frozenset(), (meter,), enrichment)
    tenant.schemas["idle"] = Schema(12, frozenset({"x"}), frozenset(), (), enrichment)
    for key, name in ((7, "acme"), (8, "other")):
        tenant.names[name] = [(None, None, key)]
        tenant.accounts[key] = AccountView(key, True, None, None, ())
        tenant.settings.own[key] = {}

    def judged(account: str, schema: str = "call", x: str = "10") -> Verdict:
        sent = Event(schema, NOW, account, [Attribute("x", x)], {}, "e")
        return judge(tenant, sent, backfill=False)

    reason = 'f: "*" needs numbers, not null (is a variable missing?); setting.user.s is not set'
    for schema, key in (("call", 11), ("idle", 12)):
        assert judged("acme", schema) == Verdict(State.FAILED_ENRICHMENT_FAILED, 7, key, (), reason)
    tenant.settings.shared[factor] = [(3, Value("2", "NUMERIC")), (6, Value("3", "NUMERIC"))]
    metered = (State.COMPLETED_EVENT_METERED, ((21, Decimal(1)),))
    assert (judged("acme").state, judged("acme").measures) == metered
    tenant.settings.own[7]["ACCOUNT", "USER", "s"] = [(4, Value("4", "NUMERIC"))]
    assert judged("acme").state is State.COMPLETED_EVENT_NOT_METERED
    assert (judged("other").state, judged("other").measures) == metered
    assert judged("acme", x="5").measures == ((21, Decimal(1)),)
    tenant.version = 6
    assert judged("other").state is State.COMPLETED_EVENT_NOT_METERED
    assert judged("acme", "idle").state is State.COMPLETED_NO_MATCHING_METERS
