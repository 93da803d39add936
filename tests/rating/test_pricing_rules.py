"""Pricing rules against arithmetic written out in Python."""

import json
import time
from decimal import ROUND_DOWN, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.rating.pricing_rules import Run, run_rules, step

D = Decimal
RATES = {"revenue.urc.a": D("0.5"), "revenue.urc.b": D(3)}
FIGURES = {
    "usage.urc.a": D(100),
    "revenue.urc.a": D(50),
    "usage.urc.b": D("1.5"),
    "revenue.urc.b": D("4.5"),
    "revenue.ff.f": D(20),
    "revenue.ff.idle": D(0),
}
A, B, F = ({"var": f"revenue.{key}"} for key in ("urc.a", "urc.b", "ff.f"))
Rule = tuple[str | None, Any, Any]


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(D("0.01"), ROUND_DOWN)


def run(*rules: Rule, figures: dict[str, Decimal] = FIGURES, uncharged: frozenset[str] = frozenset()) -> list[Run]:
    """What rules `(target, condition, computation)` do; usage of the cards costs what `RATES` say."""
    steps = [
        step(target, None if condition is None else json.dumps(condition), json.dumps(computation))
        for target, condition, computation in rules
    ]
    return run_rules(steps, figures, lambda card, usage: RATES[card] * max(usage, D(0)), cents, uncharged)


@pytest.mark.parametrize(
    ("rule", "verdict", "revenue", "usage"),
    [
        (("revenue.ff.f", None, {"+": [A, B]}), "CONDITION_TRUE", (20, "54.5"), None),
        (("revenue.ff.f", {">": [{"+": [A, {"var": "usage.urc.a"}]}, 149]}, 7), "CONDITION_TRUE", (20, 7), None),
        (("revenue.ff.f", {">": [{"+": [A, {"var": "usage.urc.a"}]}, 150]}, 7), "CONDITION_FALSE", (20, 20), None),
        (("revenue.ff.f", 0, 7), "CONDITION_FALSE", (20, 20), None),
        (("revenue.ff.f", "", 7), "CONDITION_FALSE", (20, 20), None),
        (("revenue.ff.f", "0", 7), "CONDITION_TRUE", (20, 7), None),
        (("revenue.ff.f", None, 0), "CONDITION_TRUE", (20, 0), None),
        (("revenue.urc.a", None, {"*": [A, 0.9]}), "CONDITION_TRUE", (50, 45), (100, 100)),
        (("revenue.urc.a", None, {"/": [A, 3]}), "CONDITION_TRUE", (50, "16.666666666667"), (100, 100)),
        (("usage.urc.a", None, {"-": [{"var": "usage.urc.a"}, 30]}), "CONDITION_TRUE", (50, 35), (100, 70)),
        (("usage.urc.a", None, -5), "CONDITION_TRUE", (50, 0), (100, -5)),
        ((None, None, {"*": [F, 0.0333]}), "CONDITION_TRUE", (0, "0.666"), None),
        ((None, None, {"-": [{"+": [A, B, F]}]}), "CONDITION_TRUE", (0, "-74.5"), None),
        ((None, None, "12.5"), "CONDITION_TRUE", (0, "12.5"), None),
        (("revenue.ff.f", {"/": [1, {"-": [A, 50]}]}, 7), "CONDITION_ERROR", (20, 20), None),
        (("revenue.ff.f", None, {"/": [1, {"-": [A, 50]}]}), "COMPUTATION_ERROR", (20, 20), None),
        (("revenue.urc.a", None, {"+": [{"var": {"cat": ["revenue.urc.", {"var": "usage.urc.a"}]}}, 1]}),
         "COMPUTATION_ERROR", (50, 50), (100, 100)),
        ((None, None, {"cat": ["x", A]}), "COMPUTATION_ERROR", (0, 0), None),
        ((None, None, {">": [A, 1]}), "COMPUTATION_ERROR", (0, 0), None),
        (("revenue.ff.f", None, -0.01), "COMPUTATION_ERROR", (20, 20), None),
        ((None, None, {"-": [{"+": [A, B, F, 0.01]}]}), "COMPUTATION_ERROR", (0, 0), None),
        ((None, None, {"*": [A, 10**25]}), "COMPUTATION_ERROR", (0, 0), None),
        (("usage.urc.b", None, 9 * 10**25), "COMPUTATION_ERROR", ("4.5", "4.5"), ("1.5", "1.5")),
        ((None, None, {"+": [A, {"var": "revenue.ff.other"}]}), "COMPUTATION_ERROR", (0, 0), None),
        (("revenue.ff.idle", None, 5), "COMPUTATION_ERROR", (0, 0), None),
    ],
)  # fmt: skip
def test_one_rule(rule: Rule, verdict: str, revenue: tuple[Any, Any], usage: tuple[Any, Any] | None) -> None:
    (found,) = run(rule, uncharged=frozenset({"revenue.ff.idle"}))
    assert found.verdict == verdict
    assert (found.old_revenue, found.new_revenue) == tuple(D(str(value)) for value in revenue)
    expected = None if usage is None else tuple(D(str(value)) for value in usage)
    assert (found.old_usage, found.new_usage) == (expected or (None, None))
    assert (found.error is not None) == verdict.endswith("ERROR")


def test_a_rule_sees_what_those_before_it_left() -> None:
    found = run(
        ("revenue.urc.a", None, {"*": [A, 2]}),  # 50 -> 100
        ("usage.urc.a", None, {"*": [{"var": "usage.urc.a"}, 3]}),  # 100 -> 300, rated anew: 150
        ("revenue.ff.f", {"<": [A, 100]}, 1),  # false
        (None, None, {"-": [{"/": [A, 10]}]}),  # -15
        ("revenue.urc.a", None, {"+": [A, F]}),  # 150 + 20
    )
    assert [(int(one.old_revenue), int(one.new_revenue)) for one in found] == [
        (50, 100), (100, 150), (20, 20), (0, -15), (150, 170),
    ]  # fmt: skip
    assert [one.read for one in found] == [
        {"revenue.urc.a": 50},
        {"usage.urc.a": 100},
        {"revenue.urc.a": 150},
        {"revenue.urc.a": 150},
        {"revenue.urc.a": 150, "revenue.ff.f": 20},
    ]
    assert FIGURES["revenue.urc.a"] == 50, "what was given stays as it was"


def test_rules_never_take_more_than_is_charged_in_cents() -> None:
    """0.009 + 0.009 is charged as nothing, so that nothing can be taken of it; 0.5 of a cent is nothing either."""
    figures = {"revenue.ff.x": D("0.009"), "revenue.ff.y": D("0.009")}
    taken, tiny = run((None, None, -0.018), (None, None, -0.005), figures=figures)
    assert (taken.verdict, tiny.verdict) == ("COMPUTATION_ERROR", "CONDITION_TRUE")


AMOUNTS = st.decimals(-1000, 1000, places=3)
ACTIONS = st.lists(st.tuples(st.sampled_from(["add", "revenue.ff.f", "revenue.urc.a", "usage.urc.a"]), AMOUNTS))


@given(ACTIONS)
def test_any_sequence_adds_up(actions: list[tuple[str, Decimal]]) -> None:
    """Against books kept in whole cents: each line's cents, and a rule that would lead below zero left out."""
    lines = {"revenue.urc.a": 5000, "revenue.urc.b": 450, "revenue.ff.f": 2000}
    steps = [step(None if what == "add" else what, None, str(value)) for what, value in actions]
    found = run_rules(steps, FIGURES, lambda card, usage: RATES[card] * max(usage, D(0)), cents)
    added: list[int] = []
    for (what, value), one in zip(actions, found, strict=True):
        amount = max(value, D(0)) / 2 if what == "usage.urc.a" else value
        coins = int(amount * 100)  # toward zero
        name = what.replace("usage", "revenue")
        after = [*added, coins] if what == "add" else added
        then = lines if what == "add" else {**lines, name: coins}
        fine = sum(then.values()) + sum(after) >= 0 and (what == "add" or amount >= 0)
        assert (one.verdict == "CONDITION_TRUE") == fine
        if fine:
            lines, added = then, after
            assert one.new_revenue == amount


L = list(range(60))
LOOP = {"reduce": [[{"var": ""}, *L], {"+": [{"var": "current"}, {"var": "accumulator"}]}, 0]}
HOSTILE = [
    {"+": [A, {"reduce": [{"map": [[A, *L], LOOP]}, {"+": [{"var": "current"}, {"var": "accumulator"}]}, 0]}]},
    {"*": [{"var": "usage.urc.a"}] * 180},
    {"+": [{"var": {"cat": ["x", A, "." * 9]}}] * 70},
    {"cat": [{"cat": [A, "y" * 380, A]}] * 11},
    {"%": [{"/": [A, 7e-50]}, 3e-55]},
]


@pytest.mark.parametrize("logic", HOSTILE, ids=["loops", "products", "names", "texts", "digits"])
def test_hostile_rules_end_soon_and_change_nothing(logic: Any) -> None:
    assert len(json.dumps(logic)) <= 5000, "as long as a plan may have it"
    run((None, logic, logic))
    start = time.process_time()
    found = run(*[(None, logic, logic)] * 50)
    assert time.process_time() - start < 0.25
    assert {one.new_revenue for one in found} == {0}
