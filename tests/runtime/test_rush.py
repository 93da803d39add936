"""All at once, at two server processes: nothing is granted twice, nothing is spent twice, whoever is killed meanwhile.

`make chaos` repeats each of these twenty times.
"""

import asyncio
import itertools
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.http.togai.catalog import event
from tests.postgres import open_folder
from tests.runtime.program import Program, postmaster
from tests.runtime.stand import HOLDS, NOON, PACK, PATIENCE, PRICE, Hand, Place, Stand
from tests.runtime.test_kill import any_backend, end

pytestmark = pytest.mark.again

WRITERS = 64
TURNS = 5
DRIP = 4
TWINS = 100
PROPOSALS = 24
HANDS = 8
KILLS = min(8, int(os.environ.get("BURSAR_KILLS", "4")))
MORE = 4
"""Kills more at most, where those met no request."""

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """One program for all."""
    with open_folder() as folder:
        running = Program(folder, "--workers", "2")
        running.ready()
        made = Place(folder, running)
        yield made
        made.running.terminate()


def sum_of(hands: list[Hand], name: str) -> Decimal:
    return sum((getattr(hand, name) for hand in hands), Decimal(0))


async def _spend(hand: Hand, stand: Stand, number: int) -> None:
    for turn in range(TURNS):
        match (number + 5 * turn) % 16:
            case 0:
                await hand.buy()
            case 1 | 2 | 3 | 4 | 5:
                await hand.use()
            case 6 | 7 | 8 | 9 | 10:
                await hand.hold(stand.feature, 1.5, None if turn == 1 else 0.25 if number % 2 else 1.5)
            case _:
                await hand.hold(None, 1.5, None if turn == 1 else 0.5 if number % 2 else 1.5)


async def _drip(hand: Hand, spending: asyncio.Event) -> None:
    """Give a little to what is being spent, again and again: it comes to nothing many times, not once."""
    while spending.is_set():
        await asyncio.gather(hand.top_up(DRIP), hand.give(DRIP), asyncio.sleep(0.1))


async def test_64_writers_spend_one_grant_and_one_wallet_down_to_nothing(place: Place) -> None:
    stand = await asyncio.to_thread(Stand.make, place, f"spent-{next(_numbers)}", 10, 10)
    spending = asyncio.Event()
    spending.set()
    async with stand.client(WRITERS + 2) as http:
        hands = [Hand(stand, http, f"w{number}") for number in range(WRITERS)]
        dripping = Hand(stand, http, "drip")
        task = asyncio.create_task(_drip(dripping, spending))
        await asyncio.gather(*(_spend(hand, stand, number) for number, hand in enumerate(hands)))
        spending.clear()
        await task
    refused = Counter(kind for hand in hands for kind, _ in hand.refused)
    assert refused["use"] > 0
    assert refused["hold"] > 0
    assert any(hand.waiting for hand in hands), "the wallet did not cover a pack"
    bought = [name for hand in hands for name in hand.bought]
    assert await stand.left(stand.feature) == dripping.given - sum_of(hands, "used") - sum_of(hands, "settled") >= 0
    assert await stand.left(stand.spare) == PACK * len(bought)
    assert await stand.money() == 10 + dripping.paid_in - sum_of(hands, "spent") - PRICE * len(bought) >= 0
    assert await stand.events() == sum_of(hands, "used")
    entries = await stand.entries()
    assert min(entry["closingBalance"] for entry in entries) >= 0, "nor was it below nothing at any moment"
    assert len(entries) == 1 + dripping.paid_in / DRIP + len(bought) + sum(hand.settlements for hand in hands)
    assert (await stand.read(f"{HOLDS}?status=OPEN"))["holds"] == []
    await asyncio.to_thread(place.holds)


async def _twins(stand: Stand, method: str, path: str, body: Any = None, key: str | None = None) -> Any:
    """What the same request is answered, sent a hundred times at once."""
    async with stand.client(TWINS) as http:
        sent = [stand.send(http, method, path, body, key) for _ in range(TWINS)]
        answers = await asyncio.gather(*sent)
    assert {status for status, _ in answers} in ({200}, {201}), answers[0]
    if key is not None:
        assert all(found == answers[0][1] for _, found in answers)
    return answers[0][1]


async def test_a_hundred_twins_of_each_kind_have_one_effect(place: Place) -> None:
    stand = await asyncio.to_thread(Stand.make, place, f"twins-{next(_numbers)}", 100, 20)
    pack = {"pricePlanId": stand.pack}
    first = await _twins(stand, "POST", "/accounts/acme/purchases", pack, "k1")
    second = await _twins(stand, "POST", "/accounts/acme/purchases", pack | {"idempotencyKey": "k2"})
    proposal = pack | {"type": "ENTITLEMENT_GRANT", "paymentMode": "PREPAID"}
    third = await _twins(stand, "POST", "/accounts/acme/purchase_proposals", proposal, "k3")
    await _twins(stand, "POST", f"/purchase_proposals/{third['id']}/update_status", {"status": "APPROVE"})
    *bought, _ = await stand.purchases()
    assert [one["id"] for one in bought] == [third["id"], second["id"], first["id"]]
    assert {one["status"] for one in bought} == {"SUCCESS"}
    assert await stand.left(stand.spare) == 3 * PACK
    assert await stand.money() == 100 - 3 * PRICE

    await _twins(stand, "POST", "/accounts/acme/wallet_topup", {"topupAmount": 5}, "k4")
    body: dict[str, Any] = {"accountId": "acme", "amount": 7, "expiresIn": 60}
    money = await _twins(stand, "POST", HOLDS, body, "k5")
    units = await _twins(stand, "POST", HOLDS, body | {"featureId": stand.feature}, "k6")
    await _twins(stand, "POST", f"{HOLDS}/{money['id']}/settle", {"amount": 3}, "k7")
    await _twins(stand, "POST", f"{HOLDS}/{units['id']}/release", None, "k8")
    await _twins(stand, "POST", "/entitled", {"event": event("one", NOON, tokens=4)}, "k9")
    reference = {"sourceName": "Bank", "sourceType": "BANK_TRANSFER", "transactionNumber": "T-1"}
    body = {"accountId": "acme", "currency": "USD", "totalAmount": 11, "externalPaymentReference": reference}
    line = {"type": "WALLET_CREDIT", "order": 1}
    await _twins(stand, "POST", "/payments", body | {"lineItemRecords": [line]}, "k10")
    assert await stand.left(stand.feature) == 16
    assert await stand.events() == 1
    assert await stand.money() == 100 - 3 * PRICE + 5 - 3 + 11
    assert len(await stand.entries()) == 1 + 3 + 1 + 1 + 1
    await asyncio.to_thread(place.holds)


async def test_approving_declining_and_expiring_race(place: Place) -> None:
    """The clock moves on to the instant at which proposals end, while they are answered by both processes."""
    stand = await asyncio.to_thread(Stand.make, place, f"race-{next(_numbers)}", 100, 1)
    body = {"type": "ENTITLEMENT_GRANT", "paymentMode": "PREPAID", "pricePlanId": stand.pack}
    ends = {"expiryDate": "2024-05-31T13:00:00Z"}
    draw = random.Random(next(_numbers))
    async with stand.client() as http:
        made = await asyncio.gather(
            *(stand.send(http, "POST", "/accounts/acme/purchase_proposals", body | ends) for _ in range(PROPOSALS))
        )
        proposals = [found["id"] for _, found in made]
        await Hand(stand, http, "early").approve(proposals.pop())
        late = proposals.pop()

        async def answered(proposal: str, answer: str) -> int:
            await asyncio.sleep(draw.uniform(0, 0.6))
            path = f"/purchase_proposals/{proposal}/update_status"
            return (await stand.send(http, "POST", path, {"status": answer}))[0]

        async def passed() -> int:
            await asyncio.sleep(0.2)
            return (await stand.send(http, "POST", "/bursar/v1/clock", {"now": ends["expiryDate"]}))[0]

        async def looked() -> int:
            await asyncio.sleep(draw.uniform(0, 0.6))
            return (await stand.send(http, "GET", "/accounts/acme/purchases"))[0]

        work = [answered(one, answer) for one in proposals for answer in ("APPROVE", "APPROVE", "DECLINE")]
        statuses = await asyncio.gather(passed(), *(looked() for _ in range(6)), *work)
    assert statuses[0] == 200
    assert {*statuses} <= {200, 400}
    assert (await stand.read(f"/purchase_proposals/{late}"))["status"] == "PROPOSAL_EXPIRED"
    shown = [await stand.read(f"/purchase_proposals/{one['id']}") for _, one in made]
    became = Counter(one["status"] for one in shown)
    assert became.total() == became["PROPOSAL_APPROVED"] + became["PROPOSAL_DECLINED"] + became["PROPOSAL_EXPIRED"]
    bought = await stand.purchases()
    approved = {one["id"] for one in shown if one["status"] == "PROPOSAL_APPROVED"}
    assert {one["id"] for one in bought[:-1]} == approved, "the oldest is the one of units to begin with"
    assert {one["status"] for one in bought} == {"SUCCESS"}
    assert await stand.left(stand.spare) == PACK * became["PROPOSAL_APPROVED"]
    assert await stand.money() == 100 - PRICE * became["PROPOSAL_APPROVED"]
    await asyncio.to_thread(place.holds)


async def _at_it(hand: Hand, stand: Stand, number: int, going: asyncio.Event) -> None:
    while going.is_set():
        for work in (hand.buy, hand.propose, hand.use):
            await work()
        await hand.hold(stand.feature, 1.5, 0.25 if number % 2 else None)
        await hand.hold(None, 1.5, 0.5 if number % 2 else None)
        await hand.top_up(4.5)


async def _until_most_went_on(hands: list[Hand]) -> None:
    before = [hand.told for hand in hands]
    async with asyncio.timeout(PATIENCE):
        while 2 * sum(hand.told > told for hand, told in zip(hands, before, strict=True)) <= len(hands):
            await asyncio.sleep(0.02)


async def test_kills_in_the_middle_leave_nothing_half_done(place: Place) -> None:
    """Hands buy, propose, approve, hold and use, each until it is told; what they were told is what there is."""
    stand = await asyncio.to_thread(Stand.make, place, f"killed-{next(_numbers)}", 100, 10_000)
    going, chance = asyncio.Event(), random.Random(next(_numbers))
    going.set()
    async with stand.client(HANDS) as http:
        hands = [Hand(stand, http, f"h{number}") for number in range(HANDS)]
        async with asyncio.TaskGroup() as group:
            for number, hand in enumerate(hands):
                group.create_task(_at_it(hand, stand, number, going))
            for number in range(KILLS + MORE):
                await _until_most_went_on(hands)
                if number >= KILLS and stand.repeats:
                    break
                await asyncio.sleep(chance.uniform(0, 0.3))
                if number % 4 < 3:
                    victim = await asyncio.to_thread(any_backend, place.folder, chance)
                    await asyncio.to_thread(end, victim, signal.SIGKILL)
                    continue  # PostgreSQL ends all others and recovers
                os.kill(postmaster(place.folder), signal.SIGKILL)
                await asyncio.to_thread(place.restart)
            await _until_most_went_on(hands)
            going.clear()
    assert stand.repeats, "no kill met a request"
    bought = [name for hand in hands for name in (*hand.bought, *hand.waiting)]
    found = await stand.purchases()
    assert sorted(one["id"] for one in found[:-1]) == sorted(bought), "each once, and nothing that nobody was told of"
    granted = sum(one["status"] == "SUCCESS" for one in found[:-1])
    assert granted >= sum(len(hand.bought) for hand in hands)
    assert await stand.left(stand.spare) == PACK * granted
    assert await stand.left(stand.feature) == 10_000 - sum_of(hands, "used") - sum_of(hands, "settled")
    assert await stand.events() == sum_of(hands, "used")
    assert await stand.money() == 100 + sum_of(hands, "paid_in") - sum_of(hands, "spent") - PRICE * granted >= 0
    assert (await stand.read(f"{HOLDS}?status=OPEN"))["holds"] == []
    await asyncio.to_thread(place.holds)
