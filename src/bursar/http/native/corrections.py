"""Corrections of events whether or not their period is invoiced, and the adjustments that they make."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta

from bursar.accounts import store
from bursar.core.errors import Invalid, NotFound
from bursar.core.period import utc
from bursar.http.door import Answer, Body, Call, Query
from bursar.http.encode import number
from bursar.http.native.door import door
from bursar.invoicing import adjusting
from bursar.invoicing.adjusting import Adjustment, Outcome
from bursar.invoicing.document import AdjustmentTerms
from bursar.usage.corrections import Action, Selection, place_of
from bursar.usage.event import Event, settled

TAG = "Corrections"
PAGE_LIMIT = 200

Identifier = Annotated[str, Meta(min_length=1, max_length=512)]


class NewCorrection(Body, kw_only=True):
    """What to do to which events: one by its id or where it lies, or up to thirty of an account, the latest first."""

    action: Literal["UNDO", "REDO", "REDO_EVENT"]
    event_id: Identifier | None = None
    reference: Identifier | None = None
    account_id: Identifier | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    """`[startsAt, endsAt)` of the events' own time; either may be left out."""
    event: Event | None = None
    """With `REDO_EVENT` the new content; its id may name the event."""


class TakenPart(Answer, kw_only=True):
    """What an invoice took of an adjustment."""

    invoice_id: str
    amount: Decimal


class AdjustmentAnswer(Answer, kw_only=True):
    """What a correction changed of an issued invoice, and which invoices take it."""

    id: str
    account_id: str
    amount: Decimal
    waiting: Decimal
    """What no invoice has taken yet: the account's next one will, as far as it comes to anything."""
    terms: AdjustmentTerms
    taken_by: list[TakenPart]
    recorded_at: datetime


class CorrectionOutcome(Answer, kw_only=True):
    """What became of an event."""

    reference: str
    done: bool
    state: str
    reason: str
    adjustments: list[AdjustmentAnswer]
    event_id: str | None = None


class CorrectionOutcomes(Answer, kw_only=True):
    """What became of each, the latest event first."""

    outcomes: list[CorrectionOutcome]


class AdjustmentsQuery(Query, kw_only=True):
    """Which adjustments."""

    account_id: Identifier | None = None
    invoice_id: Identifier | None = None
    """The invoice that is adjusted."""
    waiting: bool | None = None
    after: Annotated[str, Meta(max_length=20)] | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_LIMIT)] = 50


class AdjustmentPage(Answer, kw_only=True, omit_defaults=False):
    """A page of adjustments, newest first."""

    adjustments: list[AdjustmentAnswer]
    next: str | None
    """Send it as `after` for those that follow; null where there are none."""


@door.operation(
    "POST", "/bursar/v1/corrections", id="correctEvents", tag=TAG,
    summary="Undo events or let them in anew; what is invoiced is adjusted on the next invoice", scope="write",
    # Events belong to no workspace's own role: each is corrected in a transaction of its own, twice as once.
    repeatable=True, body=NewCorrection, answer=CorrectionOutcomes,
)  # fmt: skip
async def correct_events(call: Call, body: NewCorrection) -> CorrectionOutcomes:
    """Correct events."""
    action = Action(body.action)
    payload = None if body.event is None else settled(body.event)
    if action is Action.REDO_EVENT and payload is None:
        raise Invalid("event", "must be given with REDO_EVENT")
    if action is not Action.REDO_EVENT and payload is not None:
        raise Invalid("event", "is for REDO_EVENT")
    wanted = await _selection(call, body, payload)
    outcomes = await adjusting.correct_events(call.db, call.caller, action, wanted, payload)
    return CorrectionOutcomes(outcomes=[_outcome(one) for one in outcomes])


@door.operation(
    "GET", "/bursar/v1/adjustments", id="listAdjustments", tag=TAG,
    summary="List adjustments of issued invoices", query=AdjustmentsQuery, answer=AdjustmentPage,
)  # fmt: skip
async def list_adjustments(call: Call, query: AdjustmentsQuery) -> AdjustmentPage:
    """List adjustments."""
    async with call.db.reading(call.caller.workspace) as connection:
        page = await adjusting.list_adjustments(
            connection,
            call.caller.workspace,
            account_id=query.account_id,
            invoice_id=query.invoice_id,
            waiting=query.waiting,
            after=query.after,
            limit=query.limit,
        )
    return AdjustmentPage(adjustments=[_adjustment(one) for one in page.items], next=page.after)


async def _selection(call: Call, body: NewCorrection, payload: Event | None) -> Selection:
    event_id, reference, account = body.event_id, None, None
    if body.reference is not None:
        reference = place_of(body.reference)
        if reference is None:
            raise NotFound("event", body.reference)
    many = body.account_id is not None and payload is None
    if event_id is None and reference is None and not many:
        event_id = None if payload is None else payload.id
        if event_id is None:
            raise Invalid("eventId", "must be given, or a reference; with UNDO and REDO an accountId will do")
    if body.account_id is not None:
        async with call.db.reading(call.caller.workspace) as connection:
            keys = await store.account_keys(connection, call.caller.workspace, [body.account_id])
        if body.account_id not in keys:
            raise NotFound("account", body.account_id)
        account = keys[body.account_id]
    starts_at, ends_at = (None if moment is None else utc(moment) for moment in (body.starts_at, body.ends_at))
    if starts_at is not None and ends_at is not None and starts_at >= ends_at:
        raise Invalid("endsAt", "must lie after startsAt")
    return Selection(account, event_id, reference, starts_at, ends_at)


def _outcome(outcome: Outcome) -> CorrectionOutcome:
    one = outcome.event
    return CorrectionOutcome(
        reference=one.before.reference,
        event_id=one.before.event.id,
        done=one.done,
        state=one.state.name,
        reason=one.reason,
        adjustments=[_adjustment(entry) for entry in outcome.adjustments],
    )


def _adjustment(one: Adjustment) -> AdjustmentAnswer:
    return AdjustmentAnswer(
        id=one.id,
        account_id=one.account_id,
        amount=number(one.amount),
        waiting=number(one.waiting),
        terms=one.terms,
        taken_by=[TakenPart(invoice_id=name, amount=number(amount)) for name, amount in one.taken],
        recorded_at=one.recorded_at,
    )
