"""Numbers are exact: checked with fractions, which know neither digits nor rounding."""

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.core.jsonlogic import EvaluationError
from tests.core.jsonlogic_cases import evaluate, rule

TRILLION = 10**12

numbers = st.decimals(min_value=-(10**9), max_value=10**9, places=6, allow_nan=False, allow_infinity=False)


def half_even(exact: Fraction) -> Fraction:
    """Rounded to 12 decimals, ties to the even neighbour: `round` of a Fraction does just that, on integers."""
    return Fraction(round(exact * TRILLION), TRILLION)


def oracle(tree: Any, data: dict[str, Decimal]) -> Fraction:
    """The exact value of an arithmetic tree. Raises ZeroDivisionError."""
    if isinstance(tree, Decimal):
        return Fraction(tree)
    ((name, arguments),) = tree.items()
    if name == "var":
        return Fraction(data[arguments.removeprefix("attributes.")])
    values = [oracle(argument, data) for argument in arguments]
    if name == "+":
        return sum(values, Fraction(0))
    if name == "*":
        product = Fraction(1)
        for value in values:
            product *= value
        return product
    if name == "-":
        return -values[0] if len(values) == 1 else values[0] - values[1]
    if name == "/":
        return half_even(values[0] / values[1])
    if name == "%":
        quotient = values[0] / values[1]
        return values[0] - values[1] * (abs(quotient) // 1) * (1 if quotient >= 0 else -1)
    return max(values) if name == "max" else min(values)


def written(tree: Any) -> str:
    """The tree as JSON text, every number with all its digits."""
    if isinstance(tree, Decimal):
        return format(tree, "f")
    ((name, arguments),) = tree.items()
    if name == "var":
        return json.dumps(tree)
    return f"{{{json.dumps(name)}: [{', '.join(map(written, arguments))}]}}"


def grown(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.builds(lambda name, args: {name: args}, st.sampled_from(["+", "max", "min"]),
                  st.lists(children, min_size=1, max_size=3)),
        st.builds(lambda args: {"*": args}, st.lists(children, min_size=1, max_size=2)),
        st.builds(lambda args: {"-": args}, st.lists(children, min_size=1, max_size=2)),
        st.builds(lambda name, one, two: {name: [one, two]}, st.sampled_from(["/", "%"]), children, children),
    )  # fmt: skip


trees = st.recursive(
    st.one_of(numbers, st.sampled_from([{"var": "attributes.a"}, {"var": "attributes.b"}])), grown, max_leaves=8
)


@settings(max_examples=300, deadline=None)
@given(trees, numbers, numbers)
def test_arithmetic_equals_fractions(tree: Any, a: Decimal, b: Decimal) -> None:
    values = {"a": a, "b": b}
    try:
        expected = oracle(tree, values)
    except ZeroDivisionError:
        # A constant rule that divides by zero is not even saved.
        free = "var" in written(tree)
        if free:
            with pytest.raises(EvaluationError):
                rule(written(tree)).evaluate({"attributes": values})
        return
    assert Fraction(rule(written(tree)).evaluate({"attributes": values})) == expected


@settings(max_examples=200, deadline=None)
@given(st.integers(-(10**20), 10**20), st.integers(1, 10**14))
def test_quotients_round_once_half_even(numerator: int, denominator: int) -> None:
    quotient = rule('{"/": [{"var": "a"}, {"var": "b"}]}').evaluate(
        {"a": Decimal(numerator), "b": Decimal(denominator)}
    )
    assert Fraction(quotient) == half_even(Fraction(numerator, denominator))


@pytest.mark.parametrize(
    ("numerator", "denominator", "expected"),
    [
        ("1", "3", "0.333333333333"),
        ("2", "3", "0.666666666667"),
        ("0.000000000001", "2", "0"),
        ("0.000000000003", "2", "0.000000000002"),
        ("-0.000000000003", "2", "-0.000000000002"),
        (f"0.000000000001{'0' * 47}1", "2", "0.000000000001"),
        ("1", "1" + "0" * 40, "0"),
    ],
)
def test_quotient(numerator: str, denominator: str, expected: str) -> None:
    assert evaluate(f'{{"/": [{numerator}, {denominator}]}}') == Decimal(expected)


def test_a_quotient_next_to_a_tie_is_not_rounded_twice() -> None:
    # 5E-13 and a little more or less, so little that 120 digits of the quotient would look like the tie itself.
    divisor = 10**125 + 7
    for units in (5 * divisor - 1, 5 * divisor, 5 * divisor + 1):
        quotient = rule('{"/": [{"var": "a"}, {"var": "b"}]}').evaluate(
            {"a": Decimal(f"{units}E-13"), "b": Decimal(divisor)}
        )
        assert Fraction(quotient) == half_even(Fraction(units, 10 * TRILLION) / divisor)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"+": [0.1, 0.2]}', "0.3"),
        ('{"*": [1.1, 1.1]}', "1.21"),
        ('{"-": [1, 0.9]}', "0.1"),
        ('{"+": [12345678901234567890.123456789012, 0.000000000001]}', "12345678901234567890.123456789013"),
        (
            '{"*": [99999999999999999999999999.999999999999, 1.000000000001]}',
            "100000000000099999999999999.999999999998999999999999",
        ),
        ('{"%": [0.3, 0.1]}', "0"),
        ('{"==": [{"+": [0.1, 0.2]}, 0.3]}', True),
        ('{"<": [0.30000000000000000000000000000000000001, 0.3]}', False),
        ('{"*": [{"/": [1, 3]}, 3]}', "0.999999999999"),
    ],
)
def test_exact(text: str, expected: str | bool) -> None:
    value = evaluate(text)
    assert value == (expected if isinstance(expected, bool) else Decimal(expected).quantize(value) if value else 0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("5", "5"),
        ("0.1234567890125", "0.123456789012"),
        ("0.1234567890135", "0.123456789014"),
        ("-0.0000000000005", "0"),
        ("99999999999999999999999999.9999999999994", "99999999999999999999999999.999999999999"),
        ("1E+25", "10000000000000000000000000"),
    ],
)
def test_quantities_have_twelve_decimals(value: str, expected: str) -> None:
    assert rule('{"var": "attribute.x"}').number({"attributes": {"x": Decimal(value)}}) == Decimal(expected)


def test_a_quantity_keeps_its_own_digits() -> None:
    # What is stored and sent is `5`, not `5.000000000000`.
    assert str(rule('{"var": "attribute.x"}').number({"attributes": {"x": Decimal(5)}})) == "5"


@pytest.mark.parametrize("value", ["1E+26", "99999999999999999999999999.9999999999996", "-1E+40", "NaN", "Infinity"])
def test_quantities_that_cannot_be_stored(value: str) -> None:
    with pytest.raises(EvaluationError, match="number"):
        rule('{"var": "attribute.x"}').number({"attributes": {"x": Decimal(value)}})


@pytest.mark.parametrize(
    "text", ['{"var": "attributes.nothing"}', '{">": [{"var": "attributes.a"}, 1]}', '{"var": ""}']
)
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(EvaluationError, match="the result must be a number"):
        rule(text).number({"attributes": {"a": Decimal(1)}})


def test_text_that_spells_a_number_is_a_quantity() -> None:
    assert rule('{"var": "dimension.seats"}').number({"dimensions": {"seats": "12.5"}}) == Decimal("12.5")


def test_binary_fractions_are_no_numbers() -> None:
    with pytest.raises(EvaluationError):
        rule('{"+": [{"var": "x"}, 1]}').evaluate({"x": 0.5})


@pytest.mark.parametrize(
    ("text", "x"),
    [
        ('{"*": [{"var": "x"}, {"var": "x"}]}', Decimal("1E+31")),
        ('{"*": [{"var": "x"}, {"var": "x"}]}', Decimal("1E-31")),
        ('{"*": [{"var": "x"}, {"var": "x"}]}', Decimal("1." + "3" * 61)),
        ('{"+": [{"var": "x"}, 1e-60]}', Decimal("1E+60")),
        ('{"/": [{"var": "x"}, 1e-30]}', Decimal("1E+40")),
        ('{"%": [{"var": "x"}, 7]}', Decimal("1E+130")),
        ('{"-": {"var": "x"}}', Decimal("1E+999999")),
        ('{"cat": {"var": "x"}}', Decimal("1E+999999")),
    ],
)
def test_beyond_the_exact_range_is_an_error_never_a_rounded_number(text: str, x: Decimal) -> None:
    with pytest.raises(EvaluationError, match="exact range"):
        rule(text).evaluate({"x": x})


leaves = st.sampled_from(["true", "false", "null", "0", "1", '""', '"a"', "[]", "[0]", '{"var": "a"}', '{"var": "b"}'])


@settings(max_examples=200, deadline=None)
@given(leaves, leaves, leaves, st.booleans(), st.booleans())
def test_boolean_laws(p: str, q: str, r: str, a: bool, b: bool) -> None:
    def truth(text: str) -> bool:
        return rule(text).truthy({"a": a, "b": b})

    assert truth(f'{{"!": [{{"and": [{p}, {q}]}}]}}') == truth(f'{{"or": [{{"!": [{p}]}}, {{"!": [{q}]}}]}}')
    assert truth(f'{{"!": [{{"!": [{p}]}}]}}') == truth(f'{{"!!": [{p}]}}') == truth(p)
    assert truth(f'{{"and": [{p}, {{"or": [{q}, {r}]}}]}}') == truth(
        f'{{"or": [{{"and": [{p}, {q}]}}, {{"and": [{p}, {r}]}}]}}'
    )
    assert truth(f'{{"if": [{p}, {q}, {r}]}}') == (truth(q) if truth(p) else truth(r))
    assert truth(f'{{"==": [{p}, {q}]}}') is not truth(f'{{"!=": [{p}, {q}]}}')
    assert truth(f'{{"==": [{p}, {q}]}}') is truth(f'{{"==": [{q}, {p}]}}')
    assert truth(f'{{"===": [{p}, {q}]}}') is not truth(f'{{"!==": [{p}, {q}]}}')
    if truth(f'{{"===": [{p}, {q}]}}'):
        assert truth(f'{{"==": [{p}, {q}]}}')


@settings(max_examples=100, deadline=None)
@given(numbers, numbers)
def test_comparisons_agree_with_the_numbers_also_as_text(a: Decimal, b: Decimal) -> None:
    for first, second in ((a, b), (str(a), b), (a, str(b))):
        data = {"a": first, "b": second}
        for name, expected in {"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b, "==": a == b, "!=": a != b}.items():
            assert rule(f'{{"{name}": [{{"var": "a"}}, {{"var": "b"}}]}}').evaluate(data) is expected
            assert rule(f'{{"{name}": [{{"var": "a"}}, {b:f}]}}').evaluate(data) is expected
