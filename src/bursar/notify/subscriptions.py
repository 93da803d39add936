"""Who wants to hear of what."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from bursar.core.caller import Caller
from bursar.core.errors import Invalid
from bursar.db import audit
from bursar.db.database import Connection, Row
from bursar.notify.outbox import queries
from bursar.notify.urls import check_url

CONTACTS_LIMIT = 100


class Event(StrEnum):
    """What can be heard of. The names are those that carriers' scripts know, spelling included."""

    LOW_REACHED = "AccountLowThesholdReached"
    HIGH_REACHED = "AccountHighThesholdReached"
    LOW_CLEARED = "AccountLowThesholdCleared"
    HIGH_CLEARED = "AccountHighThesholdCleared"


@dataclass(frozen=True, slots=True)
class Subscription:
    """To whom an event is told."""

    event: Event
    url: str | None
    """Where a request goes to."""
    contacts: tuple[int, ...]
    """Numbers of contacts, as the carrier's door shows them, who get an e-mail; they need not exist."""


async def list_subscriptions(connection: Connection, workspace: int) -> list[Subscription]:
    """One subscription for each event, in the order of `Event`."""
    rows = {row["event"]: row for row in await connection.fetch(queries.list_subscriptions, workspace)}
    return [_of(rows[event]) if event in rows else Subscription(event, None, ()) for event in Event]


async def find_subscription(connection: Connection, workspace: int, event: Event) -> Subscription:
    """To whom an event is told."""
    row = await connection.fetchrow(queries.find_subscription, workspace, event)
    return _of(row) if row is not None else Subscription(event, None, ())


async def replace_subscriptions(
    connection: Connection, caller: Caller, wanted: Sequence[Subscription]
) -> list[Subscription]:
    """Have these subscriptions and no others; those of events that are left out end. Raises `Invalid`."""
    seen: set[Event] = set()
    for place, subscription in enumerate(wanted):
        field = f"subscriptions[{place}]"
        if subscription.event in seen:
            raise Invalid(f"{field}.event", "there is one before for the same event")
        seen.add(subscription.event)
        if subscription.url is not None:
            check_url(subscription.url, f"{field}.url")
        if len(subscription.contacts) > CONTACTS_LIMIT:
            raise Invalid(f"{field}.contacts", f"must not have more than {CONTACTS_LIMIT}")
    await connection.execute(queries.delete_subscriptions, caller.workspace)
    for one in sorted(wanted, key=lambda one: one.event):
        contacts = list(dict.fromkeys(one.contacts))
        await connection.execute(
            queries.insert_subscription, caller.workspace, one.event, one.url, contacts, caller.wall
        )
    detail = {"events": sorted(seen)}
    await audit.record(connection, caller, "replace", "event_subscriptions", "", detail)
    return await list_subscriptions(connection, caller.workspace)


async def remove_contact(connection: Connection, caller: Caller, number: int) -> None:
    """A contact, by its number at the carrier's door, is no more: no subscription names it any longer."""
    await connection.execute(queries.remove_contact, caller.workspace, number, caller.wall)


def _of(row: Row) -> Subscription:
    return Subscription(Event(row["event"]), row["url"], tuple(row["contacts"]))
