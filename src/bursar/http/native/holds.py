"""Holds: money or feature units set aside for an account, then settled, released, or over by themselves."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta

from bursar.core.errors import BursarError
from bursar.http.door import Answer, Body, Call, Query
from bursar.http.encode import number
from bursar.http.errors import failure
from bursar.http.native.door import door
from bursar.purchases import holds
from bursar.purchases.holds import AT_ONCE, DESCRIPTION_LIMIT, SECONDS_LIMIT, Close, Closings, Hold, Place, Placing

TAG = "Holds"
PAGE_LIMIT = 200

Identifier = Annotated[str, Meta(min_length=1, max_length=50)]
HoldStatus = Literal["OPEN", "SETTLED", "RELEASED", "EXPIRED"]


class NewHold(Body, kw_only=True):
    """What to set aside: units of a feature or, without one, money of the account's wallet in its currency."""

    account_id: Identifier
    amount: Decimal
    expires_in: Annotated[int, Meta(ge=1, le=SECONDS_LIMIT)]
    """Seconds, by the workspace's clock."""
    feature_id: Identifier | None = None
    description: Annotated[str, Meta(max_length=DESCRIPTION_LIMIT)] | None = None


class NewHolds(Body, kw_only=True):
    """What to set aside, each for itself."""

    holds: Annotated[list[NewHold], Meta(min_length=1, max_length=AT_ONCE)]


class SettleHold(Body, kw_only=True):
    """How much to take of what is held; left out: all of it. The rest is returned."""

    amount: Decimal | None = None


class HoldAnswer(Answer, kw_only=True):
    """A hold."""

    id: str
    account_id: str
    amount: Decimal
    status: HoldStatus
    created_at: datetime
    expires_at: datetime
    feature_id: str | None = None
    currency: str | None = None
    settled: Decimal | None = None
    """What was taken of it."""
    description: str | None = None
    closed_at: datetime | None = None


class Refusal(Answer, kw_only=True):
    """Why something was not set aside."""

    status: int
    detail: str
    field: str | None = None


class HoldOutcome(Answer, kw_only=True):
    """A hold, or why there is none."""

    hold: HoldAnswer | None = None
    problem: Refusal | None = None


class HoldOutcomes(Answer, kw_only=True):
    """What became of each, in the order of the request."""

    outcomes: list[HoldOutcome]


class HoldsQuery(Query, kw_only=True):
    """Which holds."""

    account_id: Identifier | None = None
    status: HoldStatus | None = None
    after: Annotated[str, Meta(max_length=20)] | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_LIMIT)] = 50


class HoldPage(Answer, kw_only=True, omit_defaults=False):
    """A page of holds, newest first."""

    holds: list[HoldAnswer]
    next: str | None
    """Send it as `after` for the holds that follow; null where there are none."""


@door.operation(
    "POST", "/bursar/v1/holds", id="placeHold", tag=TAG, summary="Set money or feature units of an account aside",
    status=201, scope="write", body=NewHold, answer=HoldAnswer,
)  # fmt: skip
async def place_hold(call: Call, body: NewHold) -> HoldAnswer:
    """Place a hold."""
    placing: Placing = call.services[Placing]
    (outcome,) = await placing.submit(call.db, call.caller, [_place(body)])
    if isinstance(outcome, BursarError):
        raise outcome
    return _shape(outcome)


@door.operation(
    "POST", "/bursar/v1/holds/batch", id="placeHolds", tag=TAG,
    summary="Set money or feature units aside many times, each for itself", scope="write", body=NewHolds,
    answer=HoldOutcomes,
)  # fmt: skip
async def place_holds(call: Call, body: NewHolds) -> HoldOutcomes:
    """Place holds; that one is refused keeps none of the others."""
    placing: Placing = call.services[Placing]
    told = await placing.submit(call.db, call.caller, [_place(hold) for hold in body.holds])
    return HoldOutcomes(outcomes=[_outcome(one) for one in told])


@door.operation(
    "GET", "/bursar/v1/holds", id="listHolds", tag=TAG, summary="List holds", query=HoldsQuery, answer=HoldPage
)  # fmt: skip
async def list_holds(call: Call, query: HoldsQuery) -> HoldPage:
    """List holds."""
    async with call.db.reading(call.caller.workspace) as connection:
        page = await holds.list_holds(
            connection, call.caller, query.account_id, query.status, query.after, query.limit
        )  # fmt: skip
    return HoldPage(holds=[_shape(hold) for hold in page.items], next=page.after)


@door.operation("GET", "/bursar/v1/holds/{hold_id}", id="getHold", tag=TAG, summary="Read a hold", answer=HoldAnswer)
async def get_hold(call: Call) -> HoldAnswer:
    """Read a hold."""
    async with call.db.reading(call.caller.workspace) as connection:
        return _shape(await holds.get_hold(connection, call.caller, call.path["hold_id"]))


@door.operation(
    "POST", "/bursar/v1/holds/{hold_id}/settle", id="settleHold", tag=TAG,
    summary="Take what is held, or a part of it, and return the rest", scope="write", body=SettleHold,
    answer=HoldAnswer,
)  # fmt: skip
async def settle_hold(call: Call, body: SettleHold) -> HoldAnswer:
    """Settle a hold."""
    amount = body.amount
    if amount is None:
        async with call.db.reading(call.caller.workspace) as connection:
            amount = (await holds.get_hold(connection, call.caller, call.path["hold_id"])).amount
    return await _close(call, Close(call.path["hold_id"], amount))


@door.operation(
    "POST", "/bursar/v1/holds/{hold_id}/release", id="releaseHold", tag=TAG, summary="Return all that is held",
    scope="write", answer=HoldAnswer,
)  # fmt: skip
async def release_hold(call: Call) -> HoldAnswer:
    """Release a hold."""
    return await _close(call, Close(call.path["hold_id"], None))


async def _close(call: Call, close: Close) -> HoldAnswer:
    closings: Closings = call.services[Closings]
    return _shape(await closings.submit(call.db, call.caller, close))


def _place(body: NewHold) -> Place:
    return Place(body.account_id, body.feature_id, body.amount, body.expires_in, body.description)


def _outcome(outcome: Hold | BursarError) -> HoldOutcome:
    if isinstance(outcome, Hold):
        return HoldOutcome(hold=_shape(outcome))
    reason = failure(outcome)
    return HoldOutcome(problem=Refusal(status=reason.status, detail=reason.message, field=reason.field))


def _shape(hold: Hold) -> HoldAnswer:
    return HoldAnswer(
        id=hold.id,
        account_id=hold.account,
        amount=number(hold.amount),
        status=hold.status,
        created_at=hold.created_at,
        expires_at=hold.expires_at,
        feature_id=hold.feature,
        currency=hold.currency,
        settled=None if hold.settled is None else number(hold.settled),
        description=hold.description,
        closed_at=hold.closed_at,
    )
