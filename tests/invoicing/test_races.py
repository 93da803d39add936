"""Bill runs in processes of their own: at once, and killed in the middle."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from bursar.core.caller import Caller
from bursar.db.database import Database
from bursar.invoicing.billing import Hand, _close_some, bill
from bursar.invoicing.document import frozen
from bursar.invoicing.issuing import Issued
from bursar.invoicing.opening import open_cycles
from bursar.invoicing.verify import CHECKS
from bursar.ledger import verify as ledger
from bursar.runtime import hands as further
from bursar.runtime.hand import Order
from tests.conftest import broken
from tests.invoicing.conftest import MakeWorld
from tests.invoicing.world import World, at, card

ACCOUNTS = int(os.environ.get("BURSAR_RACE_ACCOUNTS", "300"))

SHARES = (ACCOUNTS // 15, ACCOUNTS * 2 // 15, ACCOUNTS * 2 // 15)
"""After how many invoices of its own each of two runs is killed."""


async def biller(dsn: str, world: World, now: datetime, batch: int, stand: int = 0) -> Process:
    arguments = (dsn, str(world.caller.workspace), now.isoformat(), str(batch), str(stand))
    root = Path(__file__).parents[2]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.invoicing.biller", *arguments, stdin=PIPE, stdout=PIPE, cwd=root
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 120) == b"ready\n"
    return process


def start(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.write(b"go\n")


async def _line(process: Process) -> bytes:
    assert process.stdout is not None
    return await process.stdout.readline()


async def output(process: Process) -> int:
    stdout, _ = await asyncio.wait_for(process.communicate(), 60 + ACCOUNTS / 10)
    assert process.returncode == 0
    return int(stdout.split()[-1])


async def check(world: World, cycles: int) -> None:
    rows = await world.rows(
        "select number, content from invoice_document where workspace = $1 order by number", world.caller.workspace
    )
    assert [row["number"] for row in rows] == list(range(1, ACCOUNTS * cycles + 1)), "no number missing, none twice"
    documents = [frozen(row["content"]) for row in rows]
    per_cycle = Counter((d.account.id, d.start_date) for d in documents)
    assert set(per_cycle.values()) == {1}
    assert len(per_cycle) == ACCOUNTS * cycles
    # Account n used n units in January, at a tenth each.
    january = {d.account.id: d.total for d in documents if d.start_date == at(2024, 1, 1)}
    assert january == {f"a{n}": Decimal(n) / 10 for n in range(ACCOUNTS)}
    assert await broken(world.db, world.caller, [*CHECKS, *ledger.CHECKS]) == []


async def documents_of(world: World) -> int:
    rows = await world.rows("select count(*) from invoice_document where workspace = $1", world.caller.workspace)
    return int(rows[0][0])


async def test_four_runs_at_once_and_runs_that_are_killed(
    make_world: MakeWorld, books_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await make_world(at(2024, 2, 10))
    meter = await world.meter("units")
    plan = await world.plan("plan", [card(meter, [(0, "PER_UNIT", "0.1")])])

    async def make(n: int) -> None:
        account = await world.account(f"a{n}")
        await world.associate(f"a{n}", plan, date(2024, 1, 1))
        if n:
            await world.use(account, meter, at(2024, 1, 20), n)

    gate = asyncio.Semaphore(6)

    async def bounded(n: int) -> None:
        async with gate:
            await make(n)

    await asyncio.gather(*(bounded(n) for n in range(ACCOUNTS)))

    runs = await asyncio.gather(*(biller(books_dsn, world, at(2024, 2, 10), 10) for _ in range(4)))
    for run in runs:
        start(run)
    shares = await asyncio.gather(*(output(run) for run in runs))
    assert sum(shares) == ACCOUNTS
    assert sum(share > 0 for share in shares) > 1, "they were at it together"
    await check(world, 1)

    # February: three times two runs at once that are killed when each has issued some; then one that is left alone.
    for share in SHARES:
        pair = [await biller(books_dsn, world, at(2024, 3, 10), 7, share) for _ in range(2)]
        for run in pair:
            start(run)
        lines = {asyncio.create_task(_line(run)): run for run in pair}
        while lines:
            # Whichever stands first is killed at once: it may hold what the other one waits for.
            done, _ = await asyncio.wait(lines, timeout=60 + ACCOUNTS / 10, return_when=asyncio.FIRST_COMPLETED)
            assert done, "they stand somewhere"
            for task in done:
                assert task.result() == b"stands\n"
                run = lines.pop(task)
                run.kill()
                assert await run.wait() == -9
    left = 2 * ACCOUNTS - await documents_of(world)
    assert 0 < left <= ACCOUNTS - 2 * sum(SHARES)
    assert (await bill(world.db, world.at(at(2024, 3, 10)))).issued >= left - 14
    await check(world, 2)
    await _with_hands(world, monkeypatch)


async def _with_hands(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Further processes of a run: what they issue counts as the run's own, and one that is lost leaves nothing out."""
    started: list[Process] = []

    async def noted(order: Order) -> Process:
        started.append(await start_hand(order))
        return started[-1]

    start_hand = further._start
    monkeypatch.setattr(further, "_start", noted)
    monkeypatch.setattr(further, "FROM", ACCOUNTS)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)

    march = world.at(at(2024, 4, 10))
    async with further.hands(world.db, march, march.now, ACCOUNTS) as (hand,):
        await open_cycles(world.db, march, march.now)
        while await _close_some(world.db, march, march.now):
            pass
        told: list[int] = []
        issued = await asyncio.wait_for(hand(told.append), 60 + ACCOUNTS / 10)
    assert issued == Issued(ACCOUNTS, 2 * ACCOUNTS + 1, 3 * ACCOUNTS, [])
    assert sum(told) == ACCOUNTS
    assert started[0].returncode is not None, "it ends with the run"
    await check(world, 3)

    @asynccontextmanager
    async def lost(db: Database, caller: Caller, as_of: datetime, due: int) -> AsyncIterator[Sequence[Hand]]:
        async with further.hands(db, caller, as_of, due) as others:
            started[-1].kill()
            await started[-1].wait()
            yield others

    for month, offer in ((5, lost), (6, further.hands)):
        report = await bill(world.db, world.at(at(2024, month, 10)), hands=offer)
        assert report.issued == ACCOUNTS
        assert (report.first, report.last) == (
            f"INV-{(month - 2) * ACCOUNTS + 1:06d}",
            f"INV-{(month - 1) * ACCOUNTS:06d}",
        )
        await check(world, month - 1)
    assert len(started) == 3
