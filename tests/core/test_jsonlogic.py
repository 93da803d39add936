"""What each operator gives, case by case; rules, data and values as JSON."""

from decimal import Decimal

import pytest

from bursar.core.jsonlogic import EvaluationError
from tests.core.jsonlogic_cases import evaluate, parsed, rule, typed

EVENT = """{
  "attributes": {"distance": 12.5, "gb used": 3, "in-flight": 0, "time": 90},
  "dimensions": {"city": "chennai", "tier": "5", "empty": "", "model": "gpt"},
  "dependencies": {"meters_per_km": 1000, "table": {"gpt": 2, "other": {"rate": 7}}}
}"""

CASES = {
    "constants": [
        ("1", "1"),
        ('"apple"', '"apple"'),
        ("true", "true"),
        ("null", "null"),
        ('["a", 1, [true]]', '["a", 1, [true]]'),
        ('["a", {"+": [1, 2]}]', '["a", 3]'),
    ],
    "truth": [
        ('{"!!": [[]]}', "false"),
        ('{"!!": [[0]]}', "true"),
        ('{"!!": 0}', "false"),
        ('{"!!": -1}', "true"),
        ('{"!!": 0.00}', "false"),
        ('{"!!": ""}', "false"),
        ('{"!!": "0"}', "true"),
        ('{"!!": "false"}', "true"),
        ('{"!!": null}', "false"),
        ('{"!!": {"var": ""}}', "true"),
        ('{"!!": {"var": "dimensions"}}', "true"),
        ('{"!": [true]}', "false"),
        ('{"!": {"var": "dimensions.nothing"}}', "true"),
    ],
    "choices": [
        ('{"if": []}', "null"),
        ('{"if": ["apple"]}', '"apple"'),
        ('{"if": [true, "apple"]}', '"apple"'),
        ('{"if": [false, "apple"]}', "null"),
        ('{"if": [[], "apple", "banana"]}', '"banana"'),
        ('{"if": [false, 1, true, 2, 3]}', "2"),
        ('{"if": [false, 1, false, 2, 3]}', "3"),
        ('{"if": [false, 1, false, 2]}', "null"),
        ('{"?:": [0, 1, 2]}', "2"),
        ('{"if": [true, 1, {"/": [1, 0]}]}', "1"),
        ('{"and": [1, 3]}', "3"),
        ('{"and": [0, 3]}', "0"),
        ('{"and": ["", true]}', '""'),
        ('{"and": [true]}', "true"),
        ('{"and": [false, {"/": [1, 0]}]}', "false"),
        ('{"or": [false, 3]}', "3"),
        ('{"or": [3, false]}', "3"),
        ('{"or": [0, ""]}', '""'),
        ('{"or": ["0", true]}', '"0"'),
        ('{"or": [1, {"/": [1, 0]}]}', "1"),
    ],
    "loose equality": [
        ('{"==": [1, 1.00]}', "true"),
        ('{"==": [1, "1"]}', "true"),
        ('{"==": [" 1.50 ", 1.5]}', "true"),
        ('{"==": ["1e2", 100]}', "true"),
        ('{"==": ["0x10", 16]}', "false"),
        ('{"==": ["", 0]}', "false"),
        ('{"==": ["1", "1.0"]}', "false"),
        ('{"==": [0, false]}', "true"),
        ('{"==": ["1", true]}', "true"),
        ('{"==": ["true", true]}', "false"),
        ('{"==": [null, null]}', "true"),
        ('{"==": [null, 0]}', "false"),
        ('{"==": [null, ""]}', "false"),
        ('{"==": [[1], [1]]}', "false"),
        ('{"==": [[], 0]}', "false"),
        ('{"!=": [1, "1"]}', "false"),
        ('{"!=": [1, 2]}', "true"),
        ('{"!=": [null, 1]}', "true"),
        ('{"==": [{"var": "dimension.tier"}, 5]}', "true"),
        ('{"==": ["gpt", {"var": "dimension.model"}]}', "true"),
        ('{"==": [{"var": "dimension.model"}, {"var": "dimension.city"}]}', "false"),
        ('{"!=": [{"var": "dimension.model"}, "gpt"]}', "false"),
        ('{"==": [{"var": "attribute.distance"}, "12.5"]}', "true"),
        ('{"==": [{"var": "attribute.nothing"}, 0]}', "false"),
    ],
    "strict equality": [
        ('{"===": [1, 1.0]}', "true"),
        ('{"===": [1, "1"]}', "false"),
        ('{"===": [1, true]}', "false"),
        ('{"===": [null, null]}', "true"),
        ('{"===": [[1], [1]]}', "false"),
        ('{"!==": [1, "1"]}', "true"),
        ('{"!==": ["a", "a"]}', "false"),
        ('{"===": [{"var": "dimension.tier"}, 5]}', "false"),
        ('{"===": [{"var": "dimension.tier"}, "5"]}', "true"),
    ],
    "order": [
        ('{">": [2, 1]}', "true"),
        ('{">": [1, 1]}', "false"),
        ('{">=": [1, 1]}', "true"),
        ('{"<": ["1", 2]}', "true"),
        ('{"<": [2, "10"]}', "true"),
        ('{"<": ["10", "9"]}', "true"),
        ('{"<": ["a", "b"]}', "true"),
        ('{"<": ["a", 1]}', "false"),
        ('{">": ["a", 1]}', "false"),
        ('{"<": [null, 1]}', "false"),
        ('{">": [null, -1]}', "false"),
        ('{"<=": [null, null]}', "false"),
        ('{"<": [false, true]}', "true"),
        ('{"<": [[1], 2]}', "false"),
        ('{"<": [1, 2, 3]}', "true"),
        ('{"<": [1, 1, 3]}', "false"),
        ('{"<=": [1, 1, 3]}', "true"),
        ('{"<": [1, 4, 3]}', "false"),
        ('{">": [3, 2, 1]}', "true"),
        ('{">": [3, 2, 2]}', "false"),
        ('{"<=": [100, {"var": "attribute.distance"}]}', "false"),
        ('{">": [{"var": "attribute.distance"}, 12.49]}', "true"),
        ('{"<": [{"var": "dimension.tier"}, 6]}', "true"),
        ('{"<": [{"var": "attribute.nothing"}, 20]}', "false"),
        ('{"<": [0, {"var": "attribute.distance"}, {"var": "attribute.time"}]}', "true"),
    ],
    "variables": [
        ('{"var": "attribute.distance"}', "12.5"),
        ('{"var": ["attributes.distance"]}', "12.5"),
        ('{"var": "attribute.gb used"}', "3"),
        ('{"var": "attributes.in-flight"}', "0"),
        ('{"var": "dimension.city"}', '"chennai"'),
        ('{"var": "dimensions.city"}', '"chennai"'),
        ('{"var": "dependency.meters_per_km"}', "1000"),
        ('{"var": "dependencies.table.gpt"}', "2"),
        ('{"var": "dependencies.table.other.rate"}', "7"),
        ('{"var": "attributes.nothing"}', "null"),
        ('{"var": ["attributes.nothing", 7]}', "7"),
        ('{"var": ["attributes.nothing", {"var": "attributes.time"}]}', "90"),
        ('{"var": ["attributes.time", {"/": [1, 0]}]}', "90"),
        ('{"var": ["attributes.time.more", 1]}', "1"),
        ('{"var": "nowhere.at.all"}', "null"),
        ('{"var": "attributes."}', "null"),
        ('{"var": {"cat": ["dependency.table.", {"var": "dimension.model"}]}}', "2"),
        ('{"var": [{"if": [true, "attribute.time"]}]}', "90"),
        ('{"var": {"cat": ["attribute.", "nothing"]}}', "null"),
    ],
    "missing": [
        ('{"missing": []}', "[]"),
        ('{"missing": "attribute.distance"}', "[]"),
        ('{"missing": ["attribute.distance", "attribute.speed"]}', '["attribute.speed"]'),
        ('{"missing": ["dimension.empty"]}', '["dimension.empty"]'),
        ('{"missing": ["attribute.in-flight"]}', "[]"),
        ('{"missing": {"merge": ["a", {"if": [true, ["attribute.time", "b"]]}]}}', '["a", "b"]'),
        ('{"if": [{"missing": "dimension.zone"}, "no", "yes"]}', '"no"'),
        ('{"missing_some": [1, ["attribute.time", "attribute.a"]]}', "[]"),
        ('{"missing_some": [2, ["attribute.time", "attribute.a", "b"]]}', '["attribute.a", "b"]'),
        ('{"missing_some": ["1", ["a"]]}', '["a"]'),
    ],
    "arithmetic": [
        ('{"+": [1, 2]}', "3"),
        ('{"+": [1, 2, 3, 4]}', "10"),
        ('{"+": "3.14"}', "3.14"),
        ('{"+": ["1", 1]}', "2"),
        ('{"+": [[1, 2, 3]]}', "6"),
        ('{"+": {"map": [[1, 2], {"*": [{"var": ""}, 10]}]}}', "30"),
        ('{"*": [2, 3]}', "6"),
        ('{"*": [2, 2, 2]}', "8"),
        ('{"*": [5]}', "5"),
        ('{"-": [2, 3]}', "-1"),
        ('{"-": 3}', "-3"),
        ('{"-": ["1", 1]}', "0"),
        ('{"/": [2, 4]}', "0.5"),
        ('{"%": [7, 3]}', "1"),
        ('{"%": [-7, 3]}', "-1"),
        ('{"%": [7, -3]}', "1"),
        ('{"%": [5.5, 2]}', "1.5"),
        ('{"max": [1, 3, 2]}', "3"),
        ('{"min": ["2", 1, 3]}', "1"),
        ('{"max": [-5]}', "-5"),
        ('{"max": [[1, 9, 3]]}', "9"),
        ('{"/": [{"var": ["attribute.distance"]}, {"var": ["dependencies.meters_per_km"]}]}', "0.0125"),
        ('{"*": [{"var": "attributes.distance"}, 0.4]}', "5"),
        ('{"*": [0.4, {"var": "attributes.distance"}]}', "5"),
        ('{"+": [{"var": "dimension.tier"}, {"var": "dimension.tier"}]}', "10"),
    ],
    "lists": [
        ('{"map": [[1, 2, 3], {"*": [{"var": ""}, 2]}]}', "[2, 4, 6]"),
        ('{"map": [{"var": "nothing"}, {"var": ""}]}', "[]"),
        ('{"map": ["text", 1]}', "[]"),
        ('{"map": [[[1, 2], [3]], {"reduce": [{"var": ""}, {"cat": [{"var": "accumulator"}, {"var": "current"}]}]}]}',
         '["12", "3"]'),
        ('{"map": [[["a", "b"], ["c"]], {"var": 1}]}', '["b", null]'),
        ('{"map": [[["a", ["x"]]], {"var": "1.0"}]}', '["x"]'),
        ('{"map": [[1], {"var": "attributes.time"}]}', "[null]"),
        ('{"filter": [[1, 2, 3, 4], {"%": [{"var": ""}, 2]}]}', "[1, 3]"),
        ('{"reduce": [[1, 2, 3], {"+": [{"var": "current"}, {"var": "accumulator"}]}, 0]}', "6"),
        ('{"reduce": [[5], {"var": "accumulator"}]}', "null"),
        ('{"reduce": [null, {"var": "current"}, 9]}', "9"),
        ('{"reduce": [[1], {"max": [{"var": "current"}, {"var": "accumulator"}]}, {"var": "attribute.time"}]}', "90"),
        ('{"all": [[1, 2], {">": [{"var": ""}, 0]}]}', "true"),
        ('{"all": [[1, 0], {">": [{"var": ""}, 0]}]}', "false"),
        ('{"all": [[], true]}', "false"),
        ('{"some": [[0, 1], {"var": ""}]}', "true"),
        ('{"some": [[], true]}', "false"),
        ('{"none": [[0, 0], {"var": ""}]}', "true"),
        ('{"none": [[], true]}', "true"),
        ('{"none": [[0, 1], {"var": ""}]}', "false"),
        ('{"merge": []}', "[]"),
        ('{"merge": 1}', "[1]"),
        ('{"merge": [1, [2, [3]], []]}', "[1, 2, [3]]"),
    ],
    "membership": [
        ('{"in": ["Bart", ["Bart", "Lisa"]]}', "true"),
        ('{"in": ["Milhouse", ["Bart", "Lisa"]]}', "false"),
        ('{"in": ["Spring", "Springfield"]}', "true"),
        ('{"in": ["i", "team"]}', "false"),
        ('{"in": [1, "a1b"]}', "true"),
        ('{"in": [null, "null"]}', "false"),
        ('{"in": ["a", null]}', "false"),
        ('{"in": ["1", [1, 2]]}', "false"),
        ('{"in": [1.0, [1, 2]]}', "true"),
        ('{"in": [true, [1]]}', "false"),
        ('{"in": [null, [1, null]]}', "true"),
        ('{"in": [{"var": "dimension.city"}, ["chennai", "mumbai"]]}', "true"),
        ('{"in": [{"var": "dimension.city"}, "chennai", "mumbai"]}', "true"),
        ('{"in": [{"var": "dimension.model"}, "chennai", "mumbai"]}', "false"),
        ('{"in": [{"var": "dimension.model"}, "gpt-4", "gpt-5"]}', "false"),
        ('{"in": ["chennai", "mumbai", {"var": "dimension.city"}]}', "true"),
        ('{"in": [{"var": "attribute.distance"}, [1, 12.50]]}', "true"),
        ('{"in": [{"var": "attribute.nothing"}, [1, 2]]}', "false"),
        ('{"in": [{"var": "dimension.tier"}, {"merge": [{"var": "dimension.tier"}, 1]}]}', "true"),
        ('{"contains": ["jsonLogic", "Logic"]}', "true"),
        ('{"contains": [[1, 2], 3]}', "false"),
        ('{"contains": ["SUCCESS_200", 2]}', "true"),
        ('{"contains": [589, 8]}', "true"),
        ('{"contains": [null, "null"]}', "false"),
    ],
    "text": [
        ('{"cat": "ice"}', '"ice"'),
        ('{"cat": []}', '""'),
        ('{"cat": ["ice", "cream"]}', '"icecream"'),
        ('{"cat": [1, "-", 2.50, true, null, 1e3]}', '"1-2.5true1000"'),
        ('{"cat": [["a", "b"]]}', '"ab"'),
        ('{"cat": [-0.0, 0.000000001]}', '"00.000000001"'),
        ('{"substr": ["jsonlogic", 4]}', '"logic"'),
        ('{"substr": ["jsonlogic", -5]}', '"logic"'),
        ('{"substr": ["jsonlogic", 0, 1]}', '"j"'),
        ('{"substr": ["jsonlogic", -5, -2]}', '"log"'),
        ('{"substr": ["jsonlogic", 1, -5]}', '"son"'),
        ('{"substr": ["json", -9]}', '"json"'),
        ('{"substr": ["json", 9]}', '""'),
        ('{"substr": ["json", 1, -9]}', '""'),
        ('{"substr": [12345, 1, 2]}', '"23"'),
        ('{"substr": ["añ😀o", 1, 2]}', '"ñ😀"'),
    ],
    "log": [('{"log": "seen"}', '"seen"'), ('{"log": [{"var": "attribute.time"}]}', "90")],
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [pytest.param(*case, id=f"{group} {case[0]}") for group, cases in CASES.items() for case in cases],
)
def test_value(text: str, expected: str) -> None:
    assert typed(evaluate(text, EVENT)) == typed(parsed(expected))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"+": [{"var": "attribute.nothing"}, 1]}', "null"),
        ('{"*": [{"var": "dimension.city"}, 1]}', '"chennai"'),
        ('{"-": [true, {"var": "attribute.time"}]}', '"-" needs numbers, not true'),
        ('{"+": [{"var": "dimension.empty"}, 1]}', '""'),
        ('{"+": [[1], {"var": "attribute.time"}]}', "a list"),
        ('{"max": {"missing": ["attribute.time"]}}', "an empty list"),
        ('{"/": [1, {"var": "attribute.in-flight"}]}', "division by zero"),
        ('{"%": [1, {"var": "attribute.in-flight"}]}', "division by zero"),
        ('{"/": [{"var": "attribute.in-flight"}, {"var": "attribute.in-flight"}]}', "division by zero"),
        ('{"cat": [{"var": "dimensions"}]}', "an object"),
        ('{"cat": [{"missing": "a"}, "b"]}', "a list"),
        ('{"substr": [{"var": "dimension.city"}, 0.5]}', "whole number"),
        ('{"missing_some": [1, {"var": "dimension.city"}]}', "a list of names"),
        ('{"var": {"+": [{"var": "attribute.distance"}]}}', "a variable's name"),
    ],
)
def test_no_value(text: str, message: str) -> None:
    with pytest.raises(EvaluationError, match="(?i)" + message):
        evaluate(text, EVENT)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ('{"usage": {"urc": {"um.abc.de": 5}}}', "5"),
        ('{"usage.urc.um.abc.de": 6}', "6"),
        ('{"usage": {"urc.um": {"abc": {"de": 7}}}}', "7"),
        ('{"usage.urc": {"um.abc": {"x": 1}}, "usage": {"urc": {"um.abc.de": 8}}}', "8"),
        ('{"usage.urc.um.abc.de": 9, "usage": {"urc": {"um.abc.de": 8}}}', "9"),
        ('{"usage": {"urc": {"um": {"abc": 1}}}}', "null"),
        ('{"usage": 1}', "null"),
        ("[]", "null"),
        ("null", "null"),
    ],
)
def test_the_longest_key_wins(data: str, expected: str) -> None:
    assert evaluate('{"var": "usage.urc.um.abc.de"}', data) == parsed(expected)


@pytest.mark.parametrize("path", ['""', "[]", "null", '[""]', "[null]"])
def test_the_whole_data(path: str) -> None:
    assert evaluate(f'{{"var": {path}}}', '{"a": 1}') == {"a": 1}


def test_a_number_is_an_index() -> None:
    assert evaluate('{"var": 1}', '["apple", "banana"]') == "banana"
    assert evaluate('{"var": "1.name"}', '["apple", {"name": "banana"}]') == "banana"
    assert evaluate('{"var": [2, "none"]}', '["apple", "banana"]') == "none"


def test_null_is_found_and_needs_no_default() -> None:
    assert evaluate('{"var": ["a", 1]}', '{"a": null}') is None


def test_names_with_dots_in_event_data() -> None:
    assert evaluate('{"var": "dimension.a.b"}', '{"dimensions": {"a.b": "x"}}') == "x"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", set()),
        ('{"+": [{"var": "attribute.x"}, {"var": ["attributes.y", {"var": "dimension.z"}]}]}',
         {"attributes.x", "attributes.y", "dimensions.z"}),
        ('{"missing": ["attribute.a", "dimension.b"]}', {"attributes.a", "dimensions.b"}),
        ('{"missing_some": [1, ["a", "dependency.b"]]}', {"a", "dependencies.b"}),
        ('{"map": [{"var": "list"}, {"+": [{"var": "attribute.x"}, {"var": ""}]}]}', {"list"}),
        ('{"var": {"cat": ["attribute.", {"var": "dimension.which"}]}}', {"dimensions.which"}),
        ('{"if": [true, {"var": "usage.urc.um.a.b"}]}', {"usage.urc.um.a.b"}),
    ],
)  # fmt: skip
def test_variables_are_known_beforehand(text: str, expected: set[str]) -> None:
    assert rule(text).variables == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", Decimal(1)),
        ('"2.50"', Decimal("2.5")),
        ('{"*": [2, 3]}', Decimal(6)),
        ('{"reduce": [[1, 2], {"+": [{"var": "current"}, {"var": "accumulator"}]}, 0]}', Decimal(3)),
        ("true", None),
        ("null", None),
        ('"apple"', None),
        ("1e26", None),
        ('{"var": "attributes.x"}', None),
        ('{"if": [true, 1, {"var": "x"}]}', None),
    ],
)
def test_constant_rules_are_known_beforehand(text: str, expected: Decimal | None) -> None:
    assert rule(text).constant == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"var": "dimension.city"}', "chennai"),
        ('{"*": [{"var": "attribute.distance"}, 2]}', "25"),
        ('{"var": "attribute.nothing"}', ""),
        ('{">": [1, {"var": "attribute.time"}]}', "false"),
        ('{"date": "2024-05-28T02:00:00+02:00"}', "2024-05-28T00:00:00Z"),
    ],
)
def test_shown_as_a_dimension(text: str, expected: str) -> None:
    assert rule(text).show(parsed(EVENT)) == expected


def test_matchers_are_truthy_or_not() -> None:
    event = parsed(EVENT)
    assert rule('{"==": [{"var": "dimension.city"}, "chennai"]}').truthy(event) is True
    assert rule('{"var": "dimension.city"}').truthy(event) is True
    assert rule('{"var": "attribute.in-flight"}').truthy(event) is False
    assert rule('{"var": "dimensions"}').truthy(event) is True
    with pytest.raises(EvaluationError):
        rule('{"<": [{"+": {"var": "dimension.city"}}, 1]}').truthy(event)
