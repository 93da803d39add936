"""Instants and durations: UTC throughout, the proleptic Gregorian calendar, microseconds.

A duration is text, so that a rule can hold and store it: `P14M` (calendar months) or `PT36H15M0.5S` (exact time).
"""

import calendar
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from bursar.core.jsonlogic.arithmetic import quotient
from bursar.core.jsonlogic.terms import Build, Operator, eager
from bursar.core.jsonlogic.values import EXACT, EvaluationError, Steps, charge, kind, moment_of, operand, quoted, whole

_SECOND = 1_000_000
_MICROS = {
    "MILLI": _SECOND // 1000,
    "SECOND": _SECOND,
    "MINUTE": 60 * _SECOND,
    "HOUR": 3600 * _SECOND,
    "DAY": 86_400 * _SECOND,
    "WEEK": 7 * 86_400 * _SECOND,
}
_MONTHS = {"MONTH": 1, "YEAR": 12}
_MICRO = timedelta(microseconds=1)

_COUNT = r"[+-]?\d{1,9}"
_DURATION = re.compile(
    rf"([+-]?)P(?=[-+T\d])(?:({_COUNT})Y)?(?:({_COUNT})M)?(?:({_COUNT})W)?(?:({_COUNT})D)?"
    rf"(?:T(?=[-+\d])(?:({_COUNT})H)?(?:({_COUNT})M)?(?:({_COUNT}(?:\.\d{{1,6}})?)S)?)?",
    re.ASCII,
)
_PARSE_COST = 60
_UNITS = ("YEAR", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND")


class Span(NamedTuple):
    """A duration: calendar months, then exact time in microseconds."""

    months: int
    micros: int

    def negated(self) -> "Span":
        """The same, backwards."""
        return Span(-self.months, -self.micros)

    def text(self) -> str:
        """ISO 8601 with a sign on each component: `P1M`, `PT-1H-30M`, `PT0S`."""
        days = f"P{self.months}M" if self.months else "P"
        if not self.micros and self.months:
            return days
        sign = "-" if self.micros < 0 else ""
        seconds, fraction = divmod(abs(self.micros), _SECOND)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        text = f"{sign}{hours}H" * bool(hours) + f"{sign}{minutes}M" * bool(minutes)
        if seconds or fraction or not text:
            text += f"{sign}{seconds}" + f".{fraction:06}".rstrip("0") * bool(fraction) + "S"
        return f"{days}T{text}"


def _moment(name: str, value: object) -> datetime:
    moment = moment_of(value)
    if moment is None:
        raise EvaluationError(f'"{name}" needs an ISO 8601 date, not {kind(value)}')
    return moment


def _unit(name: str, value: object) -> str:
    unit = value.upper().removesuffix("S") if isinstance(value, str) and len(value) <= 10 else ""
    if unit not in _MICROS and unit not in _MONTHS:
        raise EvaluationError(f'"{name}" needs a unit such as SECONDS, HOURS, DAYS or MONTHS, not {kind(value)}')
    return unit


def _span(name: str, amount: object, unit: str) -> Span:
    if unit in _MONTHS:
        return Span(whole(name, amount) * _MONTHS[unit], 0)
    return Span(0, whole(name, EXACT.multiply(operand(name, amount), Decimal(_MICROS[unit]))))


def _parse(name: str, value: object, left: Steps) -> Span:
    charge(left, _PARSE_COST)
    found = _DURATION.fullmatch(value) if isinstance(value, str) and len(value) <= 100 else None
    if found is None:
        raise EvaluationError(f'"{name}" needs an ISO 8601 duration, not {kind(value)}')
    months = micros = 0
    for unit, amount in zip(_UNITS, found.groups()[1:], strict=True):
        if amount:
            part = _span(name, Decimal(amount), unit)
            months, micros = months + part.months, micros + part.micros
    span = Span(months, micros)
    return span.negated() if found[1] == "-" else span


def _moved(name: str, moment: datetime, span: Span) -> datetime:
    month = moment.year * 12 + moment.month - 1 + span.months
    year, month = month // 12, month % 12 + 1
    if not 1 <= year <= 9999:
        raise EvaluationError(f'"{name}" leaves the years 1 to 9999')
    day = min(moment.day, calendar.monthrange(year, month)[1])
    try:
        return moment.replace(year=year, month=month, day=day) + timedelta(microseconds=span.micros)
    except OverflowError as error:
        raise EvaluationError(f'"{name}" leaves the years 1 to 9999') from error


def _shift(name: str, sign: int) -> Build:
    def shift(values: list[Any], left: Steps) -> datetime:
        moment = _moment(name, values[0])
        span = _parse(name, values[1], left) if len(values) == 2 else _span(name, values[1], _unit(name, values[2]))
        return _moved(name, moment, span if sign > 0 else span.negated())

    return eager(shift)


def _between(values: list[Any], _left: object) -> str:
    start, end = _moment("duration.between", values[0]), _moment("duration.between", values[1])
    return Span(0, (end - start) // _MICRO).text()


def _as(values: list[Any], left: Steps) -> Decimal:
    span, unit = _parse("duration.as", values[0], left), _unit("duration.as", values[1])
    if unit in _MONTHS and not span.micros:
        return quotient(Decimal(span.months), Decimal(_MONTHS[unit]))
    if unit in _MICROS and not span.months:
        return quotient(Decimal(span.micros), Decimal(_MICROS[unit]))
    raise EvaluationError(f'"duration.as" cannot turn {quoted(values[0])} into {unit}S: months have no fixed length')


def _part(name: str, take: Callable[[datetime], int]) -> Operator:
    return Operator(eager(lambda values, _left: Decimal(take(_moment(name, values[0])))), 1, 1, cost=10)


_DOTTED = {
    "date.add": Operator(_shift("date.add", 1), 2, 3, cost=30),
    "date.sub": Operator(_shift("date.sub", -1), 2, 3, cost=30),
    "date.year": _part("date.year", lambda moment: moment.year),
    "date.month": _part("date.month", lambda moment: moment.month),
    "date.day": _part("date.day", lambda moment: moment.day),
    "date.weekday": _part("date.weekday", lambda moment: moment.isoweekday()),
    "date.hour": _part("date.hour", lambda moment: moment.hour),
    "duration.of": Operator(
        eager(lambda values, _left: _span("duration.of", values[0], _unit("duration.of", values[1])).text()),
        2,
        2,
        cost=15,
    ),
    "duration.between": Operator(eager(_between), 2, 2, cost=30),
    "duration.as": Operator(eager(_as), 2, 2, cost=30),
}

OPERATORS = {
    "date": Operator(eager(lambda values, _left: _moment("date", values[0])), 1, 1, cost=10),
    **_DOTTED,
    **{name.replace(".", "_"): made for name, made in _DOTTED.items()},
}
