"""Deliveries: what is under way to whom, what was given up, and another try."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from bursar.http.door import Answer, Call, Query
from bursar.http.native.door import door
from bursar.notify import deliveries
from bursar.notify.model import Channel, Delivery, Status

TAG = "Events"
PAGE_LIMIT = 100


class DeliveryAnswer(Answer, kw_only=True):
    """A message to one receiver. Its `id` is `webhook-id` of the request and part of an e-mail's `Message-ID`."""

    id: str
    channel: Channel
    receiver: str
    subject: str
    body: str
    status: Status
    attempts: int
    created_at: datetime
    next_attempt_at: datetime | None = None
    settled_at: datetime | None = None
    reason: str | None = None
    """Why the last attempt failed."""


class DeliveryPage(Answer, kw_only=True):
    """A page of deliveries, newest first."""

    deliveries: list[DeliveryAnswer]
    next: str | None
    """Send it as `after` for the deliveries that follow; null where there are none."""


class DeliveriesQuery(Query, kw_only=True):
    """Which deliveries; settled ones are kept for 30 days."""

    status: Status | None = None
    after: Annotated[str, Meta(max_length=20)] | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_LIMIT)] = 50


@door.operation(
    "GET", "/bursar/v1/deliveries", id="listDeliveries", tag=TAG, summary="List what is told to whom", scope="admin",
    query=DeliveriesQuery, answer=DeliveryPage,
)  # fmt: skip
async def list_deliveries(call: Call, query: DeliveriesQuery) -> DeliveryPage:
    """List deliveries."""
    async with call.db.reading(call.caller.workspace) as connection:
        page = await deliveries.list_deliveries(
            connection, call.caller.workspace, query.status, query.after, query.limit
        )
    return DeliveryPage(deliveries=[_shape(one) for one in page.items], next=page.after)


@door.operation(
    "POST", "/bursar/v1/deliveries/{delivery_id}/retry", id="retryDelivery", tag=TAG,
    summary="Try a delivery that was given up again", scope="admin", answer=DeliveryAnswer,
)  # fmt: skip
async def retry_delivery(call: Call) -> DeliveryAnswer:
    """Try again."""
    async with call.db.transaction(call.caller.workspace) as connection:
        return _shape(await deliveries.retry(connection, call.caller, call.path["delivery_id"]))


def _shape(one: Delivery) -> DeliveryAnswer:
    return DeliveryAnswer(
        id=one.id,
        channel=one.message.channel,
        receiver=one.message.receiver,
        subject=one.message.subject,
        body=one.message.body,
        status=one.status,
        attempts=one.attempts,
        created_at=one.created_at,
        next_attempt_at=one.due_at,
        settled_at=one.settled_at,
        reason=one.reason,
    )
