"""Who hears of what: one subscription for each event."""

from typing import Annotated

import msgspec
from msgspec import Meta

from bursar.http.door import Answer, Body, Call
from bursar.http.native.door import door
from bursar.notify import subscriptions
from bursar.notify.subscriptions import CONTACTS_LIMIT, Event, Subscription
from bursar.notify.urls import URL_LIMIT

TAG = "Events"
Contact = Annotated[int, Meta(ge=1, le=2**63 - 1)]


class SubscriptionShape(Body, kw_only=True):
    """To whom an event is told: by a POST to `url`, and by e-mail to contacts, named by their numbers."""

    event: Event
    url: Annotated[str, Meta(max_length=URL_LIMIT)] | None = None
    contacts: Annotated[list[Contact], Meta(max_length=CONTACTS_LIMIT)] = msgspec.field(default_factory=list)


class Subscriptions(Body, kw_only=True):
    """The subscriptions to have; events that are left out are told to nobody but the contacts of their accounts."""

    subscriptions: Annotated[list[SubscriptionShape], Meta(max_length=len(Event))]


class SubscriptionAnswer(Answer, kw_only=True, omit_defaults=False):
    """To whom an event is told."""

    event: Event
    url: str | None
    contacts: list[int]


class SubscriptionsAnswer(Answer, kw_only=True):
    """One subscription for each event."""

    subscriptions: list[SubscriptionAnswer]


@door.operation(
    "GET", "/bursar/v1/event_subscriptions", id="listEventSubscriptions", tag=TAG,
    summary="Show to whom each event is told", scope="admin", answer=SubscriptionsAnswer,
)  # fmt: skip
async def list_subscriptions(call: Call) -> SubscriptionsAnswer:
    """Show subscriptions."""
    async with call.db.reading(call.caller.workspace) as connection:
        return _shape(await subscriptions.list_subscriptions(connection, call.caller.workspace))


@door.operation(
    "PUT", "/bursar/v1/event_subscriptions", id="replaceEventSubscriptions", tag=TAG,
    summary="Say to whom events are told", scope="admin", body=Subscriptions, answer=SubscriptionsAnswer,
)  # fmt: skip
async def replace_subscriptions(call: Call, body: Subscriptions) -> SubscriptionsAnswer:
    """Replace subscriptions."""
    wanted = [Subscription(one.event, one.url, tuple(one.contacts)) for one in body.subscriptions]
    async with call.db.transaction(call.caller.workspace) as connection:
        return _shape(await subscriptions.replace_subscriptions(connection, call.caller, wanted))


def _shape(found: list[Subscription]) -> SubscriptionsAnswer:
    return SubscriptionsAnswer(
        subscriptions=[SubscriptionAnswer(event=one.event, url=one.url, contacts=list(one.contacts)) for one in found]
    )
