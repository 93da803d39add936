"""Text put together and taken apart, by code points."""

from typing import Any

from bursar.core.jsonlogic.terms import Operator, eager
from bursar.core.jsonlogic.values import TEXT_LIMIT, EvaluationError, Steps, charge, is_list, text_of, whole

_COPIED_PER_STEP = 500


def _cat(values: list[Any], left: Steps) -> str:
    if len(values) == 1 and is_list(values[0]):
        values = list(values[0])
    charge(left, 3 * len(values))
    parts = [text_of("cat", value) for value in values]
    length = sum(map(len, parts))
    if length > TEXT_LIMIT:
        raise EvaluationError(f'"cat" makes a text of more than {TEXT_LIMIT} characters')
    charge(left, length // _COPIED_PER_STEP)
    return "".join(parts)


def _substr(values: list[Any], left: Steps) -> str:
    text = text_of("substr", values[0])
    charge(left, len(text) // _COPIED_PER_STEP)
    start = whole("substr", values[1])
    text = text[start:] if start >= 0 else text[max(len(text) + start, 0) :]
    if len(values) == 2:
        return text
    length = whole("substr", values[2])
    return text[:length] if length >= 0 else text[: max(len(text) + length, 0)]


OPERATORS = {
    "cat": Operator(eager(_cat), 0),
    "substr": Operator(eager(_substr), 2, 3, cost=6),
}
