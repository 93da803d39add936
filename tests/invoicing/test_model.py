"""Whole invoices against arithmetic done by hand and, at random, by fractions."""

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.accounts.model import Address
from bursar.catalog.definitions import (
    CardRates,
    Commitment,
    CurrencyRate,
    PlanDetails,
    SlabDefinition,
    SlabRate,
    UsageCard,
)
from bursar.catalog.plans import PlanVersion
from bursar.invoicing.document import Document, Meter, Party, Seller, digest, from_text, to_text
from bursar.invoicing.model import (
    Content,
    Facts,
    draw_up,
    issue_transaction,
    postable,
    same_charges,
    sequence_id,
    status_at_issue,
)
from bursar.ledger.model import Kind

NOW = datetime(2024, 1, 1, tzinfo=UTC)
Slab = tuple[Any, Literal["FLAT", "PER_UNIT", "PACKAGE"], Any, Any]


def usage_card(key: int, model: Literal["TIERED", "VOLUME"], slabs: list[Slab]) -> UsageCard:
    return UsageCard(
        name=f"line-{key}",
        meter=key,
        meter_id=f"um.{key}",
        pricing_model=model,
        slabs=[
            SlabDefinition(n, Decimal(str(start)), kind, None if size is None else Decimal(str(size)))
            for n, (start, kind, _, size) in enumerate(slabs, 1)
        ],
        rates=[
            CardRates("EUR", [SlabRate(n, Decimal(999)) for n in range(1, len(slabs) + 1)]),
            CardRates("USD", [SlabRate(n, Decimal(str(rate))) for n, (_, _, rate, _) in enumerate(slabs, 1)]),
        ],
    )


def facts(
    cards: list[UsageCard],
    quantities: dict[int, Any],
    *,
    commitment: Any = None,
    exponent: int = 2,
    days: int = 31,
    of_days: int = 31,
) -> Facts:
    plan = PlanVersion(
        plan=1,
        version_key=1,
        id="pp.1",
        name="Plan",
        type="BILLING",
        description=None,
        status="ACTIVE",
        version=4,
        revision=1,
        version_id="sch.1",
        details=PlanDetails(
            currencies=["EUR", "USD"],
            usage=cards,
            commitment=None
            if commitment is None
            else Commitment("Least", [CurrencyRate("USD", Decimal(str(commitment)))]),
        ),
        active_currencies=("USD",),
        created_at=NOW,
        updated_at=NOW,
    )
    meters = {
        card.meter: Meter(
            id=card.meter_id, name=f"m{card.meter}", version=1, aggregation="SUM", filters=[], matcher=None,
            computation=None,
        )
        for card in cards
    }  # fmt: skip
    return Facts(plan, "USD", exponent, {k: Decimal(str(q)) for k, q in quantities.items()}, meters, days, of_days)


GRADUATED: list[Slab] = [
    (0, "PER_UNIT", 0, None),
    (1000, "PER_UNIT", "0.0015", None),
    (5000, "PER_UNIT", "0.001", None),
]
PACKAGES: list[Slab] = [(0, "PACKAGE", "2.5", 100)]
FLAT_THEN_UNIT: list[Slab] = [(0, "FLAT", 10, None), (50, "PER_UNIT", "0.333", None)]


@pytest.mark.parametrize(
    ("given_facts", "unrounded", "amounts", "total"),
    [
        pytest.param(facts([], {}), [], [], "0", id="nothing"),
        pytest.param(facts([usage_card(1, "TIERED", GRADUATED)], {}), ["0"], ["0"], "0", id="nothing used"),
        pytest.param(
            facts([usage_card(1, "TIERED", GRADUATED)], {1: 1000}), ["0"], ["0"], "0", id="exactly the free thousand"
        ),
        # 4,000 x 0.0015 + 2,333 x 0.001 = 8.333
        pytest.param(facts([usage_card(1, "TIERED", GRADUATED)], {1: 7333}), ["8.333"], ["8.33"], "8.33", id="tiers"),
        # The slab that holds 7,333 prices all of it: 7.333
        pytest.param(facts([usage_card(1, "VOLUME", GRADUATED)], {1: 7333}), ["7.333"], ["7.33"], "7.33", id="volume"),
        pytest.param(
            facts([usage_card(1, "TIERED", GRADUATED), usage_card(2, "TIERED", PACKAGES)], {1: 1999, 2: "200.5"}),
            ["1.4985", "7.5"], ["1.49", "7.5"], "8.99", id="each line rounds for itself",
        ),
        # 10 + 0.333 x 1 = 10.333, in a currency without decimals
        pytest.param(
            facts([usage_card(1, "TIERED", FLAT_THEN_UNIT)], {1: 51}, exponent=0), ["10.333"], ["10"], "10", id="yen"
        ),
        pytest.param(facts([usage_card(1, "TIERED", PACKAGES)], {1: -5}), ["0"], ["0"], "0", id="negative usage"),
        # Three lines of 0.999 lose a cent each: 2.97, not 2.99; the commitment compares with what is shown.
        pytest.param(
            facts([usage_card(n, "TIERED", [(0, "FLAT", "0.999", None)]) for n in (1, 2, 3)], {1: 1, 2: 1, 3: 1},
                  commitment="2.98"),
            ["0.999", "0.999", "0.999", "0.01"], ["0.99", "0.99", "0.99", "0.01"], "2.98", id="rounded subtotal",
        ),
        pytest.param(
            facts([usage_card(1, "TIERED", PACKAGES)], {1: 100}, commitment="2.5"), ["2.5"], ["2.5"], "2.5",
            id="commitment just met",
        ),
        # 100 x 10/31 = 32.258064516129..., less 2.5
        pytest.param(
            facts([usage_card(1, "TIERED", PACKAGES)], {1: 1}, commitment=100, days=10),
            ["2.5", "29.758064516129"], ["2.5", "29.75"], "32.25", id="commitment of a stub",
        ),
        # 1 x 1/3 = 0.333..., less 0.33: less than a cent is missing, so nothing is.
        pytest.param(
            facts([usage_card(1, "TIERED", [(0, "FLAT", "0.33", None)])], {1: 1}, commitment=1, days=1, of_days=3),
            ["0.33"], ["0.33"], "0.33", id="less than a cent missing",
        ),
        pytest.param(facts([], {}, commitment=7), ["7"], ["7"], "7", id="commitment alone"),
    ],
)  # fmt: skip
def test_whole_invoices(given_facts: Facts, unrounded: list[str], amounts: list[str], total: str) -> None:
    content = draw_up(given_facts)
    assert [line.unrounded for line in content.lines] == [Decimal(text) for text in unrounded]
    assert [line.amount for line in content.lines] == [Decimal(text) for text in amounts]
    assert content.total == Decimal(total)
    assert [line.number for line in content.lines] == list(range(1, len(amounts) + 1))
    assert all(line.unrounded - line.amount == line.rounding for line in content.lines)


def test_a_line_tells_how_it_came_about() -> None:
    content = draw_up(facts([usage_card(1, "TIERED", GRADUATED)], {1: 7333}, commitment=100, days=10))
    usage, true_up = content.lines
    slabs: list[tuple[object, ...]] = [
        (s.order, s.start_after, s.up_to, s.quantity, s.rate, s.amount) for s in usage.slabs
    ]
    assert slabs == [
        (1, 0, 1000, 1000, 0, 0),
        (2, 1000, 5000, 4000, Decimal("0.0015"), 6),
        (3, 5000, None, 2333, Decimal("0.001"), Decimal("2.333")),
    ]
    assert usage.formula == "0 + 6 + 2.333 = 8.333, rounded toward zero to 2 decimals = 8.33"
    assert [s.formula for s in usage.slabs] == ["1000 x 0 = 0", "4000 x 0.0015 = 6", "2333 x 0.001 = 2.333"]
    assert usage.price_version is not None
    assert usage.price_version.id == "sch.1"
    assert usage.price_version.version == 4
    assert true_up.formula == (
        "commitment 100 x 10/31 days = 32.258064516129, less 8.33 = 23.928064516129,"
        " rounded toward zero to 2 decimals = 23.92"
    )


_starts = st.lists(st.integers(1, 500), max_size=3, unique=True).map(lambda found: [0, *sorted(found)])
_amount = st.decimals(0, 50, places=4)


@st.composite
def _card(draw: st.DrawFn, key: int) -> tuple[UsageCard, list[Slab]]:
    model: Literal["TIERED", "VOLUME"] = draw(st.sampled_from(["TIERED", "VOLUME"]))
    slabs: list[Slab] = []
    for start in draw(_starts):
        kind: Literal["FLAT", "PER_UNIT", "PACKAGE"] = draw(st.sampled_from(["FLAT", "PER_UNIT", "PACKAGE"]))
        slabs.append((start, kind, draw(_amount), draw(st.integers(1, 40)) if kind == "PACKAGE" else None))
    return usage_card(key, model, slabs), slabs


def _price(slab: Slab, quantity: Fraction) -> Fraction:
    _, kind, rate, size = slab
    count = {"FLAT": Fraction(1), "PER_UNIT": quantity, "PACKAGE": Fraction(ceil(quantity / (size or 1)))}[kind]
    return count * Fraction(rate)


def _slow(model: str, slabs: list[Slab], quantity: Fraction) -> Fraction:
    if quantity <= 0:
        return Fraction(0)
    if model == "VOLUME":
        return _price([slab for slab in slabs if slab[0] < quantity][-1], quantity)
    total = Fraction(0)
    for n, slab in enumerate(slabs):
        end = Fraction(slabs[n + 1][0]) if n + 1 < len(slabs) else quantity
        if quantity > slab[0]:
            total += _price(slab, min(quantity, end) - slab[0])
    return total


@given(
    st.tuples(_card(1), _card(2)),
    st.tuples(st.decimals(-10, 2000, places=3), st.decimals(0, 2000, places=3)),
    st.none() | st.decimals(0, 5000, places=3),
    st.integers(1, 31),
    st.sampled_from([0, 2, 3]),
)
def test_an_invoice_equals_slow_fractions(
    cards: tuple[tuple[UsageCard, list[Slab]], ...],
    quantities: tuple[Decimal, ...],
    commitment: Decimal | None,
    days: int,
    exponent: int,
) -> None:
    used = dict(enumerate(quantities, 1))
    given_facts = facts([card for card, _ in cards], used, commitment=commitment, days=days, exponent=exponent)
    content = draw_up(given_facts)
    cent = 10**exponent
    costs = [_slow(card.pricing_model, slabs, Fraction(used[card.meter])) for card, slabs in cards]
    rounded = [Fraction(int(cost * cent), cent) for cost in costs]
    assert [Fraction(line.unrounded) for line in content.lines[:2]] == costs
    assert [Fraction(line.amount) for line in content.lines[:2]] == rounded
    least = Fraction(0)
    if commitment is not None:
        exact = Fraction(commitment) * days / 31 * 10**12
        least = Fraction(round(exact), 10**12)
    missing = Fraction(int(max(least - sum(rounded), 0) * cent), cent)
    assert Fraction(content.total) == sum(rounded) + missing
    assert len(content.lines) == (3 if missing else 2)


def document(content: Content) -> Document:
    party = Party(id="a", name="A", primary_email="a@example.com", address=Address(line1="1 Street"))
    return Document(
        format=1, id="inv.1", sequence_id=sequence_id(7), invoice_type="STANDARD", invoice_class="INVOICE",
        start_date=NOW, end_date=NOW, timezone="UTC", invoice_date=NOW, due_date=NOW, net_term_days=0, currency="USD",
        decimals=2, schedule_id="sch.2", seller=Seller(), customer=party, account=party, price_plan_id="pp.1",
        price_plan_name="Plan", lines=content.lines, subtotal=content.subtotal, tax=Decimal(0), total=content.total,
    )  # fmt: skip


def test_postings_balance_at_twelve_decimals() -> None:
    given_facts = facts([usage_card(1, "TIERED", GRADUATED)], {1: 7333}, commitment=100, days=10)
    transaction = issue_transaction(document(draw_up(given_facts)), 5, 9, date(2024, 1, 31))
    assert transaction is not None
    assert [(p.ledger_account.kind, p.ledger_account.account, p.ledger_account.detail, p.amount)
            for p in transaction.postings] == [
        (Kind.RECEIVABLE, 9, "", Decimal("32.25")),
        (Kind.REVENUE, None, "pp.1/um.1", Decimal("-8.333")),
        (Kind.REVENUE, None, "pp.1/commitment", Decimal("-23.928064516129")),
        (Kind.ROUNDING, None, "", Decimal("0.011064516129")),
    ]  # fmt: skip
    assert (transaction.cause, transaction.cause_key) == ("invoice", 5)


def test_an_invoice_of_nothing_posts_nothing_and_is_paid() -> None:
    nothing = draw_up(facts([usage_card(1, "TIERED", GRADUATED)], {1: 3}))
    assert issue_transaction(document(nothing), 5, 9, date(2024, 1, 31)) is None
    assert status_at_issue(nothing.total) == "PAID"
    assert status_at_issue(Decimal("0.01")) == "DUE"


def test_revenue_that_rounds_to_nothing_is_still_posted() -> None:
    tiny = draw_up(facts([usage_card(1, "TIERED", [(0, "FLAT", "0.004", None)])], {1: 1}))
    transaction = issue_transaction(document(tiny), 5, 9, date(2024, 1, 31))
    assert transaction is not None
    assert [p.amount for p in transaction.postings] == [Decimal("-0.004"), Decimal("0.004")]


def test_amounts_beyond_storage_are_not_postable() -> None:
    card = usage_card(1, "TIERED", [(0, "PER_UNIT", 10, None)])
    assert postable(draw_up(facts([card], {1: Decimal(10) ** 24})))
    assert not postable(draw_up(facts([card], {1: Decimal(10) ** 25})))


def test_a_document_has_one_text() -> None:
    content = draw_up(facts([usage_card(1, "VOLUME", FLAT_THEN_UNIT)], {1: "51.000"}, commitment="40.00"))
    text = to_text(document(content))
    assert from_text(text) == document(content)
    assert to_text(from_text(text)) == text
    assert len(digest(text, b"")) == 32
    assert digest(b"a", b"b") != digest(b"ba", b"") != digest(b"", b"ba")
    assert b'"quantity":51,' in text
    other = draw_up(facts([usage_card(1, "VOLUME", FLAT_THEN_UNIT)], {1: 51}, commitment=40))
    assert to_text(document(other)) == text


def test_a_renamed_meter_charges_the_same() -> None:
    lines = draw_up(facts([usage_card(1, "TIERED", GRADUATED)], {1: 7333})).lines
    assert lines[0].meter is not None
    renamed = msgspec.structs.replace(lines[0], meter=msgspec.structs.replace(lines[0].meter, name="other"))
    assert same_charges(lines, [renamed])
    assert not same_charges(lines, [msgspec.structs.replace(renamed, amount=Decimal("8.34"))])
