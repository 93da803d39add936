"""Deliveries to real receivers: once in the normal case, again after failures, given up in the end, never lost."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from bursar.core.caller import Caller
from bursar.core.errors import NotFound, WrongState
from bursar.db.database import Database
from bursar.notify import deliveries, outbox
from bursar.notify.courier import Courier
from bursar.notify.mail import MailSender
from bursar.notify.model import ATTEMPTS, LEASE, PAUSES, Channel, Delivery, Failed, Message, Status, judge
from bursar.notify.outbox import Entry, dispatch
from bursar.notify.smtp_connections import create_connection
from bursar.notify.web import WebSender
from tests.notify.receivers import Post, hearing

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH")
START = datetime(2030, 1, 1, tzinfo=UTC)


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
async def clean(database: Database) -> None:
    """Nothing of other tests is due: workers serve all workspaces."""
    await database.run(None, lambda connection: connection.execute("delete from outbox"))
    await database.run(None, lambda connection: connection.execute("delete from delivery"))


def web(url: str, body: str = "{}") -> Message:
    return Message(Channel.HTTP, url, "AccountLowThesholdReached", body)


async def give(db: Database, caller: Caller, *messages: Message, event: int = 1) -> None:
    async with db.transaction(caller.workspace) as connection:
        await deliveries.make(connection, Entry(event, caller.workspace, "test", {}), messages, START)


async def look(db: Database, caller: Caller) -> list[Delivery]:
    async with db.transaction(caller.workspace) as connection:
        return (await deliveries.list_deliveries(connection, caller.workspace, None, None, 100)).items[::-1]


@asynccontextmanager
async def courier(db: Database, clock: Clock, *, private: bool = True, seconds: int = 2) -> AsyncIterator[Courier]:
    async with WebSender(private=private, seconds=seconds) as sender:
        yield Courier(db, clock, {Channel.HTTP: sender, Channel.MAIL: MailSender(db, seconds=seconds)})


async def deliver(one: Courier) -> int:
    """Send until nothing is due."""
    sent = 0
    while started := await one.send():
        sent += started
        await one.finish()
    return sent


@pytest.mark.usefixtures("clean")
async def test_each_receiver_hears_of_an_event_once_and_in_order(database: Database, caller: Caller) -> None:
    told: list[tuple[str, str]] = []
    url, clock = hearing(told), Clock()
    for event in range(5):
        await give(database, caller, web(url, f'{{"n":{event}}}'), event=event)
        await give(database, caller, web(url, "another"), event=event)  # made twice: it is the same
    async with courier(database, clock) as one, courier(database, clock) as other:
        while await one.send() + await other.send():
            await asyncio.gather(one.finish(), other.finish())
    assert [json.loads(body)["n"] for _, body in told] == [0, 1, 2, 3, 4]
    found = await look(database, caller)
    assert [delivery.id for delivery in found] == [name for name, _ in told]
    assert {(delivery.status, delivery.attempts) for delivery in found} == {(Status.DELIVERED, 1)}


@pytest.mark.usefixtures("clean")
async def test_what_fails_is_tried_again_after_growing_pauses(database: Database, caller: Caller) -> None:
    told: list[tuple[str, str]] = []
    answers = [500, 302, 404, 200]
    url, clock = hearing(told, lambda number: answers[number - 1]), Clock()
    await give(database, caller, web(url))
    async with courier(database, clock) as one:
        for attempt, answer in enumerate(answers[:3], 1):
            assert await deliver(one) == 1
            (found,) = await look(database, caller)
            assert (found.status, found.attempts, found.reason) == (Status.PENDING, attempt, f"answered {answer}")
            assert found.due_at == clock.now + PAUSES[attempt - 1]
            clock.now += PAUSES[attempt - 1] - timedelta(microseconds=1)
            assert await deliver(one) == 0, "not before its time"
            clock.now += timedelta(microseconds=1)
        assert await deliver(one) == 1
    (found,) = await look(database, caller)
    assert (found.status, found.attempts, found.settled_at) == (Status.DELIVERED, 4, clock.now)
    assert len({name for name, _ in told}) == 1, "a receiver can tell that it is the same"
    assert len(told) == 4, "nobody went elsewhere"


def test_pauses_grow_and_end() -> None:
    assert list(PAUSES) == sorted(PAUSES)
    assert timedelta(days=2) < sum(PAUSES, timedelta()) < timedelta(days=3)
    for attempt in range(1, ATTEMPTS):
        assert judge(attempt, Failed("x"), START).due_at == START + PAUSES[attempt - 1]
    assert judge(ATTEMPTS, Failed("no\n use "), START) == judge(1, Failed("no use", final=True), START)
    assert judge(ATTEMPTS, None, START).status is Status.DELIVERED
    assert len(judge(1, Failed("x" * 10_000), START).reason or "") == 300


@pytest.mark.usefixtures("clean")
async def test_it_is_given_up_visibly_and_can_be_tried_again(
    database: Database, caller: Caller, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[str, str]] = []
    url, clock = hearing(told, lambda number: 500 if number <= ATTEMPTS else 200), Clock()
    await give(database, caller, web(url))
    async with courier(database, clock) as one:
        for _ in range(ATTEMPTS + 3):
            await deliver(one)
            clock.now += timedelta(days=2)
        (found,) = await look(database, caller)
        assert (found.status, found.attempts, found.reason) == (Status.GIVEN_UP, ATTEMPTS, "answered 500")
        assert len(told) == ATTEMPTS
        async with database.transaction(caller.workspace) as connection:
            assert (await deliveries.retry(connection, caller, found.id)).status is Status.PENDING
            with pytest.raises(WrongState, match="PENDING"):
                await deliveries.retry(connection, caller, found.id)
            with pytest.raises(NotFound):
                await deliveries.retry(connection, caller, "dlv.none")
        assert await deliver(one) == 1
    (found,) = await look(database, caller)
    assert (found.status, found.attempts) == (Status.DELIVERED, 1)
    await database.run(None, lambda connection: deliveries.purge(connection, clock.now + timedelta(days=29)))
    assert len(await look(database, caller)) == 1
    await database.run(None, lambda connection: deliveries.purge(connection, clock.now + timedelta(days=31)))
    assert await look(database, caller) == []


@pytest.mark.usefixtures("clean")
async def test_a_dead_worker_s_deliveries_are_taken_over_and_a_slow_one_s_are_not(
    database: Database, caller: Caller
) -> None:
    told: list[tuple[str, str]] = []
    url, clock = hearing(told), Clock()
    await give(database, caller, web(url))
    async with database.transaction(None) as connection:
        assert len(await deliveries.claim(connection, clock.now, 5, [])) == 1  # and dies
    async with courier(database, clock) as one:
        clock.now += LEASE - timedelta(seconds=1)
        assert await one.send() == 0
        clock.now += timedelta(seconds=1)
        assert await deliver(one) == 1
    assert len(told) == 1
    heard = asyncio.Event()

    async def slow(_delivery: Delivery, _wall: datetime) -> Failed | None:
        await heard.wait()
        return None

    await give(database, caller, web("http://slow"), event=2)
    busy = Courier(database, clock, {Channel.HTTP: slow})
    async with courier(database, clock) as other:
        assert await busy.send() == 1
        for _ in range(12):
            clock.now += LEASE / 3
            assert await busy.send() == 0
            assert await other.send() == 0, "somebody is at it"
    heard.set()
    await busy.finish()
    assert [delivery.status for delivery in await look(database, caller)] == [Status.DELIVERED] * 2


@contextmanager
def silent() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


@contextmanager
def endless() -> Iterator[str]:
    """A server that sends headers without an end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            taken, _ = listener.accept()
            with taken:
                try:
                    taken.sendall(b"HTTP/1.1 200 OK\r\n")
                    while True:
                        taken.sendall(b"x-more: " + b"y" * 1000 + b"\r\n")
                except OSError:
                    pass

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


@pytest.mark.usefixtures("clean")
async def test_bad_receivers_hold_up_nobody(database: Database, caller: Caller) -> None:
    told: list[tuple[str, str]] = []
    clock = Clock()
    with silent() as mute, endless() as talker:
        urls = [mute, talker, "http://127.0.0.1:1/", "http://no-such-host.invalid/", hearing(told)]
        await give(database, caller, *(web(url) for url in urls))
        async with courier(database, clock, seconds=1) as one:
            began = asyncio.get_running_loop().time()
            assert await deliver(one) == len(urls)
            assert asyncio.get_running_loop().time() - began < 8
    reasons = [delivery.reason for delivery in await look(database, caller)]
    assert len(told) == 1
    assert reasons[0] == "no answer within 1 seconds"
    assert all(reasons[:4])
    assert reasons[4] is None


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433", "127.1", "[::ffff:127.0.0.1]"]
)
async def test_nobody_reaches_into_our_own_network(database: Database, caller: Caller, host: str) -> None:
    told: list[tuple[str, str]] = []
    port = hearing(told).rsplit(":", 1)[1]
    await give(database, caller, web(f"http://{host}:{port}"))
    async with courier(database, Clock(), private=False) as one:
        assert await deliver(one) == 1
    assert told == []
    (found,) = await look(database, caller)
    assert found.status is Status.PENDING
    assert "not public" in (found.reason or "")


async def add_server(db: Database, caller: Caller, port: int, **values: object) -> int:
    """An SMTP connection; its key."""
    async with db.transaction(caller.workspace) as connection:
        wanted = {"name": f"server {port}", "host": "127.0.0.1", "port": port, "from_address": "bill@carrier.example"}
        number = await create_connection(connection, caller, {**wanted, **values})
        key: int = await connection.fetchval(
            "select key from smtp_connection where workspace = $1 and yeti_id = $2", caller.workspace, number
        )
    return key


def mail(address: str, sender: int) -> Message:
    return Message(Channel.MAIL, address, "Account with id 7 low balance", '{"id":7,"name":"Grüße"}', (), sender)


@pytest.mark.usefixtures("clean")
async def test_e_mail_is_a_real_conversation(database: Database, caller: Caller) -> None:
    post = Post(refused={"gone@x.example": "550 no such user", "full@x.example": "450 try later"}, password="sesame")
    key = await add_server(database, caller, post.start(), auth_user="bill", auth_password="sesame")
    try:
        addresses = ["a@x.example", "gone@x.example", "full@x.example", "another@mail,com", "no address"]
        addresses.append("a@x.example\nBcc: b@x.example")
        await give(database, caller, *(mail(address, key) for address in addresses))
        async with courier(database, Clock()) as one:
            assert await deliver(one) == len(addresses)
    finally:
        post.stop()
    found = {delivery.message.receiver: delivery for delivery in await look(database, caller)}
    assert found["a@x.example"].status is Status.DELIVERED
    (address, message), *rest = post.mails
    assert not rest
    assert address == "a@x.example"
    assert (message["from"], message["to"]) == ("bill@carrier.example", "a@x.example")
    assert message["subject"] == "Account with id 7 low balance"
    assert message["message-id"] == f"<{found['a@x.example'].id}@carrier.example>"
    payload = message.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert json.loads(payload.decode()) == {"id": 7, "name": "Grüße"}
    assert set(post.logins) == {"bill"}
    assert (found["gone@x.example"].status, found["gone@x.example"].attempts) == (Status.GIVEN_UP, 1)
    assert found["gone@x.example"].reason == "550 no such user"
    assert found["full@x.example"].status is Status.PENDING
    for wrong in ("another@mail,com", "no address", "a@x.example\nBcc: b@x.example"):
        assert (found[wrong].status, found[wrong].attempts) == (Status.GIVEN_UP, 1), found[wrong].reason


@pytest.mark.usefixtures("clean")
async def test_mail_waits_for_its_server_and_for_its_password(database: Database, caller: Caller) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = listener.getsockname()[1]
    away = await add_server(database, caller, nobody)
    post = Post(password="sesame")
    wrong = await add_server(database, caller, post.start(), auth_user="bill", auth_password="guess")
    try:
        await give(database, caller, mail("a@x.example", away), mail("b@x.example", wrong))
        async with courier(database, Clock(), seconds=1) as one:
            assert await deliver(one) == 2
    finally:
        post.stop()
    assert post.mails == []
    assert [delivery.status for delivery in await look(database, caller)] == [Status.PENDING] * 2


@pytest.mark.usefixtures("clean")
async def test_a_handler_that_fails_holds_up_no_other_entry(database: Database, caller: Caller) -> None:
    seen: list[int] = []

    async def handle(connection: object, entry: Entry) -> None:
        seen.append(entry.payload["n"])
        if entry.payload["n"] == 1 and seen.count(1) < 3:
            raise RuntimeError("not now")

    async with database.transaction(caller.workspace) as connection:
        entries: Sequence[tuple[str, dict[str, int]]] = [("test", {"n": n}) for n in range(3)]
        await outbox.add(connection, caller.workspace, START, entries)
    handlers = {"test": handle}
    assert await dispatch(database, START, handlers) == 2
    assert seen == [0, 1, 2]
    assert await dispatch(database, START, handlers) == 0
    assert await dispatch(database, START + PAUSES[0], handlers) == 0
    assert await dispatch(database, START + PAUSES[0] + PAUSES[1], handlers) == 1
    assert seen == [0, 1, 2, 1, 1]


@pytest.mark.usefixtures("clean")
async def test_what_is_said_of_a_customer_can_be_forgotten(database: Database, caller: Caller) -> None:
    told: list[tuple[str, str]] = []
    url, clock = hearing(told), Clock()
    await give(database, caller, Message(Channel.HTTP, url, "s", "mine", (1, 2)))
    async with courier(database, clock) as one:
        assert await deliver(one) == 1
        await give(
            database, caller,
            Message(Channel.HTTP, url, "s", "mine", (1, 2)), Message(Channel.HTTP, url + "2", "s", "yours", (1,)),
            event=2,
        )  # fmt: skip
        async with database.transaction(caller.workspace) as connection:
            await deliveries.erase(connection, caller, 2)
        found = await look(database, caller)
        assert [delivery.status for delivery in found] == [Status.DELIVERED, Status.ERASED, Status.PENDING]
        assert [delivery.message.body for delivery in found] == ["", "", "yours"]
        assert all(url not in delivery.message.receiver for delivery in found[:2])
        assert await deliver(one) == 1
    assert [body for _, body in told] == ["mine", "yours"]
