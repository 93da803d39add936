"""The desk of dead letters: what was not let in, why, what would mend it; and another try."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from bursar.core.errors import Invalid
from bursar.core.period import utc
from bursar.http.door import Answer, Body, Call, Query
from bursar.http.native.door import door
from bursar.invoicing.adjusting import adjust_replayed
from bursar.usage import dead_letters, replays
from bursar.usage.dead_letters import DeadLetter, Wanted
from bursar.usage.event import Event
from bursar.usage.replays import AT_ONCE, Replayed
from bursar.usage.states import State

TAG = "Ingest"
PAGE_LIMIT = 100

Name = Annotated[str, Meta(max_length=512)]
Reference = Annotated[str, Meta(min_length=1, max_length=50)]
Id = Annotated[str, Meta(min_length=1, max_length=512)]
Reason = Literal[
    "FAILED",
    "FAILED_SCHEMA_NOT_DEFINED",
    "FAILED_UNITS_INVALID",
    "FAILED_ENRICHMENT_FAILED",
    "FAILED_PAST_GRACE_PERIOD",
    "FAILED_ACCOUNT_NOT_FOUND",
    "FAILED_NO_EVENT_ID",
    "FAILED_INVALID_NAMED_LICENSE_EVENT",
    "FAILED_INSUFFICIENT_CREDITS",
    "FAILED_DUPLICATE_EVENT",
]


class RejectedQuery(Query, kw_only=True):
    """Which events. `account` is the account id that was sent, or an id or alias that leads to the event's account."""

    reason: Reason | None = None
    account: Name | None = None
    schema: Name | None = None
    received_from: datetime | None = None
    received_until: datetime | None = None
    occurred_from: datetime | None = None
    occurred_until: datetime | None = None
    after: Reference | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_LIMIT)] = 50


class RejectedEvent(Answer, kw_only=True):
    """An event that was not let in."""

    reference: str
    """Where it lies."""
    event: Event
    """As it was sent."""
    reason: str
    """Its state."""
    description: str
    fix: str
    """What would mend it."""
    replayable: bool
    """Whether a replay can let it in once that is done."""
    received_at: datetime
    account_id: str | None = None
    """The account that the name leads to, where there is one."""


class RejectedPage(Answer, kw_only=True):
    """Events that were not let in, newest first. A page may be short before the end of the list."""

    events: list[RejectedEvent]
    next: str | None
    """Send it as `after` for the events that follow; null where there are none."""


class RejectedFilter(Body, kw_only=True):
    """Events of the list, as its query names them; without any condition, all."""

    reason: Reason | None = None
    account: Name | None = None
    schema: Name | None = None
    received_from: datetime | None = None
    received_until: datetime | None = None
    occurred_from: datetime | None = None
    occurred_until: datetime | None = None


class ReplayRequest(Body, kw_only=True):
    """Which events to replay: those of ids, those at references, or those of the list. One of the three."""

    ids: Annotated[list[Id], Meta(min_length=1, max_length=AT_ONCE)] | None = None
    references: Annotated[list[Reference], Meta(min_length=1, max_length=AT_ONCE)] | None = None
    filter: RejectedFilter | None = None
    after: Reference | None = None
    """With `filter`: go on below this one."""
    limit: Annotated[int, Meta(ge=1, le=AT_ONCE)] = AT_ONCE
    """With `filter`: how many at most."""
    backfill: bool = False
    """Whether history of any age is taken into periods that are not invoiced."""
    adjust: bool = False
    """Whether it is taken into invoiced ones, too: the account's next invoice then has the difference."""


class ReplayedEvent(Answer, kw_only=True):
    """What became of an event; it stays on the list where it was not let in."""

    replayed: bool
    description: str
    reference: str | None = None
    id: str | None = None
    state: str | None = None


class ReplayAnswer(Answer, kw_only=True):
    """What became of each, in the order of the request; those of the list newest first."""

    replayed: int
    """How many were let in."""
    refused: int
    """How many were not."""
    outcomes: list[ReplayedEvent]
    next: str | None
    """With `filter`, send it as `after` for the events that are left; null where there are none."""


@door.operation(
    "GET", "/bursar/v1/ingest/rejected", id="listRejectedEvents", tag=TAG,
    summary="List the events that were not let in, with why and what would mend it", query=RejectedQuery,
    answer=RejectedPage,
)  # fmt: skip
async def list_rejected(call: Call, query: RejectedQuery) -> RejectedPage:
    """List the desk."""
    async with call.db.reading(call.caller.workspace) as connection:
        page = await dead_letters.list_refused(
            connection, call.caller.workspace, _wanted(query), query.after, query.limit
        )
    return RejectedPage(events=[_shape(letter) for letter in page.items], next=page.after)


@door.operation(
    "POST", "/bursar/v1/ingest/rejected/replay", id="replayRejectedEvents", tag=TAG,
    summary="Judge rejected events anew, after the cause has been mended", scope="write",
    # Each is let in once, so that the effect may be in a transaction beside the key's.
    repeatable=True, body=ReplayRequest, answer=ReplayAnswer,
)  # fmt: skip
async def replay_rejected(call: Call, body: ReplayRequest) -> ReplayAnswer:
    """Replay events."""
    if sum(part is not None for part in (body.ids, body.references, body.filter)) != 1:
        raise Invalid("", "give one of ids, references and filter")
    if body.after is not None and body.filter is None:
        raise Invalid("after", "goes with filter alone")
    following = None
    adjust = adjust_replayed if body.adjust else None
    if body.ids is not None:
        outcomes = await replays.replay_ids(call.db, call.caller, body.ids, backfill=body.backfill, adjust=adjust)
    elif body.references is not None:
        outcomes = await replays.replay_references(
            call.db, call.caller, body.references, backfill=body.backfill, adjust=adjust
        )
    else:
        assert body.filter is not None
        wanted = _wanted(body.filter)
        page = await replays.replay_matching(
            call.db, call.caller, wanted, body.after, body.limit, backfill=body.backfill, adjust=adjust
        )
        outcomes, following = page.items, page.after
    done = sum(outcome.done for outcome in outcomes)
    return ReplayAnswer(
        replayed=done,
        refused=len(outcomes) - done,
        outcomes=[_outcome(outcome) for outcome in outcomes],
        next=following,
    )


def _wanted(asked: RejectedQuery | RejectedFilter) -> Wanted:
    return Wanted(
        states=None if asked.reason is None else (State[asked.reason],),
        account=asked.account,
        schema=asked.schema,
        received_from=_instant(asked.received_from),
        received_until=_instant(asked.received_until),
        occurred_from=_instant(asked.occurred_from),
        occurred_until=_instant(asked.occurred_until),
    )


def _instant(moment: datetime | None) -> datetime | None:
    return None if moment is None else utc(moment)


def _shape(letter: DeadLetter) -> RejectedEvent:
    kept = letter.kept
    return RejectedEvent(
        reference=kept.reference,
        event=kept.event,
        reason=kept.state.name,
        description=kept.description,
        fix=letter.fix,
        replayable=letter.replayable,
        received_at=kept.received_at,
        account_id=kept.owner.account_id if kept.owner else None,
    )


def _outcome(one: Replayed) -> ReplayedEvent:
    return ReplayedEvent(
        replayed=one.done,
        description=one.reason,
        reference=one.reference,
        id=one.event_id,
        state=None if one.state is None else one.state.name,
    )
