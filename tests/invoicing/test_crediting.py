"""Credits over the whole of their lives, against books and an allocation worked out another way."""

import asyncio
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.core.errors import Invalid, NotFound, Taken, WrongState
from bursar.invoicing.billing import bill
from bursar.invoicing.crediting import credited, entities, use_credits, uses_of
from bursar.invoicing.document import Document
from bursar.invoicing.holds import credit_balance, expire_credits, get_credit, get_wallet, list_credits
from bursar.invoicing.service import Filters, list_invoices
from bursar.ledger import credit_service
from bursar.ledger.credit_model import ALL_FEES, ALL_USAGE, Credit
from bursar.ledger.credit_service import NewCredit
from tests.invoicing.conftest import MakeWorld
from tests.invoicing.test_settlement import put
from tests.invoicing.test_settling import books, found, move, problems
from tests.invoicing.world import World, at, card

D = Decimal


async def grant(world: World, amount: Any, account: Any = "one", now: Any = None, **more: Any) -> Credit:
    caller = world.caller if now is None else world.at(now)
    more = {"effective_from": date(2024, 1, 1), "purpose": "gift", **more}
    new = NewCredit(account, amount=D(str(amount)), **more)
    async with world.db.transaction(world.caller.workspace) as connection:
        return (await credit_service.grant_all(connection, caller, [new]))[0]


async def void(world: World, identifier: str, now: datetime | None = None) -> Credit:
    caller = world.caller if now is None else world.at(now)
    async with world.db.transaction(world.caller.workspace) as connection:
        return await credit_service.void_credit(connection, caller, identifier)


async def shop(make_world: MakeWorld, now: datetime | None = None) -> World:
    """January costs 10 of calls and 5 of support a month, 15 in all; it may be issued from 4 February on."""
    world = await make_world(now or at(2024, 1, 20))
    calls, fee = await world.meter("calls"), await world.fee("support", 5)
    plan = await world.plan("plan", [card(calls, [(0, "PER_UNIT", 1)])], fees=[fee])
    account = await world.account("one")
    await world.associate("one", plan, date(2024, 1, 1), date(2024, 2, 1))
    await world.use(account, calls, at(2024, 1, 5), 10)
    return world


async def look(world: World, identifier: str, now: datetime | None = None) -> Any:
    """A credit with what is held of it, and its entries."""
    return await get_credit(world.db, world.caller if now is None else world.at(now), identifier)


async def totals(world: World, now: datetime | None = None) -> list[Any]:
    caller = world.caller if now is None else world.at(now)
    items = (await listed(world, caller))[::-1]
    return [
        (one.header.status, one.document.total, [(use.id, use.amount) for use in uses_of(one.document)])
        for one in items
    ]


async def only(world: World) -> Any:
    (invoice,) = await found(world)
    return invoice


async def listed(world: World, caller: Any) -> list[Any]:
    return (await list_invoices(world.db, caller, Filters(), None, 50)).items


FEBRUARY = at(2024, 2, 10)


async def test_a_credit_is_held_by_the_draft_and_used_at_issue(make_world: MakeWorld) -> None:
    world = await shop(make_world)
    credit = await grant(world, 12)
    assert await books(world) == {"credit": -12, "discount": 12}
    assert await totals(world) == [("DRAFT", 3, [(credit.id, 12)])]
    held, entries = await look(world, credit.id)
    assert (held.held, held.credit.left, held.credit.status(world.caller.now)) == (12, 12, "ACTIVE")
    assert [(entry.kind, entry.amount, entry.invoice_id) for entry in entries] == [("CREDITED", 12, None)]
    await bill(world.db, world.at(FEBRUARY))
    ((status, total, _),) = await totals(world, FEBRUARY)
    assert (status, total) == ("DUE", 3)
    held, entries = await look(world, credit.id, FEBRUARY)
    (invoice,) = await found(world)
    assert (held.held, held.credit.consumed, held.credit.status(FEBRUARY)) == (0, 12, "CONSUMED")
    assert [(entry.kind, entry.amount, entry.invoice_id) for entry in entries[1:]] == [
        ("DEBITED", 12, invoice.header.id)
    ]
    assert await books(world) == {"discount": 12, "receivable": 3, "revenue": -15}
    assert await problems(world) == []


async def test_credits_that_pay_everything_leave_nothing_due(make_world: MakeWorld) -> None:
    world = await shop(make_world)
    credit = await grant(world, 40)
    await bill(world.db, world.at(FEBRUARY))
    assert await totals(world, FEBRUARY) == [("PAID", 0, [(credit.id, 15)])]
    assert await books(world) == {"credit": -25, "discount": 40, "revenue": -15}
    (invoice,) = await found(world)
    await move(world, invoice.header.id, "REFUND_INITIATED", FEBRUARY)
    invoice = await only(world)
    assert (invoice.header.status, invoice.header.paid_amount) == ("REFUND_COMPLETED", 0)
    held, entries = await look(world, credit.id, FEBRUARY)
    assert (held.credit.left, [entry.kind for entry in entries]) == (40, ["CREDITED", "DEBITED", "CREDITED"])
    assert await books(world) == {"credit": -40, "discount": 40}
    assert await problems(world) == []


async def test_the_wallet_pays_what_credits_leave(make_world: MakeWorld) -> None:
    world = await shop(make_world)
    await grant(world, 12)
    await put(world, 2)
    wallet: Any = await get_wallet(world.db, world.caller, "one")
    assert (wallet.posted, wallet.held, wallet.available) == (2, 2, 0)
    await put(world, 8)
    wallet = await get_wallet(world.db, world.caller, "one")
    assert (wallet.posted, wallet.held, wallet.available) == (10, 3, 7)
    await bill(world.db, world.at(FEBRUARY))
    invoice = await only(world)
    assert (invoice.header.status, invoice.header.paid_amount, invoice.document.total) == ("PAID", 3, 3)
    assert (await books(world))["wallet"] == -7
    await move(world, invoice.header.id, "REFUND_INITIATED", FEBRUARY)
    assert await books(world) == {"credit": -12, "discount": 12, "cash": 10, "wallet": -10}
    assert await problems(world) == []


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ([{"priority": 2}, {"priority": 1}], [1, 0]),
        ([{}, {"effective_until": date(2024, 6, 1)}, {"effective_until": date(2024, 5, 1)}], [2, 1]),
        ([{"effective_until": date(2024, 5, 1), "priority": 1}, {}], [1, 0]),
        ([{}, {}], [0, 1]),
    ],
)
async def test_which_credit_is_used_first(
    make_world: MakeWorld, terms: list[dict[str, Any]], expected: list[int]
) -> None:
    """Of 10 each, the first pays 10 and the second 5 of 15."""
    world = await shop(make_world)
    made = [(await grant(world, 10, **one)).id for one in terms]
    ((_, _, uses),) = await totals(world)
    assert uses == [(made[place], amount) for place, amount in zip(expected, (10, 5), strict=True)]


@pytest.mark.parametrize(
    ("start", "end", "used"),
    [
        (date(2023, 1, 1), date(2024, 1, 21), True),
        (date(2024, 2, 1), None, True),
        (date(2024, 2, 4), None, True),
        (date(2024, 2, 5), None, False),
    ],
)
async def test_credits_are_used_for_what_they_were_in_force_for(
    make_world: MakeWorld, start: date, end: date | None, used: bool
) -> None:
    """The invoice is for January, and dated 4 February: a credit must have been in force from 1 January to then."""
    world = await shop(make_world)
    credit = await grant(world, 4, effective_from=start, effective_until=end)
    before = await totals(world)
    assert bool(before[0][2]) is used
    # By then the range of the first one is over: what a draft holds does not expire.
    assert await expire_credits(world.db, world.at(at(2024, 1, 25))) == 0
    await bill(world.db, world.at(FEBRUARY))
    assert [uses for _, _, uses in await totals(world, FEBRUARY)] == [[(credit.id, 4)] if used else []]
    assert await problems(world) == []


async def test_what_is_not_used_expires_to_breakage_once(make_world: MakeWorld) -> None:
    world = await shop(make_world)
    credit = await grant(world, 20, effective_until=date(2024, 2, 1))
    assert await expire_credits(world.db, world.at(at(2024, 2, 3))) == 0, "January's invoice may still use it"
    held, _ = await look(world, credit.id, at(2024, 2, 3))
    assert (held.credit.status(at(2024, 2, 3)), held.held) == ("EXPIRED", 15)
    page = await list_credits(world.db, world.at(at(2024, 2, 3)), None, 9, status="EXPIRED")
    assert [one.credit.id for one in page.items] == [credit.id]
    await bill(world.db, world.at(FEBRUARY))
    assert sorted(await asyncio.gather(*(expire_credits(world.db, world.at(FEBRUARY)) for _ in range(4)))) == [
        0,
        0,
        0,
        1,
    ]
    assert await books(world) == {"breakage": -5, "discount": 20, "revenue": -15}
    held, entries = await look(world, credit.id, FEBRUARY)
    assert [(entry.kind, entry.amount) for entry in entries] == [("CREDITED", 20), ("DEBITED", 15), ("EXPIRED", 5)]
    rows = await world.rows(
        "select accounting_date from ledger_transaction where workspace = $1 and cause = 'credit_expiry'",
        world.caller.workspace,
    )
    assert [row["accounting_date"] for row in rows] == [date(2024, 2, 1)]
    # What comes back later expires again.
    (invoice,) = await found(world)
    await move(world, invoice.header.id, "REFUND_INITIATED", FEBRUARY)
    assert await expire_credits(world.db, world.at(FEBRUARY)) == 1
    assert await books(world) == {"breakage": -20, "discount": 20}
    assert await problems(world) == []


async def test_a_voided_credit_is_taken_back(make_world: MakeWorld) -> None:
    world = await shop(make_world)
    gift, bought = await grant(world, 20), await grant(world, 30, paid=True, priority=1)
    await bill(world.db, world.at(FEBRUARY))
    assert (await void(world, gift.id, FEBRUARY)).status(FEBRUARY) == "VOIDED"
    assert await books(world) == {"cash": 30, "credit": -30, "discount": 15, "revenue": -15}
    for identifier in (gift.id, (await grant(world, 1, effective_until=date(2024, 2, 1))).id):
        with pytest.raises(WrongState, match=identifier):
            await void(world, identifier, FEBRUARY)
    with pytest.raises(NotFound):
        await void(world, "cred.none")
    await void(world, bought.id, FEBRUARY)
    assert (await books(world))["wallet"] == -30, "what was paid for stays the customer's"
    # What an invoice gives back to a voided credit is voided with it.
    (invoice,) = await found(world)
    await move(world, invoice.header.id, "REFUND_INITIATED", FEBRUARY)
    assert await books(world) == {"cash": 30, "wallet": -30, "credit": -1, "discount": 1}
    assert await problems(world) == []


async def test_an_invoice_that_is_voided_gives_credits_back(make_world: MakeWorld) -> None:
    world = await shop(make_world)
    credit = await grant(world, 12)
    await bill(world.db, world.at(FEBRUARY))
    (invoice,) = await found(world)
    await move(world, invoice.header.id, "VOID", FEBRUARY)
    held, _ = await look(world, credit.id, FEBRUARY)
    assert (held.credit.left, held.credit.consumed, held.credit.status(FEBRUARY)) == (12, 0, "ACTIVE")
    assert await books(world) == {"credit": -12, "discount": 12}
    assert await problems(world) == []


async def test_balances(make_world: MakeWorld) -> None:
    world = await shop(make_world)
    balance: Any = await credit_balance(world.db, world.caller, "one")
    assert (balance.active, balance.available, balance.running, balance.inapplicable) == (0, 0, 0, 0)
    await grant(world, 12)
    await grant(world, 50, entities=("um.other",), priority=0)
    await grant(world, 7, effective_from=date(2024, 3, 1))
    await grant(world, 9, effective_from=date(2024, 1, 1), effective_until=date(2024, 2, 1), now=at(2024, 1, 2))
    balance = await credit_balance(world.db, world.caller, "one")
    assert (balance.active, balance.available, balance.inapplicable, balance.running) == (71, 56, 50, 6)
    later = await credit_balance(world.db, world.at(at(2024, 3, 1)), "one")
    assert later.active == 12 + 50 + 7
    with pytest.raises(NotFound):
        await credit_balance(world.db, world.caller, "nobody")


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"amount": 0}, "creditAmount"),
        ({"amount": -1}, "creditAmount"),
        ({"amount": "0.001"}, "creditAmount"),
        ({"amount": "1e26"}, "creditAmount"),
        ({"effective_from": date(2024, 2, 1), "effective_until": date(2024, 2, 1)}, "effectiveUntil"),
        ({"effective_until": date(2024, 1, 20)}, "effectiveUntil"),
        ({"account": "nobody"}, "accountId"),
    ],
)
async def test_credits_that_cannot_be(make_world: MakeWorld, terms: dict[str, Any], field: str) -> None:
    world = await shop(make_world)
    with pytest.raises(Invalid) as caught:
        await grant(world, **{"amount": 5} | terms)
    assert caught.value.field == field
    assert await books(world) == {}


async def test_one_credit_for_one_idempotency_key(make_world: MakeWorld) -> None:
    world = await shop(make_world)
    made = await asyncio.gather(*(grant(world, 5, idempotency_key="k") for _ in range(10)))
    assert len({credit.id for credit in made}) == 1
    assert await books(world) == {"credit": -5, "discount": 5}
    for other in ({"amount": 6}, {"priority": 1}, {"entities": ("x",)}, {"effective_until": date(2025, 1, 1)}):
        with pytest.raises(Taken, match="'k'"):
            await grant(world, **{"amount": 5, "idempotency_key": "k"} | other)
    assert await problems(world) == []


async def test_drafts_and_advances_share_a_credit_in_the_order_of_their_dates(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 1, 1))
    calls, fee = await world.meter("calls"), await world.fee("support", 5, in_advance=True)
    plan = await world.plan("plan", [card(calls, [(0, "PER_UNIT", 1)])], fees=[fee])
    account = await world.account("one")
    await world.associate("one", plan, date(2024, 1, 1), date(2024, 3, 1))
    await world.use(account, calls, at(2024, 1, 5), 10)
    credit = await grant(world, 12)
    shown = {one.header.type: one.document.total for one in await listed(world, world.caller)}
    assert shown == {"STANDARD_ADVANCED": 0, "STANDARD": 3}
    await bill(world.db, world.caller)
    assert await books(world) == {"credit": -7, "discount": 12, "deferred": -5}
    await bill(world.db, world.at(FEBRUARY))
    by_type: list[Any] = sorted((one.header.type, one.header.status, one.document.total) for one in await found(world))
    # The fee of February fell due three days before the invoice for January.
    assert ("STANDARD", "DUE", 8) in by_type
    assert [str(total) for _, _, total in by_type] == ["0", "8", "0", "0"], "documents have no idle zeros"
    assert (await look(world, credit.id, FEBRUARY))[0].credit.left == 0
    assert await problems(world) == []


async def test_sixty_four_invoices_never_use_more_than_there_is(make_world: MakeWorld) -> None:
    """Each uses 15 of a credit of 100 that all find at once."""
    world = await shop(make_world)
    credit = await grant(world, 100)
    (draft,) = await found(world)
    whole = msgspec.structs.replace(draft.document, credits=msgspec.UNSET, total=D(15))

    async def one(n: int) -> Decimal:
        document = msgspec.structs.replace(whole, id=f"inv.{n}")
        async with world.db.transaction(world.caller.workspace) as connection:
            (made,) = await use_credits(connection, world.caller, [(draft.header.account, document)])
            return whole.total - made.total

    used = await asyncio.gather(*(one(n) for n in range(64)))
    assert sorted(used)[-7:] == [10, *[15] * 6]
    assert sum(used) == 100
    (row,) = await world.rows("select consumed from credit where wire_id = $1", credit.id)
    assert row["consumed"] == 100
    assert any(credit.id in text for text in await problems(world)), "nobody posted these uses"
    # They are undone, so that the tests of others find everything as it should be.
    for n in range(64):
        async with world.db.transaction(world.caller.workspace) as connection:
            await credit_service.give_back(connection, world.caller, f"inv.{n}")
    assert await problems(world) == []


def test_what_lines_are_called(draft: Document) -> None:
    usage, fee = draft.lines
    assert usage.price_version is not None
    assert usage.meter is not None
    plan = usage.price_version.price_plan_id
    assert fee.fee is not None
    assert entities(usage) == {plan, usage.meter.id, ALL_USAGE}
    assert entities(fee) == {plan, fee.fee.add_on_id, ALL_FEES}


@pytest.fixture
async def draft(make_world: MakeWorld) -> Document:
    return (await found(await shop(make_world)))[0].document


NAMES = ("plan", "meter", "addon", "other", ALL_USAGE, ALL_FEES)
_some = st.lists(
    st.tuples(st.integers(1, 20), st.integers(0, 2), st.lists(st.sampled_from(NAMES), max_size=2)), max_size=5
)


def _credit_of(place: int, amount: int, priority: int, names: list[str], of: dict[str, str]) -> Credit:
    return Credit(
        key=place, id=f"cred.{place}", account=1, account_id="one", customer_id="one", currency="USD", zone="UTC",
        purpose="", entities=tuple(of.get(name, name) for name in names), priority=priority,
        effective_from=date(2024, 1, 1), effective_until=None, starts_at=at(2024, 1, 1), ends_at=None, grantor_id=None,
        idempotency_key=None, granted=D(amount), paid=D(0), consumed=D(0), lapsed=D(0), voided=False,
        created_at=at(2024, 1, 1), updated_at=at(2024, 1, 1),
    )  # fmt: skip


async def test_units_given_out_one_by_one_come_to_the_same(draft: Document) -> None:
    """The oracle knows nothing of sums: each dollar of each credit goes to the first line that takes it."""
    usage, fee = draft.lines
    assert usage.price_version is not None
    assert usage.meter is not None
    assert fee.fee is not None
    of = {"plan": usage.price_version.price_plan_id, "meter": usage.meter.id, "addon": fee.fee.add_on_id}

    @settings(deadline=None)
    @given(_some)
    def check(some: list[tuple[int, int, list[str]]]) -> None:
        some_credits = sorted((_credit_of(place, *one, of) for place, one in enumerate(some)), key=Credit.order)
        expected: dict[tuple[str, int], int] = {}
        open_of = {1: int(usage.amount), 2: int(fee.amount)}
        called = {1: {of["plan"], of["meter"], ALL_USAGE}, 2: {of["plan"], of["addon"], ALL_FEES}}
        for credit in sorted(some_credits, key=lambda one: (one.priority, one.key)):
            for _ in range(int(credit.granted)):
                for line in (1, 2):
                    fits = not credit.entities or bool(called[line].intersection(credit.entities))
                    if fits and open_of[line]:
                        open_of[line] -= 1
                        expected[credit.id, line] = expected.get((credit.id, line), 0) + 1
                        break
        left = {credit.key: credit.left for credit in some_credits}
        made = credited(draft, some_credits, left)
        assert {(use.id, part.number): part.amount for use in uses_of(made) for part in use.lines} == expected
        assert made.total == sum(open_of.values())
        assert all(left[credit.key] >= 0 for credit in some_credits)

    check()


async def test_verify_sees_credits_that_do_not_fit(make_world: MakeWorld) -> None:
    world = await shop(make_world)
    credit = await grant(world, 20)
    for change in ("consumed = 1", "lapsed = 1", "granted = 21"):
        await world.rows(f"update credit set {change} where wire_id = $1 returning key", credit.id)
        assert any(credit.id in text for text in await problems(world))
        await world.rows(
            "update credit set granted = 20, consumed = 0, lapsed = 0 where wire_id = $1 returning key", credit.id
        )
    assert await problems(world) == []


async def test_a_credit_that_is_added_to(make_world: MakeWorld) -> None:
    world = await shop(make_world)
    credit = await grant(world, 5)
    async with world.db.transaction(world.caller.workspace) as connection:
        await credit_service.add(connection, world.caller, credit.key, D(7))
    held, entries = await look(world, credit.id)
    assert (held.credit.granted, held.credit.paid, [entry.amount for entry in entries]) == (12, 7, [5, 7])
    assert await books(world) == {"cash": 7, "credit": -12, "discount": 5}
    await void(world, credit.id)
    assert await books(world) == {"cash": 7, "wallet": -7}
    assert await problems(world) == []
