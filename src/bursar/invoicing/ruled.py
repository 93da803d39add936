"""Pricing rules on the lines of an invoice: which lines they change, which they add, and what they leave on record."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import msgspec
from msgspec import UNSET

from bursar.catalog.definitions import PlanDetails, PricingRule
from bursar.catalog.pricing_rules import figures as figures_of
from bursar.core.decimals import plain, round_line, show, to_scale
from bursar.invoicing.document import Document, Line, PriceVersion, RuleRun
from bursar.invoicing.parts import cost_of
from bursar.rating.pricing_rules import Run, Step, Verdict, run_rules, step
from bursar.rating.rate import line, rounding_formula

ADDED: Final = "PRICING_RULE_ADDITION"
"""The type of a line that a rule added."""

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class RuleBook:
    """The rules of a plan for one of its invoices, in their order."""

    rules: tuple[PricingRule, ...]
    steps: tuple[Step, ...]
    figures: frozenset[str]
    """What they may read."""


def books_of(plan: PlanDetails) -> dict[bool, RuleBook]:
    """The rules of a plan by whether they are for its invoice in advance; none where it has no such rules."""
    books = {}
    for in_advance in (False, True) if plan.rules else ():
        rules = sorted((rule for rule in plan.rules if rule.in_advance is in_advance), key=lambda rule: rule.order)
        if rules:
            steps = tuple(step(rule.action.target, rule.condition, rule.computation) for rule in rules)
            books[in_advance] = RuleBook(tuple(rules), steps, frozenset(figures_of(plan, in_advance=in_advance)))
    return books


def apply_rules(
    lines: Sequence[Line],
    book: RuleBook,
    exponent: int,
    version: PriceVersion,
    rated: Callable[[str, Decimal], Line],
    number: int,
) -> tuple[list[Line], list[Line], list[RuleRun]]:
    """The lines of rate cards as rules leave them, the lines that rules add, and what became of each rule.

    `rated` gives the line of a usage meter (its id) for a quantity. `version` is whose rules these are; `number`
    is that of the first line that one adds.
    """
    found: dict[str, Decimal] = {}
    for entry in lines:
        found[f"revenue.{_key(entry)}"] = entry.unrounded
        if entry.quantity is not None:
            found[f"usage.{_key(entry)}"] = entry.quantity
    absent = book.figures - found.keys()
    runs = run_rules(
        book.steps,
        dict.fromkeys(absent, _ZERO) | found,
        rate=lambda name, quantity: rated(name.removeprefix("revenue.urc."), quantity).unrounded,
        rounded=lambda amount: round_line(amount, exponent),
        uncharged=absent,
    )
    records = [_record(rule, run) for rule, run in zip(book.rules, runs, strict=True)]
    done = [record for record in records if record.type == Verdict.TRUE]
    changed = [_changed(entry, [r for r in done if r.key == _key(entry) and r.target], exponent, rated)
               for entry in lines]  # fmt: skip
    additions = [(rule, record) for rule, record in zip(book.rules, records, strict=True)
                 if record.type == Verdict.TRUE and record.target is None]  # fmt: skip
    added = [_added(place, rule, record, exponent, version) for place, (rule, record) in enumerate(additions, number)]
    return changed, added, records


def before_rounding(entry: Line) -> Decimal | None:
    """What a line comes to by its slabs and rules, before it is rounded; None for one of a fee or a commitment alone.

    Where rules do not follow from each other or from the slabs, it is not a number.
    """
    cards = None
    if entry.order is not UNSET:
        one = entry.order.price
        adjusted = entry.bounds.adjustment if entry.bounds else _ZERO
        if entry.slabs and one != sum((slab.amount for slab in entry.slabs), adjusted):
            return Decimal("NaN")
        return to_scale(one * entry.order.times)
    if entry.license is not UNSET:
        cards = cost_of(entry.license)
    if entry.meter is not None:
        cards = sum((slab.amount for slab in entry.slabs), entry.bounds.adjustment if entry.bounds else _ZERO)
    if not entry.rules:
        return cards
    amount = entry.rules[0].old_revenue
    last_usage = max((n for n, run in enumerate(entry.rules) if _is_usage(run)), default=None)
    if cards is not None and last_usage is None and amount != cards:
        return Decimal("NaN")
    for number, run in enumerate(entry.rules):
        if run.old_revenue != amount or (number == last_usage and run.new_revenue != cards):
            return Decimal("NaN")
        amount = run.new_revenue
    return amount


def measured(entry: Line) -> Decimal | None:
    """The quantity of a line before rules made another of it."""
    return next((run.old_usage for run in entry.rules or () if _is_usage(run)), entry.quantity)


def card_names(document: Document) -> dict[str, str]:
    """What lines of a document are called, by the keys that its rules have for them."""
    names = {_key(entry): entry.description for entry in document.lines if entry.meter or entry.fee}
    return names | {entry.rules[0].key: entry.description for entry in document.lines
                    if entry.type == ADDED and entry.rules}  # fmt: skip


def _is_usage(run: RuleRun) -> bool:
    return run.target is not None and run.target.startswith("usage.")


def _key(entry: Line) -> str:
    """A line of a rate card as rules name it."""
    if entry.meter is not None:
        return f"urc.{entry.meter.id}"
    assert entry.fee is not None, "rules run before there are other lines"
    return f"ff.{entry.fee.add_on_id}"


def _record(rule: PricingRule, run: Run) -> RuleRun:
    return RuleRun(
        rule_id=rule.id,
        name=rule.name,
        version=rule.version,
        order=rule.order,
        invoice_timing="IN_ADVANCE" if rule.in_advance else "IN_ARREARS",
        condition=rule.condition,
        computation=rule.computation,
        target=rule.action.target,
        key=rule.key,
        metadata=dict(rule.action.metadata),
        type=run.verdict.value,
        variables={name: plain(value) for name, value in run.read.items()},
        old_usage=_plain(run.old_usage),
        new_usage=_plain(run.new_usage),
        old_revenue=plain(run.old_revenue),
        new_revenue=plain(run.new_revenue),
        error=run.error,
    )


def _changed(entry: Line, runs: Sequence[RuleRun], exponent: int, rated: Callable[[str, Decimal], Line]) -> Line:
    if not runs:
        return entry
    base = entry
    usage = [run.new_usage for run in runs if _is_usage(run)]
    if usage and usage[-1] is not None and entry.meter is not None:
        base = rated(entry.meter.id, usage[-1])
    unrounded = runs[-1].new_revenue
    amount, rounding = line(unrounded, exponent)
    words = [f"{show(runs[0].old_revenue)} by the rate card", *map(_words, runs)]
    return msgspec.structs.replace(
        base,
        rules=list(runs),
        formula=", ".join(words) + rounding_formula(unrounded, amount, exponent),
        unrounded=unrounded,
        amount=plain(amount),
        rounding=plain(rounding),
    )


def _words(run: RuleRun) -> str:
    usage = f"a usage of {show(run.new_usage)}, which is " if _is_usage(run) and run.new_usage is not None else ""
    return f"rule {run.name!r} makes it {usage}{show(run.new_revenue)}"


def _added(number: int, rule: PricingRule, run: RuleRun, exponent: int, version: PriceVersion) -> Line:
    amount, rounding = line(run.new_revenue, exponent)
    return Line(
        number=number,
        type=ADDED,
        name=rule.name,
        description=rule.action.description or rule.name,
        tag=None,
        meter=None,
        pricing_model=None,
        quantity=None,
        slabs=[],
        bounds=None,
        fee=None,
        commitment=None,
        rules=[run],
        price_version=version,
        formula=f"rule {rule.name!r} adds {show(run.new_revenue)}"
        + rounding_formula(run.new_revenue, amount, exponent),
        unrounded=run.new_revenue,
        amount=plain(amount),
        rounding=plain(rounding),
        tax_rate=_ZERO,
        tax=_ZERO,
    )


def _plain(value: Decimal | None) -> Decimal | None:
    return None if value is None else plain(value)
