"""What a schema may add to its events: each rule in a table of what it refuses."""

import json
from typing import Any

import pytest

from bursar.catalog.definitions import (
    AttributeDefinition,
    DependencyDefinition,
    EnrichedField,
    EnrichmentDefinition,
    Filter,
    MeterDefinition,
    SchemaDefinition,
)
from bursar.catalog.model import check_meter, check_schema
from bursar.core.errors import Invalid

RATE = DependencyDefinition("setting.user.rate", "rate")


def var(name: str) -> dict[str, str]:
    return {"var": name}


def field(name: str, value: Any, order: int = 1, kind: str = "ATTRIBUTE", source: str = "JSON_LOGIC") -> EnrichedField:
    text = value if isinstance(value, str) else json.dumps(value)
    return EnrichedField(name, kind, source, text, order)  # type: ignore[arg-type]


def ride(*fields: EnrichedField, needs: tuple[DependencyDefinition, ...] = (RATE,), **more: Any) -> SchemaDefinition:
    return SchemaDefinition(
        [AttributeDefinition("distance")], ["city"], enrichments=EnrichmentDefinition(list(fields), list(needs)), **more
    )


@pytest.mark.parametrize(
    "fields",
    [
        (),
        (field("km", {"/": [var("attribute.distance"), var("dependencies.rate")]}),),
        (field("km", {"/": [{"var": ["attributes.distance"]}, {"var": ["dependency.rate", 1]}]}),),
        (field("rate", var("dependencies.rate.USD")),),
        (field("b", var("attributes.a"), 2), field("a", "1", 1)),
        (field("a", "1", 1), field("b", "2", 1)),
        (field("distance", var("dimensions.city"), kind="DIMENSION"),),
        (field("x", "1", kind="ATTRIBUTE"), field("x", "1", kind="DIMENSION")),
        (field("x", "-1.5", source="VALUE"),),
        (field("x", "a b", kind="DIMENSION", source="VALUE"),),
        (field("x", "rate", source="JSON_LOGIC_FROM_DEPENDENCY"),),
        (field("x", "dependencies.rate", source="JSON_LOGIC_FROM_DEPENDENCY"),),
    ],
)
def test_sound_enrichments(fields: tuple[EnrichedField, ...]) -> None:
    check_schema(ride(*fields))


@pytest.mark.parametrize(
    ("fields", "path", "words"),
    [
        ((field(" ", "1"),), "fields[0].name", "blank"),
        ((field("distance", "1"),), "fields[0].name", "carry already"),
        ((field("city", "1", kind="DIMENSION"),), "fields[0].name", "carry already"),
        ((field("x", "1"), field("x", "2", 2)), "fields[1].name", "given twice"),
        ((field("x", "{"),), "fields[0].value", "JSON"),
        ((field("x", {"fly": [1]}),), "fields[0].value", "operator"),
        ((field("x", "[" + "1," * 800 + "1]"),), "fields[0].value", "1500"),
        ((field("x", var("attributes.weight")),), "fields[0].value", "no 'attributes.weight'"),
        ((field("x", var("distance")),), "fields[0].value", "no 'distance'"),
        ((field("x", var("dependencies.tax")),), "fields[0].value", "no dependency 'tax'"),
        ((field("x", var("attributes.x")),), "fields[0].value", "itself"),
        ((field("x", var("attributes.y"), 1), field("y", "1", 1)), "fields[0].value", "lower order"),
        ((field("x", var("attributes.y"), 1), field("y", var("attributes.x"), 2)), "fields[0].value", "lower order"),
        ((field("y", var("attributes.x"), 2), field("x", var("attributes.y"), 1)), "fields[1].value", "lower order"),
        ((field("x", "one", source="VALUE"),), "fields[0].value", "number"),
        ((field("x", "1" * 27, source="VALUE"),), "fields[0].value", "number"),
        ((field("x", "x" * 201, kind="DIMENSION", source="VALUE"),), "fields[0].value", "200"),
        ((field("x", "tax", source="JSON_LOGIC_FROM_DEPENDENCY"),), "fields[0].value", "no dependency 'tax'"),
    ],
)
def test_unsound_fields(fields: tuple[EnrichedField, ...], path: str, words: str) -> None:
    with pytest.raises(Invalid, match=words) as caught:
        check_schema(ride(*fields))
    assert caught.value.field == f"enrichments.{path}"


@pytest.mark.parametrize(
    ("needs", "path"),
    [
        ((DependencyDefinition("setting.user.x", " "),), "[0].name"),
        ((RATE, DependencyDefinition("setting.user.x", "rate")), "[1].name"),
        ((DependencyDefinition("user.x", "x"),), "[0].key"),
        ((DependencyDefinition("setting.user", "x"),), "[0].key"),
        ((DependencyDefinition("setting.user.x.PLANET.mars", "x"),), "[0].key"),
    ],
)
def test_unsound_dependencies(needs: tuple[DependencyDefinition, ...], path: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_schema(ride(needs=needs))
    assert caught.value.field == f"enrichments.dependencies{path}"


def test_meters_and_filters_see_what_is_added() -> None:
    added = (field("km", "1"), field("zone", {"cat": ["z"]}, kind="DIMENSION"))
    schema = ride(*added, filter_fields=["zone", "attribute.km"])
    check_schema(schema)
    summed = MeterDefinition("SUM", [Filter("zone", "z"), Filter("km", "1")], computation='{"var":"attributes.km"}')
    check_meter(summed, schema)
    for unsuited in (ride(filter_fields=["city"]), ride(added[0], filter_fields=["attribute.km"])):
        with pytest.raises(Invalid):
            check_meter(summed, unsuited)
    with pytest.raises(Invalid, match=r"dependencies\.rate"):
        check_meter(MeterDefinition("SUM", computation='{"var":"dependencies.rate"}'), schema)
