"""Bill runs over real schedules and rollups."""

import asyncio
from datetime import date, timedelta
from decimal import Decimal

import msgspec
import pytest

from bursar.accounts.model import AccountChange
from bursar.accounts.service import update_account
from bursar.catalog.definitions import CycleDefinition
from bursar.core.errors import Invalid, NotFound, WrongState
from bursar.db.verify import Check
from bursar.invoicing.billing import BillReport, bill
from bursar.invoicing.document import frozen, pack, unpack
from bursar.invoicing.service import Filters, Invoice, explain_line, get_invoice, list_invoices
from bursar.invoicing.verify import CHECKS
from bursar.ledger import verify as ledger
from bursar.purchases import service as purchases
from bursar.purchases.service import Disassociate
from tests.conftest import broken, broken_after
from tests.invoicing.conftest import MakeWorld
from tests.invoicing.world import World, at, card

UNIT = [(0, "PER_UNIT", "0.10")]


async def invoices(world: World, filters: Filters | None = None) -> list[Invoice]:
    found = await list_invoices(world.db, world.caller, filters or Filters(), None, 50)
    return found.items[::-1]


async def problems(world: World, checks: list[Check] | None = None) -> list[str]:
    return await broken(world.db, world.caller, checks or [*CHECKS, *ledger.CHECKS])


async def shop(make_world: MakeWorld, now: object = None, **plan: object) -> tuple[World, int]:
    """An account on a plan since 1 January 2024 at ten cents a unit, with 123.45 units in January."""
    world = await make_world(now or at(2024, 2, 10))
    meter = await world.meter("units")
    made = await world.plan("plan", [card(meter, UNIT)], **plan)  # type: ignore[arg-type]
    account = await world.account("acme")
    await world.associate("acme", made, date(2024, 1, 1))
    await world.use(account, meter, at(2024, 1, 5, 10), "123.45")
    return world, account


async def test_a_cycle_becomes_a_draft_and_then_an_invoice(make_world: MakeWorld) -> None:
    world, account = await shop(make_world)
    january, february = await invoices(world)
    assert [i.header.status for i in (january, february)] == ["DRAFT", "DRAFT"]
    assert (january.document.start_date, january.document.end_date) == (at(2024, 1, 1), at(2024, 2, 1))
    assert january.document.total == Decimal("12.34")
    assert january.document.invoice_date == at(2024, 2, 4), "issued as grace ends"
    assert january.document.sequence_id is None
    report = await bill(world.db, world.caller)
    assert (report.issued, report.first, report.last) == (1, "INV-000001", "INV-000001")
    issued = await get_invoice(world.db, world.caller, january.header.id)
    assert issued.header.status == "DUE"
    assert issued.document == msgspec.structs.replace(january.document, sequence_id="INV-000001")
    closed = (await world.rows("select closed_from, closed_until from account where key = $1", account))[0]
    assert tuple(closed) == (at(2024, 1, 1), at(2024, 2, 1))
    assert await problems(world) == []


async def test_postings_of_an_issue(make_world: MakeWorld) -> None:
    world, account = await shop(make_world)
    await bill(world.db, world.caller)
    rows = await world.rows(
        "select a.kind, a.account, p.amount, t.accounting_date, t.cause from posting p"
        " join ledger_account a on a.key = p.ledger_account join ledger_transaction t on t.key = p.transaction"
        " where p.workspace = $1 order by p.line",
        world.caller.workspace,
    )
    assert [tuple(row) for row in rows] == [
        ("receivable", account, Decimal("12.34"), date(2024, 1, 31), "invoice"),
        ("revenue", None, Decimal("-12.345"), date(2024, 1, 31), "invoice"),
        ("rounding", None, Decimal("0.005"), date(2024, 1, 31), "invoice"),
    ]


async def test_twice_bills_once(make_world: MakeWorld) -> None:
    world, _ = await shop(make_world)
    assert (await bill(world.db, world.caller)).issued == 1
    again = await bill(world.db, world.caller)
    assert (again.opened, again.issued, again.failed) == (0, 0, [])
    assert len(await invoices(world)) == 2


async def test_nothing_is_due_before_grace_ends(make_world: MakeWorld) -> None:
    world, _ = await shop(make_world)
    assert (await bill(world.db, world.at(at(2024, 2, 4) - timedelta(microseconds=1)))).issued == 0
    assert (await bill(world.db, world.at(at(2024, 2, 4)))).issued == 1


async def test_as_of_bills_what_was_due_then(make_world: MakeWorld) -> None:
    world, _ = await shop(make_world, at(2024, 6, 10))
    with pytest.raises(Invalid, match="asOf"):
        await bill(world.db, world.caller, at(2024, 6, 11))
    assert (await bill(world.db, world.caller, at(2024, 3, 10))).issued == 2
    progress: list[tuple[int, int]] = []
    report = await bill(world.db, world.caller, progress=lambda done, due: progress.append((done, due)))
    assert (report.issued, report.first, report.last) == (3, "INV-000003", "INV-000005")
    assert progress == [(1, 3), (2, 3), (3, 3)], "the cycles of an account are issued one after the other"
    numbers = [(i.document.start_date.month, i.document.sequence_id) for i in await invoices(world)]
    assert numbers == [(n, f"INV-{n:06d}") for n in range(1, 6)] + [(6, None)]
    assert await problems(world) == []


async def test_an_empty_invoice_is_issued_as_paid(make_world: MakeWorld) -> None:
    world, _ = await shop(make_world, at(2024, 3, 10))
    await bill(world.db, world.caller)
    assert [i.header.status for i in await invoices(world)] == ["DUE", "PAID", "DRAFT"]
    assert await problems(world) == []


async def test_late_usage_counts_until_issue_and_a_frozen_document_stays(make_world: MakeWorld) -> None:
    world, account = await shop(make_world)
    january = (await invoices(world))[0]
    await bill(world.db, world.caller)
    frozen = await get_invoice(world.db, world.caller, january.header.id)
    await world.rows("update usage_day set quantity = quantity + 1 where account = $1", account)
    async with world.db.transaction(world.caller.workspace) as connection:
        await update_account(connection, world.caller, "acme", AccountChange(name="Renamed", net_term_days=30))
    assert (await get_invoice(world.db, world.caller, january.header.id)).document == frozen.document
    found = await problems(world)
    assert len(found) == 1
    assert january.header.id in found[0], "usage that changed after issue is found"
    await world.rows("update usage_day set quantity = quantity - 1 where account = $1", account)
    assert await problems(world) == []


async def test_terms_and_zone_of_an_account(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 4, 20))
    meter = await world.meter("units")
    plan = await world.plan("plan", [card(meter, UNIT)])
    account = await world.account("ny", zone="America/New_York", net_term_days=15)
    await world.associate("ny", plan, date(2024, 3, 1), date(2024, 4, 1))
    await world.use(account, meter, at(2024, 3, 1, 4, 45), 1000)
    await world.use(account, meter, at(2024, 3, 1, 5), 1)
    await world.use(account, meter, at(2024, 4, 1, 3, 45), 2)
    await world.use(account, meter, at(2024, 4, 1, 4), 4000)
    (march,) = await invoices(world)
    assert (march.document.start_date, march.document.end_date) == (at(2024, 3, 1, 5), at(2024, 4, 1, 4))
    assert march.document.lines[0].quantity == 3
    assert march.document.invoice_date == at(2024, 4, 4, 4)
    assert march.document.due_date == at(2024, 4, 19, 4)
    assert march.document.net_term_days == 15
    assert march.document.timezone == "America/New_York"


async def test_a_stub_prorates_the_commitment(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 2, 10))
    plan = await world.plan("plan", [], commitment=100)
    await world.account("acme")
    await world.associate("acme", plan, date(2024, 1, 22), date(2024, 2, 5))
    # 10 of 31 days; 4 of 29 days
    assert [i.document.total for i in await invoices(world)] == [Decimal("32.25"), Decimal("13.79")]


async def test_drafts_follow_a_change_of_plan(make_world: MakeWorld) -> None:
    world, account = await shop(make_world, at(2024, 2, 20))
    before = await invoices(world)
    meter = await world.meter("other")
    await world.use(account, meter, at(2024, 2, 15), 7)
    other = await world.plan("other", [card(meter, [(0, "PER_UNIT", 3)])], cycle=CycleDefinition("MONTHLY", 0))
    await world.associate("acme", other, date(2024, 2, 15))
    same = await get_invoice(world.db, world.caller, before[1].header.id)
    assert same.document.end_date == at(2024, 2, 15), "the draft ends where the new plan begins, under its id"
    after = await invoices(world)
    assert [i.header.id for i in after[:2]] == [i.header.id for i in before]
    assert [(i.document.start_date, i.document.total) for i in after[2:]] == [(at(2024, 2, 15), Decimal(21))]
    assert await problems(world) == []
    # From the very start of the cycle: the old draft is gone.
    await world.associate("acme", other, date(2024, 2, 1))
    final = await invoices(world)
    assert [i.document.start_date for i in final] == [at(2024, 1, 1), at(2024, 2, 1)]
    with pytest.raises(NotFound):
        await get_invoice(world.db, world.caller, before[1].header.id)
    assert await problems(world) == []


async def test_a_plan_taken_away_takes_its_drafts(make_world: MakeWorld) -> None:
    world, _ = await shop(make_world, at(2024, 3, 20))
    before = await invoices(world)
    command = Disassociate("acme", date(2024, 2, 1), date(2024, 3, 1))
    async with world.db.transaction(world.caller.workspace) as connection:
        await purchases.disassociate(connection, world.caller, command)
    after = await invoices(world)
    assert [i.header.id for i in after] == [before[0].header.id, before[2].header.id]
    assert (await bill(world.db, world.caller)).issued == 1
    assert await problems(world) == []


async def test_invoiced_time_cannot_change(make_world: MakeWorld) -> None:
    world, _ = await shop(make_world)
    await bill(world.db, world.caller)
    plan = await world.plan("other", [], commitment=1)
    for start in (date(2023, 12, 1), date(2024, 1, 31)):
        with pytest.raises(WrongState, match="invoiced until 2024-02-01T00:00:00Z"):
            await world.associate("acme", plan, start)
    await world.associate("acme", plan, date(2024, 2, 1))
    assert await problems(world) == []


async def test_an_earlier_cycle_with_longer_grace_is_waited_for(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 3, 2))
    await world.account("acme")
    patient = await world.plan("patient", [], commitment=1, cycle=CycleDefinition("MONTHLY", 60))
    hasty = await world.plan("hasty", [], commitment=2, cycle=CycleDefinition("MONTHLY", 0))
    await world.associate("acme", patient, date(2024, 1, 1))
    await world.associate("acme", hasty, date(2024, 2, 1))
    assert (await bill(world.db, world.caller)).issued == 0, "February waits for the grace of January"
    assert (await bill(world.db, world.at(at(2024, 4, 1)))).issued == 3
    numbers = [(i.document.start_date.month, i.document.sequence_id) for i in await invoices(world)]
    assert numbers[:3] == [(1, "INV-000001"), (2, "INV-000002"), (3, "INV-000003")]
    assert await problems(world) == []


async def test_what_cannot_be_posted_stays_a_draft_and_stops_nobody(make_world: MakeWorld) -> None:
    world, _ = await shop(make_world)
    meter = await world.meter("huge")
    plan = await world.plan("huge", [card(meter, [(0, "PER_UNIT", 10)])])
    big = await world.account("big")
    await world.associate("big", plan, date(2024, 1, 1))
    await world.use(big, meter, at(2024, 1, 2), 10**25)
    report = await bill(world.db, world.caller)
    assert report.issued == 1
    (stuck,) = await invoices(world, Filters(status="DRAFT", account_id="big", starts_before=at(2024, 2, 1)))
    assert report.failed == [stuck.header.id]
    assert await problems(world) == []


async def test_lists_filter_and_page(make_world: MakeWorld) -> None:
    world, _ = await shop(make_world, at(2024, 4, 10))
    other = await world.plan("other", [], commitment=5)
    await world.account("beta")
    await world.associate("beta", other, date(2024, 3, 1))
    await bill(world.db, world.caller)

    async def months(**filters: object) -> list[tuple[str, int]]:
        found = await invoices(world, Filters(**filters))  # type: ignore[arg-type]
        return sorted((i.document.account.id, i.document.start_date.month) for i in found)

    everything = [("acme", 1), ("acme", 2), ("acme", 3), ("acme", 4), ("beta", 3), ("beta", 4)]
    assert await months() == everything
    assert await months(status="DRAFT") == [("acme", 4), ("beta", 4)]
    assert await months(account_id="beta") == everything[4:]
    assert await months(customer_id="of-acme") == everything[:4]
    assert await months(starts_from=at(2024, 3, 1), starts_before=at(2024, 4, 1)) == [("acme", 3), ("beta", 3)]
    assert await months(account_id="nobody") == []
    walked: list[str] = []
    after = None
    while True:
        page = await list_invoices(world.db, world.caller, Filters(), after, 4)
        walked += [i.header.id for i in page.items]
        after = page.after
        if after is None:
            break
    assert len(walked) == len(set(walked)) == 6
    for hostile in ("x", "-1", "1" * 30, "²"):
        with pytest.raises(Invalid):
            await list_invoices(world.db, world.caller, Filters(), hostile, 4)


async def test_workspaces_do_not_meet(make_world: MakeWorld) -> None:
    world, _ = await shop(make_world)
    stranger = await make_world(at(2024, 2, 10))
    (january, _) = await invoices(world)
    assert await invoices(stranger) == []
    assert (await bill(stranger.db, stranger.caller)).issued == 0
    with pytest.raises(NotFound):
        await get_invoice(stranger.db, stranger.caller, january.header.id)
    with pytest.raises(NotFound):
        await explain_line(stranger.db, stranger.caller, january.header.id, 1, None, 10)


async def test_readers_billers_and_changes_at_once(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 2, 10))
    plans = [await world.plan(f"p{n}", [], commitment=n + 1) for n in range(3)]
    for n in range(12):
        await world.account(f"a{n}")
        await world.associate(f"a{n}", plans[0], date(2023, 12, 1))

    async def change(n: int) -> None:
        for turn in range(4):
            try:
                await world.associate(f"a{n}", plans[(n + turn) % 3], date(2024, 1, 1 + 7 * turn))
            except WrongState:
                return

    async def run() -> BillReport:
        return await bill(world.db, world.caller, batch=3)

    results = await asyncio.gather(run(), run(), *(change(n) for n in range(12)), invoices(world), run())
    await run()
    issued = sum(r.issued for r in results if isinstance(r, BillReport))
    assert issued >= 12
    assert await problems(world) == []
    rows = await world.rows("select content from invoice_document where workspace = $1", world.caller.workspace)
    december = [d for d in (frozen(r["content"]) for r in rows) if d.start_date == at(2023, 12, 1)]
    assert sorted(d.account.id for d in december) == sorted(f"a{n}" for n in range(12))


TAMPERING = [
    ("update invoice_document set content = ''", "I7"),
    ("update invoice_document set content = parties", "I7"),
    (f"update invoice_document set content = '\\x{pack([b'{}'])[0].hex()}'", "I7"),
    ("update invoice_document set number = number + 1", "I5"),
    ("delete from invoice_document", "I5"),
    ("update invoice_document set total = 1", "I6"),
    ("update invoice set starts_at = starts_at + interval '1 day' where status = 'DUE'", "I5"),
    ("delete from invoice where status = 'DRAFT'", "I5"),
    ("update invoice set ends_at = ends_at + interval '1 hour' where status = 'DUE'", "I5"),
    ("update invoice set status = 'DUE' where status = 'DRAFT'", "I5"),
    ("update posting set amount = amount * 2", "I6"),
    ("update posting set amount = amount + 1 where line = 1", "I3"),
    ("update ledger_balance set balance = balance + 1", "I3"),
    ("delete from ledger_balance", "I3"),
    ("update usage_day set quantity = quantity * 2", "I6"),
    ("update invoice_series set next = next + 1", "I5"),
]


async def test_the_checks_find_a_document_whose_text_was_edited(make_world: MakeWorld) -> None:
    world, _ = await shop(make_world)
    await bill(world.db, world.caller)
    async with world.db.transaction(None) as connection:
        kept = await connection.fetch(
            "select invoice, content from invoice_document where workspace = $1", world.caller.workspace
        )
        for key, content in kept:
            text = unpack(content)
            edited = text.replace(b'"total":12.34', b'"total":12.35')
            await connection.execute("set local session_replication_role = replica")
            await connection.execute(
                "update invoice_document set content = $2 where invoice = $1", key, *pack([edited])
            )
            found = {check.invariant for check in CHECKS if await check.run(connection)}
            assert ("I7" in found) is (edited != text)
            await connection.execute("update invoice_document set content = $2 where invoice = $1", key, *pack([text]))
            await connection.execute("set local session_replication_role = origin")
    assert any(b'"total":12.34' in unpack(content) for _, content in kept)
    assert await problems(world) == []


@pytest.mark.parametrize(("statement", "invariant"), TAMPERING)
async def test_the_checks_find_what_is_wrong(make_world: MakeWorld, statement: str, invariant: str) -> None:
    world, _ = await shop(make_world)
    await bill(world.db, world.caller)
    damage = f"{statement}{' and ' if ' where ' in statement else ' where '}workspace = $1"
    found = await broken_after(world.db, world.caller, [*CHECKS, *ledger.CHECKS], damage, world.caller.workspace)
    assert invariant in {check.invariant for check, problems in found.items() if problems}
    assert await problems(world) == []
