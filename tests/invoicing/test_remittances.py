"""How payments are divided: against a table, and against dollars given out one by one."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.core.errors import Invalid
from bursar.invoicing.remittance_model import Target, WantedLine, divide

D = Decimal


def line(order: int, kind: Target, identifier: str | None = None, amount: Any = None) -> WantedLine:
    return WantedLine(order, kind, identifier, None if amount is None else D(str(amount)), f"[{order}].")


def shares(total: Any, *lines: WantedLine, **open_of: Any) -> list[tuple[int, str, Decimal]]:
    found = divide(D(str(total)), lines, {name: D(str(amount)) for name, amount in open_of.items()})
    return [(one.place, one.line.type, one.amount) for one in found]


@pytest.mark.parametrize(
    ("total", "lines", "open_of", "expected"),
    [
        (10, [], {}, [(1, "WALLET_CREDIT", 10)]),
        (10, [line(1, "INVOICE", "a")], {"a": 4}, [(1, "INVOICE", 4), (2, "WALLET_CREDIT", 6)]),
        (
            10,
            [line(2, "INVOICE", "a"), line(1, "INVOICE", "b")],
            {"a": 8, "b": 7},
            [(1, "INVOICE", 7), (2, "INVOICE", 3)],
        ),
        (10, [line(5, "INVOICE", "a", 4)], {"a": 4}, [(5, "INVOICE", 4), (6, "WALLET_CREDIT", 6)]),
        (
            10,
            [line(1, "CREDIT", "c", 2), line(2, "WALLET_CREDIT", None, 8)],
            {},
            [(1, "CREDIT", 2), (2, "WALLET_CREDIT", 8)],
        ),
        (10, [line(1, "CREDIT")], {}, [(1, "CREDIT", 10)]),
        (10, [line(1, "WALLET_CREDIT"), line(2, "INVOICE", "a")], {"a": 4}, [(1, "WALLET_CREDIT", 10)]),
        (3, [line(1, "INVOICE", "a", 1), line(2, "INVOICE", "a", 2)], {"a": 3}, [(1, "INVOICE", 1), (2, "INVOICE", 2)]),
        (-5, [line(1, "INVOICE", "a")], {"a": 3}, [(1, "INVOICE", -3), (2, "WALLET_CREDIT", -2)]),
        (-5, [line(1, "INVOICE", "a", -5)], {"a": 5}, [(1, "INVOICE", -5)]),
    ],
)
def test_what_each_line_gets(total: int, lines: list[WantedLine], open_of: Any, expected: Any) -> None:
    assert shares(total, *lines, **open_of) == expected


@pytest.mark.parametrize(
    ("total", "lines", "open_of", "field"),
    [
        (10, [line(1, "INVOICE", "a", 5)], {"a": 4}, "[1].amount"),
        (10, [line(1, "WALLET_CREDIT", None, 11)], {}, "[1].amount"),
        (10, [line(1, "CREDIT", "c", 6), line(2, "CREDIT", "c", 5)], {}, "[2].amount"),
        (10, [line(1, "CREDIT", "c", -1)], {}, "[1].amount"),
        (-10, [line(1, "INVOICE", "a", 1)], {"a": 5}, "[1].amount"),
        (10, [line(1, "CREDIT", "c", 1), line(1, "CREDIT", "c", 2)], {}, "[1].order"),
        (10, [line(1, "INVOICE", "a", 3), line(2, "INVOICE", "a", 2)], {"a": 4}, "[2].amount"),
    ],
)
def test_what_cannot_be_divided(total: int, lines: list[WantedLine], open_of: Any, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        shares(total, *lines, **open_of)
    assert caught.value.field == field


_targets = st.lists(st.tuples(st.sampled_from(["INVOICE", "CREDIT"]), st.sampled_from(["a", "b"])), max_size=5)


@settings(deadline=None)
@given(st.integers(1, 40), _targets, st.integers(0, 15), st.integers(0, 15))
def test_dollars_given_out_one_by_one(total: int, targets: list[tuple[Target, str]], a: int, b: int) -> None:
    lines = [line(place, kind, name) for place, (kind, name) in enumerate(targets)]
    expected: dict[int, int] = {}
    left = {"a": a, "b": b}
    for _ in range(total):
        for place, (kind, name) in enumerate(targets):
            if kind == "CREDIT" or left[name]:
                left[name] -= kind == "INVOICE"
                expected[place] = expected.get(place, 0) + 1
                break
        else:
            expected[len(targets) if targets else 1] = expected.get(len(targets) if targets else 1, 0) + 1
    found = {place: amount for place, _, amount in shares(total, *lines, a=a, b=b)}
    assert found == expected
    assert sum(found.values()) == total
