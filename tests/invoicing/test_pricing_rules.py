"""Pricing rules over whole bill runs, against the same arithmetic written out in Python."""

from collections.abc import Callable
from datetime import date
from decimal import ROUND_DOWN, Decimal
from typing import Any

import msgspec
import pytest

from bursar.catalog.definitions import PricingRule
from bursar.catalog.plans import PlanChange
from bursar.invoicing.billing import bill
from bursar.invoicing.document import Line, RuleRun, pack, unpack
from bursar.invoicing.ruled import before_rounding
from bursar.invoicing.service import Invoice
from bursar.invoicing.verify import CHECKS
from bursar.purchases import service as purchases
from bursar.purchases.service import Associate
from tests.invoicing.conftest import MakeWorld
from tests.invoicing.test_fees import invoices, problems
from tests.invoicing.world import FOREVER, World, add, at, card, update

D = Decimal
CALLS, SECONDS = 130, D("7.5")
RATE, EXTRA = D("0.333"), D("2")
FEE = D("10.005")
CALL_REVENUE = CALLS * RATE
SECOND_REVENUE = SECONDS * EXTRA


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(D("0.01"), ROUND_DOWN)


class Shop:
    """One account on one plan with two meters and a fee; what it used in May."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def open(self, rules: Callable[["Shop"], list[PricingRule]], **plan: Any) -> "Shop":
        world = self.world
        self.calls, self.seconds = await world.meter("calls"), await world.meter("seconds")
        self.fee = await world.fee("support", FEE, prorated=False)
        self.ahead = await world.fee("base", 50, in_advance=True, prorated=False)
        fees = plan.pop("fees", [self.fee, self.ahead])
        cards = [card(self.calls, [(0, "PER_UNIT", RATE)]), card(self.seconds, [(0, "PER_UNIT", EXTRA)])]
        self.plan = await world.plan("plan", cards, fees=fees, rules=rules(self), **plan)
        account = await world.account("acme")
        await world.associate("acme", self.plan, date(2024, 5, 1))
        await world.use(account, self.calls, at(2024, 5, 3), CALLS)
        await world.use(account, self.seconds, at(2024, 5, 4), SECONDS)
        return self

    def var(self, name: str) -> dict[str, str]:
        return {"var": self.name(name)}

    def name(self, name: str) -> str:
        """`usage calls` as rules write it."""
        what, of = name.split()
        key = {
            "calls": f"urc.{self.calls.id}",
            "seconds": f"urc.{self.seconds.id}",
            "support": f"ff.{self.fee.add_on_id}",
            "base": f"ff.{self.ahead.add_on_id}",
        }[of]
        return f"{what}.{key}"

    async def may(self) -> Invoice:
        return next(i for i in await invoices(self.world) if i.document.start_date == at(2024, 5, 1)
                    and i.header.type == "STANDARD")  # fmt: skip


def amounts(invoice: Invoice) -> list[Decimal]:
    return [line.amount for line in invoice.document.lines]


RULES: dict[str, tuple[Callable[[Shop], list[PricingRule]], list[Decimal]]] = {
    "a fee from usage": (
        lambda s: [update("r", 1, s.name("revenue support"), {"+": [s.var("revenue calls"), s.var("usage seconds")]})],
        [CALL_REVENUE, SECOND_REVENUE, CALL_REVENUE + SECONDS],
    ),
    "a discount above a volume": (
        lambda s: [
            update(
                "r",
                1,
                s.name("revenue calls"),
                {"*": [s.var("revenue calls"), 0.9]},
                {">": [s.var("usage calls"), 100]},
            ),
        ],
        [CALL_REVENUE * D("0.9"), SECOND_REVENUE, FEE],
    ),
    "no discount below a volume": (
        lambda s: [
            update(
                "r",
                1,
                s.name("revenue calls"),
                {"*": [s.var("revenue calls"), 0.9]},
                {">": [s.var("usage calls"), 1000]},
            ),
        ],
        [CALL_REVENUE, SECOND_REVENUE, FEE],
    ),
    "usage that is free": (
        lambda s: [update("r", 1, s.name("usage calls"), {"max": [{"-": [s.var("usage calls"), 100]}, 0]})],
        [(CALLS - 100) * RATE, SECOND_REVENUE, FEE],
    ),
    "a line of a share": (
        lambda s: [add("tax-like", 1, {"*": [{"+": [s.var("revenue calls"), s.var("revenue support")]}, 0.0725]})],
        [CALL_REVENUE, SECOND_REVENUE, FEE, (CALL_REVENUE + FEE) * D("0.0725")],
    ),
    "in their order, not as they were given": (
        lambda s: [
            add("second", 20, {"/": [s.var("revenue calls"), -10]}),
            update("first", 10, s.name("usage calls"), 1000),
            update("third", 30, s.name("revenue support"), {"+": [s.var("revenue support"), 1]}),
        ],
        [1000 * RATE, SECOND_REVENUE, FEE + 1, 1000 * RATE / -10],
    ),
    "what fails changes nothing": (
        lambda s: [
            update("condition", 1, s.name("revenue calls"), 1, {"/": [1, {"-": [s.var("usage calls"), CALLS]}]}),
            update("computation", 2, s.name("revenue calls"), {"/": [1, {"-": [s.var("usage calls"), CALLS]}]}),
            add("too much", 3, -1_000_000),
            update("below", 4, s.name("revenue seconds"), -1),
        ],
        [CALL_REVENUE, SECOND_REVENUE, FEE],
    ),
    "everything is waived": (
        lambda s: [
            update("a", 1, s.name("revenue calls"), 0),
            update("b", 2, s.name("usage seconds"), 0),
            update("c", 3, s.name("revenue support"), 0),
        ],
        [D(0), D(0), D(0)],
    ),
}


@pytest.mark.parametrize("case", RULES)
async def test_a_bill_is_what_its_rules_say(make_world: MakeWorld, case: str) -> None:
    rules, expected = RULES[case]
    shop = await Shop(await make_world(at(2024, 6, 10))).open(rules)
    draft = await shop.may()
    assert draft.header.status == "DRAFT"
    assert amounts(draft) == [cents(amount) for amount in expected]
    await bill(shop.world.db, shop.world.caller)
    issued = await shop.may()
    assert issued.document.lines == draft.document.lines
    assert issued.document.rules == draft.document.rules
    assert issued.document.total == sum(map(cents, expected))
    assert issued.header.status == ("DUE" if sum(expected) else "PAID")
    assert await problems(shop.world) == []


async def test_every_rule_leaves_a_record(make_world: MakeWorld) -> None:
    shop = await Shop(await make_world(at(2024, 6, 10))).open(RULES["in their order, not as they were given"][0])
    document = (await shop.may()).document
    assert document.rules
    first, second, third = document.rules
    assert [run.name for run in document.rules] == ["first", "second", "third"]
    assert (first.key, first.type, first.variables) == (f"urc.{shop.calls.id}", "CONDITION_TRUE", {})
    assert [first.old_usage, first.new_usage] == [D(CALLS), D(1000)]
    assert (first.old_revenue, first.new_revenue) == (CALL_REVENUE, 1000 * RATE)
    assert second.variables == {shop.name("revenue calls"): 1000 * RATE}
    assert (second.key, second.old_revenue, second.new_revenue) == ("second", D(0), -100 * RATE)
    assert third.variables == {shop.name("revenue support"): FEE}
    calls, seconds, support, added = document.lines
    assert [line.rules for line in document.lines] == [[first], msgspec.UNSET, [third], [second]]
    assert calls.quantity == 1000
    assert calls.formula == "43.29 by the rate card, rule 'first' makes it a usage of 1000, which is 333"
    assert support.formula == (
        "10.005 by the rate card, rule 'third' makes it 11.005, rounded toward zero to 2 decimals = 11"
    )
    assert (added.type, added.name, added.description) == ("PRICING_RULE_ADDITION", "second", "Line second")
    assert added.formula == "rule 'second' adds -33.3"
    assert "rules" not in msgspec.json.decode(msgspec.json.encode(seconds))


async def test_failures_are_logged_and_say_why(make_world: MakeWorld) -> None:
    shop = await Shop(await make_world(at(2024, 6, 10))).open(RULES["what fails changes nothing"][0])
    runs = (await shop.may()).document.rules
    assert runs
    assert [run.type for run in runs] == ["CONDITION_ERROR", *["COMPUTATION_ERROR"] * 3]
    assert [run.error for run in runs] == [
        "division by zero",
        "division by zero",
        f"takes away {1_000_000 - cents(CALL_REVENUE) - SECOND_REVENUE - cents(FEE)} more than is charged",
        "revenue of -1 would be below zero",
    ]
    assert all(run.old_revenue == run.new_revenue and run.old_usage == run.new_usage for run in runs)
    assert runs[0].variables == {shop.name("usage calls"): CALLS}


async def test_revenue_is_kept_by_what_rules_call_their_lines(make_world: MakeWorld) -> None:
    shop = await Shop(await make_world(at(2024, 6, 10))).open(
        lambda s: [update("up", 1, s.name("revenue support"), "100.009"), add("rebate", 2, "-5.001")]
    )
    await bill(shop.world.db, shop.world.caller)
    rows = await shop.world.rows(
        "select a.kind, a.detail, sum(p.amount) as amount from posting p"
        " join ledger_account a on a.key = p.ledger_account where p.workspace = $1"
        " and p.transaction in (select key from ledger_transaction where cause = 'invoice'"
        "     and cause_key = (select key from invoice where workspace = $1 and starts_at = $2 and type = 'STANDARD'))"
        " group by a.kind, a.detail order by a.kind, a.detail",
        shop.world.caller.workspace,
        at(2024, 5, 1),
    )
    plan = shop.plan.id
    total = cents(CALL_REVENUE) + SECOND_REVENUE + 100 - 5
    assert {(row["kind"], row["detail"].removeprefix(f"{plan}/")): row["amount"] for row in rows} == {
        ("receivable", ""): total,
        ("revenue", shop.calls.id): -CALL_REVENUE,
        ("revenue", shop.seconds.id): -SECOND_REVENUE,
        ("revenue", shop.fee.add_on_id): D("-100.009"),
        ("revenue", "rule/rebate"): D("5.001"),
        ("rounding", ""): D("0.008"),
    }


@pytest.mark.parametrize(
    ("rules", "true_up"),
    [
        (lambda s: [update("r", 1, s.name("revenue calls"), 20)], 100 - 20 - 15 - 10),
        (lambda s: [add("r", 1, 20)], 100 - D("43.29") - 15 - 10),
        (lambda s: [add("r", 1, -20)], 100 - D("43.29") - 15 - 10),
        (lambda s: [update("r", 1, s.name("revenue calls"), 200)], None),
    ],
    ids=["less revenue", "an addition", "a reduction", "more revenue"],
)
async def test_a_commitment_counts_rate_cards_as_rules_leave_them(
    make_world: MakeWorld, rules: Callable[[Shop], list[PricingRule]], true_up: Decimal | None
) -> None:
    shop = await Shop(await make_world(at(2024, 6, 10))).open(rules, commitment=100)
    lines = (await shop.may()).document.lines
    assert [line.amount for line in lines if line.type == "TRUE_UP"] == ([] if true_up is None else [true_up])
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))
    await bill(shop.world.db, shop.world.caller)
    assert await problems(shop.world) == []


async def test_rules_in_advance_are_for_the_invoice_in_advance(make_world: MakeWorld) -> None:
    def rules(s: Shop) -> list[PricingRule]:
        return [
            update("half", 1, s.name("revenue base"), {"/": [s.var("revenue base"), 3]}, in_advance=True),
            add("setup", 2, "5.555", in_advance=True),
            add("later", 3, 1),
        ]

    shop = await Shop(await make_world(at(2024, 5, 20))).open(rules)
    await bill(shop.world.db, shop.world.caller)
    late, ahead = await invoices(shop.world)
    assert (late.header.type, ahead.header.type) == ("STANDARD", "STANDARD_ADVANCED")
    assert amounts(ahead) == [D("16.66"), D("5.55")]
    assert amounts(late)[3:] == [1]
    assert ahead.document.rules
    assert late.document.rules
    assert [run.name for run in ahead.document.rules] == ["half", "setup"]
    assert [run.name for run in late.document.rules] == ["later"]
    assert await problems(shop.world) == []
    await bill(shop.world.db, shop.world.at(at(2024, 7, 10)))
    assert await problems(shop.world) == [], "what was deferred has become revenue, line by line"


async def test_a_fee_that_is_not_due_can_be_read_and_not_changed(make_world: MakeWorld) -> None:
    shop = Shop(await make_world(at(2024, 6, 10)))
    once = await shop.world.fee("once", 7, recurring=False, offset=1)
    name = f"revenue.ff.{once.add_on_id}"
    await shop.open(lambda s: [update("r", 1, name, 9), add("seen", 2, {"+": [{"var": name}, 1]})], fees=[once])
    may = (await shop.may()).document
    june = next(i for i in await invoices(shop.world) if i.document.start_date == at(2024, 6, 1)).document
    assert may.rules
    assert may.rules[0].type == "COMPUTATION_ERROR"
    assert may.rules[0].error == "nothing of it is charged in this period"
    assert [line.amount for line in may.lines[2:]] == [1]
    assert [line.amount for line in june.lines[2:]] == [9, 10]


async def test_an_account_may_have_rules_of_its_own(make_world: MakeWorld) -> None:
    shop = await Shop(await make_world(at(2024, 6, 10))).open(lambda s: [add("plan", 1, 1)])
    world = shop.world
    for name, own in (("own", [add("mine", 1, 2)]), ("none", [])):
        await world.account(name)
        async with world.db.transaction(world.caller.workspace) as connection:
            command = Associate(name, shop.plan.id, date(2024, 5, 1), FOREVER, override=PlanChange(rules=own))
            await purchases.associate(connection, world.caller, command)
    await bill(world.db, world.caller)
    found = {
        i.document.account.id: [line.name for line in i.document.lines if line.type == "PRICING_RULE_ADDITION"]
        for i in await invoices(world)
        if i.document.start_date == at(2024, 5, 1) and i.header.type == "STANDARD"
    }
    assert found == {"acme": ["plan"], "own": ["mine"], "none": []}
    changed = await world.update(shop.plan, "NEXT_CYCLE", rules=[add("plan", 1, 3)])
    assert (changed.version, changed.details.rules[0].version) == (2, 2)
    assert changed.details.rules[0].id == shop.plan.details.rules[0].id
    await bill(world.db, world.at(at(2024, 8, 10)))
    july = {
        i.document.account.id: [line.amount for line in i.document.lines if line.type == "PRICING_RULE_ADDITION"]
        for i in (await invoices(replace_now(world)))
        if i.document.start_date == at(2024, 7, 1) and i.header.type == "STANDARD"
    }
    assert july == {"acme": [3], "own": [2], "none": []}
    assert await problems(world) == []


def replace_now(world: World) -> World:
    return World(world.db, world.at(at(2024, 8, 10)))


def broken(line: Line, **parts: Any) -> Line:
    return msgspec.structs.replace(line, **parts)


async def test_a_line_that_does_not_follow_from_its_rules_is_found(make_world: MakeWorld) -> None:
    shop = await Shop(await make_world(at(2024, 6, 10))).open(
        lambda s: [
            update("a", 1, s.name("usage calls"), 10),
            update("b", 2, s.name("revenue calls"), {"+": [s.var("revenue calls"), 1]}),
            update("c", 3, s.name("revenue seconds"), 2),
            add("d", 4, 4),
        ]
    )
    calls, seconds, _, added = (await shop.may()).document.lines
    assert [before_rounding(line) for line in (calls, seconds, added)] == [10 * RATE + 1, 2, 4]

    def off(run: RuleRun, **parts: Any) -> RuleRun:
        return msgspec.structs.replace(run, **parts)

    assert calls.rules
    assert seconds.rules
    one, two = calls.rules
    for line in (
        broken(calls, rules=[one, off(two, old_revenue=D(5))]),
        broken(calls, rules=[off(one, new_revenue=D(5)), off(two, old_revenue=D(5))]),
        broken(seconds, rules=[off(seconds.rules[0], old_revenue=D(5))]),
        broken(added, rules=[off(added.rules[0], new_revenue=D(5))] if added.rules else []),
        broken(calls, slabs=[]),
    ):
        assert before_rounding(line) != line.unrounded


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"division by zero", b"divided by zero"),
        (b'"newRevenue":333', b'"newRevenue":332'),
        (b'"order":10', b'"order":9'),
    ],
)
async def test_records_of_rules_are_worked_out_again(make_world: MakeWorld, old: bytes, new: bytes) -> None:
    def rules(s: Shop) -> list[PricingRule]:
        fails = add("fails", 40, {"/": [1, {"-": [s.var("usage seconds"), "7.5"]}]})
        return [*RULES["in their order, not as they were given"][0](s), fails]

    shop = await Shop(await make_world(at(2024, 6, 10))).open(rules)
    await bill(shop.world.db, shop.world.caller)
    assert await problems(shop.world) == []
    again = next(check for check in CHECKS if "give every invoice again" in check.name)

    class Undone(Exception):
        pass

    async def tamper() -> None:
        async with shop.world.db.transaction(None) as connection:
            await connection.execute("set local session_replication_role = replica")
            select = "select invoice, content from invoice_document where workspace = $1"
            for row in await connection.fetch(select, shop.world.caller.workspace):
                (edited,) = pack([unpack(row["content"]).replace(old, new)])
                await connection.execute(
                    "update invoice_document set content = $2 where invoice = $1", row["invoice"], edited
                )
            raise Undone(*await again.run(connection))

    with pytest.raises(Undone) as undone:
        await tamper()
    assert len(undone.value.args) == 1
