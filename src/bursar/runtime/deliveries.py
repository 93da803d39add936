"""The worker's deliveries: what the outbox holds is told, within seconds, until its receivers have it."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import structlog

from bursar.accounts.terms import THRESHOLDS
from bursar.accounts.workspaces import caller_of, workspace_at
from bursar.core.errors import Unavailable
from bursar.db.database import Connection, Database, outage
from bursar.http.yeti.callbacks import EVENTS, messages
from bursar.ledger.alerts import alert_at, recipients
from bursar.ledger.service import reconsider
from bursar.ledger.wallets import PASSED
from bursar.notify.courier import Courier
from bursar.notify.deliveries import make
from bursar.notify.mail import MailSender
from bursar.notify.model import Channel
from bursar.notify.outbox import Entry, Handler, dispatch
from bursar.notify.subscriptions import find_subscription
from bursar.notify.web import WebSender
from bursar.runtime.wall import wall

EVERY_SECONDS = 0.5
RETRY_SECONDS = 2.0
STOP_SECONDS = 4
"""How long a delivery that is under way has when the worker is told to stop."""

_log = structlog.get_logger()


async def _passed(connection: Connection, entry: Entry) -> None:
    """A wallet has passed a threshold: tell the subscriber and the contacts of subscription and account."""
    alert = await alert_at(connection, entry.workspace, entry.payload["notification"])
    subscription = await find_subscription(connection, entry.workspace, EVENTS[alert.crossing])
    numbers = dict.fromkeys((*subscription.contacts, *(alert.send_balance_notifications_to or ())))
    contacts = await recipients(connection, entry.workspace, list(numbers))
    await make(connection, entry, messages(alert, subscription, contacts), wall())


async def _thresholds(connection: Connection, entry: Entry) -> None:
    """The thresholds of an account were set: its wallet may be beyond one."""
    workspace = await workspace_at(connection, entry.workspace)
    await reconsider(connection, caller_of(workspace, wall(), "worker"), entry.payload["account"])


HANDLERS: Mapping[str, Handler] = {PASSED: _passed, THRESHOLDS: _thresholds}
"""What is done with an entry of the outbox, by its topic."""


async def keep_delivering(dsn: str, stopping: asyncio.Event, *, private: bool = False) -> None:
    """Deliver what is due soon after it is, until told to stop; `private`: to private addresses too."""
    db = await Database.open(dsn, size=4, timeout=30)
    try:
        async with WebSender(private=private) as web:
            courier = Courier(db, wall, {Channel.HTTP: web, Channel.MAIL: MailSender(db)})
            while not stopping.is_set():
                await _pause(stopping, courier, await _round(db, courier))
            await courier.finish(STOP_SECONDS)
    finally:
        await db.close()


async def _round(db: Database, courier: Courier) -> float:
    """Tell what there is to tell; returns how many seconds to wait."""
    courier.returned.clear()
    try:
        await dispatch(db, wall(), HANDLERS)
        await courier.send()
    except Exception as error:  # noqa: BLE001 - the worker outlives whatever one round meets, and says it
        if not isinstance(error, Unavailable) and not outage(error):
            _log.error("deliveries_failed", error=repr(error), exc_info=error)
        return RETRY_SECONDS
    return EVERY_SECONDS


async def _pause(stopping: asyncio.Event, courier: Courier, seconds: float) -> None:
    """Wait so long, less where a delivery has come back or it is time to stop."""
    waits = [asyncio.create_task(stopping.wait()), asyncio.create_task(courier.returned.wait())]
    await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
        with suppress(asyncio.CancelledError):
            await wait
