"""What cannot be saved, what cannot run long, and that nothing else ever goes wrong."""

import contextlib
import json
import sys
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.core.errors import Invalid
from bursar.core.jsonlogic import EvaluationError, compile_rule
from bursar.core.jsonlogic.rules import OPERATORS
from tests.core.jsonlogic_cases import rule

NOT_SAVED = [
    ("", "must be JSON"),
    ("gpt", "must be JSON"),
    ("{", "must be JSON"),
    ("[1,]", "must be JSON"),
    ("1 2", "must be JSON"),
    ("01", "must be JSON"),
    ("'a'", "must be JSON"),
    ('\ufeff{"var": "a"}', "must be JSON"),
    ('{"and": [{"!": 1}, "or": [true]]}', "must be JSON"),
    ("NaN", "NaN is not a number"),
    ('{"+": [1, Infinity]}', "Infinity is not a number"),
    ("-Infinity", "-Infinity is not a number"),
    ("1e999999", '"1e999999" must have at most 120 digits'),
    ("1e99999999999999999999", "at most 120 digits"),
    ("1e61", "between 1E-60 and 1E"),
    ("1e-61", "between 1E-60 and 1E"),
    ("9" * 121, "at most 120 digits"),
    ("{}", "exactly one key, the operator, not 0"),
    ('{"and": [true], "or": [true]}', 'not 2 ("and", "or")'),
    ('{"and": [true], "and": [false]}', 'not 2 ("and", "and")'),
    ('{"xor": [1, 2]}', 'operator "xor" is not known'),
    ('{"method": ["a", "b"]}', 'operator "method" is not known'),
    ('{"": 1}', 'operator "" is not known'),
    ('{"\\ud800": 1}', r'operator "\ud800" is not known'),
    ('{"' + "x" * 500 + '": 1}', "x" * 40 + '..." is not known'),
    ('{"==": [1]}', 'operator "==" takes 2 arguments, not 1'),
    ('{"-": [1, 2, 3]}', 'operator "-" takes 1 to 2 arguments, not 3'),
    ('{"/": 4}', "takes 2 arguments, not 1"),
    ('{"!": []}', "takes 1 argument, not 0"),
    ('{"?:": [1, 2]}', "takes 3 arguments, not 2"),
    ('{"in": ["a"]}', "takes 2 or more arguments, not 1"),
    ('{"<": [1, 2, 3, 4]}', "takes 2 to 3 arguments, not 4"),
    ('{"var": ["a", 1, 2]}', "takes 0 to 2 arguments, not 3"),
    ('{"map": [[1]]}', "takes 2 arguments, not 1"),
    ('{"var": true}', "a variable's name"),
    ('{"var": 1.5}', "a variable's name"),
    ('{"var": -1}', "a variable's name"),
    ('{"var": [["a"]]}', "a variable's name"),
    ('{"var": "' + "a" * 301 + '"}', "at most 300 characters"),
    ('{"var": "' + "a." * 11 + '"}', "10 dots"),
    ('{"missing": ["a", false]}', "a variable's name"),
    ('"a\\u0000b"', "NUL"),
    ('{"var": "a\\udc00"}', "surrogate"),
    ('{"cat": ["\\ud83d", {"var": "a"}]}', "surrogate"),
    ('{"/": [1, 0]}', "always fails: division by zero"),
    ('{"+": [1, "one"]}', 'always fails: "+" needs numbers, not the text "one"'),
    ('{"*": [1e40, 1e40]}', "always fails: a number leaves the exact range"),
    ('{"date": "yesterday"}', "always fails"),
    ("[" * 65 + "]" * 65, "must not nest more than 64 brackets"),
    ('{"!":' * 65 + "1" + "}" * 65, "must not nest more than 64 brackets"),
    ("[" * 5000, "must not nest more than 64 brackets"),
    ('{"!":[' * 5000 + "1" + "]}" * 5000, "must not nest more than 64 brackets"),
    ("[" + "1," * 1000 + "1]", "must have at most 1000 constants"),
    ('"' + "a" * 100_000 + '"', "must have at most 60000 characters"),
]


@pytest.mark.parametrize(("text", "message"), NOT_SAVED, ids=[text[:40] for text, _ in NOT_SAVED])
def test_not_saved(text: str, message: str) -> None:
    with pytest.raises(Invalid) as refusal:
        compile_rule(text, max_length=60_000, field="computations[0].matcher")
    assert refusal.value.field == "computations[0].matcher"
    assert message in refusal.value.rule
    assert len(refusal.value.rule) < 200
    refusal.value.message.encode()  # no half of a surrogate pair gets into an answer


def test_length_counts_characters() -> None:
    assert compile_rule('"ééé"', max_length=5, field="matcher").evaluate({}) == "ééé"
    with pytest.raises(Invalid, match="at most 4 characters"):
        compile_rule('"ééé"', max_length=4, field="matcher")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 63 + '{"var": "a"}' + "]" * 63,
        '{"!":' * 64 + "1" + "}" * 64,
        '{"and":[true,' * 31 + '{"var":"a"}' + "]}" * 31,
        "[" + "1," * 998 + "1]",
        '{"==": [{"var": "dimension.text"}, "' + "[{" * 200 + '\\"]"]}',
        "9" * 61,
        "0." + "9" * 120,
        "1" + "0" * 60,
        "0e999",
        "1." + "0" * 300,
        '{"or": [{"var": "a"}, {"/": [1, 0]}]}',
    ],
    ids=lambda text: text[:30],
)
def test_saved_just_within_the_limits(text: str) -> None:
    compiled = rule(text)
    assert compiled.evaluate({"a": Decimal(1)}) is not None


def reduce(body: Any, items: int, start: Any) -> Any:
    return {"reduce": [[0] * items, body, start]}


SO_FAR = {"var": "accumulator"}
X, LONG, NEEDLE, DATE = ({"var": name} for name in ("attributes.x", "dimensions.long", "dimensions.needle", "date"))
DATA = {
    "attributes": {"x": Decimal("1.5")},
    "dimensions": {"long": "a" * 9_000, "needle": "a" * 49 + "b" + "a" * 49, "numeral": "  1.23456789  "},
    "date": "2024-01-31T00:00:00Z",
    "list": [Decimal(1)] * 1_000,
}
NUMERAL = {"var": "dimensions.numeral"}

HOSTILE = {
    "a loop in a loop": reduce(reduce({"+": [SO_FAR, 1]}, 300, SO_FAR), 300, X),
    "three loops": reduce(reduce(reduce({"+": [SO_FAR, 1]}, 200, SO_FAR), 200, SO_FAR), 200, X),
    "all pairs": {"map": [{"var": "list"}, {"map": [[0] * 900, {"merge": [{"var": ""}, 1]}]}]},
    "doubling text": reduce({"cat": [SO_FAR, SO_FAR]}, 100, {"var": "dimensions.needle"}),
    "long texts again and again": reduce({"substr": [{"cat": [LONG, "b"]}, 1]}, 500, LONG),
    "doubling lists": reduce({"merge": [SO_FAR, SO_FAR]}, 500, [X]),
    "nesting lists": reduce([SO_FAR], 900, X),
    "squares": reduce({"*": [SO_FAR, SO_FAR]}, 200, X),
    "a growing product": reduce({"*": [SO_FAR, 1.1]}, 200, X),
    "long digits": reduce({"*": [{"%": [SO_FAR, 7]}, int("9" * 60)]}, 150, X),
    "a vanishing product": reduce({"*": [SO_FAR, 1e-30]}, 200, X),
    "slow divisions": reduce({"/": [1, {"+": [SO_FAR, 0.7]}]}, 170, X),
    "slow searches": {"or": [{"in": [NEEDLE, LONG]}] * 60},
    "slow searches in a loop": reduce({"if": [{"in": [NEEDLE, LONG]}, 1, SO_FAR]}, 500, X),
    "numerals": reduce({"if": [{">": [SO_FAR, 7]}, SO_FAR, SO_FAR]}, 170, NUMERAL),
    "sums of numerals": reduce({"if": [{"+": [SO_FAR, SO_FAR, SO_FAR]}, SO_FAR]}, 130, NUMERAL),
    "dates": reduce({"date.add": [SO_FAR, "P1Y2M3W4DT5H6M7.123456S"]}, 30, DATE),
    "many dates": {"and": [{"!": {"==": [{"date.add": [DATE, "P1M"]}, {"date": "2024-01-01"}]}}] * 40},
    "missing names": reduce({"if": [{"missing": ["a.b.c.d.e.f.g.h.i.j"] * 6}, SO_FAR]}, 25, X),
    "long paths": reduce({"if": [{"var": "accumulator.b.c.d.e.f.g.h.i.j"}, 1, SO_FAR]}, 150, X),
    "built paths": reduce({"if": [{"var": {"cat": ["accumulator", ".b.c.d.e"]}}, 1, SO_FAR]}, 200, X),
    "text of numbers": reduce({"substr": [{"cat": [SO_FAR, 1.5, "x"]}, 3]}, 120, X),
    "deep comparisons": reduce({"==": [SO_FAR, SO_FAR]}, 200, reduce([SO_FAR], 400, X)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_rule_runs_long(name: str) -> None:
    text = json.dumps(HOSTILE[name])
    started = time.perf_counter()
    compiled = rule(text)
    assert time.perf_counter() - started < 0.2
    best = 1.0
    for _ in range(5):
        started = time.perf_counter()
        with contextlib.suppress(EvaluationError):
            compiled.evaluate(DATA)
        best = min(best, time.perf_counter() - started)
    # A millisecond or two on an idle machine; ten times that for a busy one. Unlimited, most would take seconds.
    assert best < 0.02


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("three loops", "more than 3000 steps"),
        ("all pairs", "more than 3000 steps"),
        ("doubling text", "more than 10000 characters"),
        ("doubling lists", "more than 3000 steps"),
        ("long texts again and again", "more than 3000 steps"),
        ("squares", "exact range"),
        ("a vanishing product", "exact range"),
        ("slow searches in a loop", "more than 3000 steps"),
    ],
)
def test_what_stops_a_rule(name: str, message: str) -> None:
    text = json.dumps(HOSTILE[name]).replace("[0, ", '[{"var": "attributes.x"}, ', 1)
    with pytest.raises(EvaluationError, match=message):
        rule(text).evaluate(DATA)


def test_ordinary_loops_are_well_within_the_limits() -> None:
    cities = json.dumps([f"city-{number}" for number in range(200)])
    text = f'{{"some": [{cities}, {{"in": [{{"var": ""}}, "a list of cities with city-199 in it"]}}]}}'
    assert rule(text).truthy({}) is True
    text = f'{{"filter": [{{"merge": [{{"var": "x"}}, {cities}]}}, {{"!=": [{{"var": ""}}, "city-7"]}}]}}'
    assert len(rule(text).evaluate({"x": "more"})) == 200


def test_saving_many_constant_loops_is_bounded_too() -> None:
    loop = json.dumps(reduce({"+": [SO_FAR, 1]}, 100, 0))
    text = f'{{"or": [{", ".join([loop] * 9)}, {{"var": "a"}}]}}'
    started = time.perf_counter()
    assert rule(text).evaluate({}) == 100
    assert time.perf_counter() - started < 0.2


def test_a_constant_rule_that_runs_long_is_not_saved() -> None:
    text = json.dumps(reduce(reduce(reduce({"+": [SO_FAR, 1]}, 80, SO_FAR), 80, SO_FAR), 80, 0))
    started = time.perf_counter()
    with pytest.raises(Invalid, match="always fails: the rule needs more than 3000 steps"):
        rule(text)
    assert time.perf_counter() - started < 0.2


def test_depth_never_meets_the_recursion_limit() -> None:
    deepest = '{"and":[true,' * 31 + '{"var":"a"}' + "]}" * 31
    loops = '{"map":[[1],' * 31 + '{"var":""}' + "]}" * 31
    limit = sys.getrecursionlimit()
    depth, frame = 0, sys._getframe()
    while frame.f_back:
        depth, frame = depth + 1, frame.f_back
    try:
        # Half of Python's usual stack is left for whoever calls.
        sys.setrecursionlimit(depth + 500)
        for text in (deepest, loops):
            rule(text).evaluate({"a": Decimal(1)})
    finally:
        sys.setrecursionlimit(limit)


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.sampled_from([0, 1, -1, 2, "", "a", "1", "-0.5", "1e3", "2024-01-31", "P1M", "PT36H", "DAYS", "MONTHS"]),
    st.text(max_size=8),
    st.sampled_from(
        ["attribute.x", "attributes.y", "dimension.s", "list", "list.0", "current", "accumulator", "a.b.c"]
    ),
)
jsons = st.recursive(
    scalars,
    lambda children: st.one_of(
        st.lists(children, max_size=4),
        st.builds(lambda name, args: {name: args}, st.sampled_from(sorted(OPERATORS)), st.lists(children, max_size=4)),
        st.builds(lambda name, arg: {name: arg}, st.sampled_from(sorted(OPERATORS)), children),
        st.builds(
            lambda path: {"var": path}, st.sampled_from(["", "attribute.x", "dimension.s", "list", "objects", "at"])
        ),
    ),
    max_leaves=15,
)
leaf = st.one_of(st.none(), st.booleans(), st.decimals(allow_nan=False, allow_infinity=False), st.text(max_size=10))
datas = st.fixed_dictionaries(
    {
        "attributes": st.fixed_dictionaries({}, optional={"x": st.decimals(allow_nan=False, allow_infinity=False)}),
        "dimensions": st.dictionaries(st.sampled_from(["s", "t"]), st.text(max_size=10)),
        "list": st.lists(leaf, max_size=5),
        "objects": st.lists(st.dictionaries(st.sampled_from(["a", "b"]), leaf), max_size=3),
        "at": st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31", "2024-02-29"]),
    }
)


@settings(max_examples=200, deadline=None)
@given(jsons, datas)
def test_any_json_is_refused_or_gives_a_value_or_an_evaluation_error(tree: Any, data: Any) -> None:
    try:
        compiled = compile_rule(json.dumps(tree), max_length=100_000, field="matcher")
    except Invalid:
        return
    for use in (compiled.evaluate, compiled.truthy, compiled.number, compiled.show):
        try:
            use(data)
        except EvaluationError as error:
            error.message.encode()


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=40), st.text(alphabet='{}[]":,\\ 0123456789.eE+-truefalsn"varandif<=', max_size=60)))
def test_any_text_is_a_rule_or_is_refused(text: str) -> None:
    try:
        compiled = compile_rule(text, max_length=50, field="matcher")
    except Invalid:
        return
    json.loads(compiled.text)


@settings(max_examples=200, deadline=None)
@given(jsons, datas)
def test_folding_changes_nothing(tree: Any, data: Any) -> None:
    """A constant gives what the same value gives when it comes from the data."""
    moved: dict[str, Any] = {}

    def move(part: Any, inside: bool) -> Any:
        if isinstance(part, list):
            return [move(item, inside) for item in part]
        if isinstance(part, dict):
            ((name, arguments),) = part.items()
            # Names of variables stay, and so do loops: within them the data is another.
            if name in {"var", "missing", "missing_some"} or OPERATORS[name].body is not None:
                return part
            return {name: move(arguments, inside=True)}
        if not inside or part is None:
            return part
        moved[f"c{len(moved)}"] = Decimal(part) if isinstance(part, int) and not isinstance(part, bool) else part
        return {"var": f"constants.c{len(moved) - 1}"}

    def outcome(text: str) -> Any:
        try:
            return compile_rule(text, max_length=100_000, field="matcher").evaluate(data)
        except EvaluationError:
            return None
        except Invalid as error:
            return None if error.rule.startswith("always fails") else error

    other = json.dumps(move(tree, inside=False))
    data["constants"] = moved
    expected = outcome(json.dumps(tree))
    if not isinstance(expected, Invalid):
        assert outcome(other) == expected
