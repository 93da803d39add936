"""Corrections of events in periods that are invoiced: usage follows at once, the money on the account's next invoice.

What an adjustment comes to is what the invoice of the period would come to by now, less what was charged for it and
adjusted since. So any number of corrections in any order adds up to what the invoice would have been without them.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import partial

from bursar.core import ids
from bursar.core.caller import Caller
from bursar.core.decimals import plain, show
from bursar.core.errors import Invalid, NotFound
from bursar.core.page import Page, key_of
from bursar.db import audit
from bursar.db.database import Connection, Database, Row
from bursar.invoicing import refunds, store
from bursar.invoicing.adjustments import from_text, line_of, queries, to_text
from bursar.invoicing.content import draw_up_all
from bursar.invoicing.crediting import charged
from bursar.invoicing.document import AdjustedUsage, AdjustmentTerms, frozen
from bursar.invoicing.model import postable
from bursar.purchases import corrections as purchases
from bursar.purchases.entitled import sift
from bursar.usage import corrections
from bursar.usage.corrections import Action, Corrected, Moved, Refused, Selection, matching
from bursar.usage.event import Event
from bursar.usage.events import KeptEvent

REPLAY = "REPLAY"
"""What is said of an event that had been refused, and was let in after its period was invoiced."""
TAKEN_BACK = frozenset(("VOID", refunds.INITIATED, refunds.COMPLETED))
"""States of invoices of which nothing is charged any more."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Which event moved usage, and by what: a correction, or REPLAY."""

    action: str
    event_id: str
    reference: str


@dataclass(frozen=True, slots=True)
class Adjustment:
    """An adjustment, and what became of it."""

    id: str
    account_id: str
    terms: AdjustmentTerms
    amount: Decimal
    waiting: Decimal
    """What no invoice has taken yet."""
    taken: list[tuple[str, Decimal]]
    """Ids of invoices and what each took."""
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an event, and the adjustments that this made."""

    event: Corrected
    adjustments: list[Adjustment] = field(default_factory=list)


async def correct_events(
    db: Database, caller: Caller, action: Action, wanted: Selection, payload: Event | None
) -> list[Outcome]:
    """Correct the first events of a selection, invoiced or not, each in a transaction of its own.

    Raises `NotFound` where there is none, `Invalid` for a payload with several.
    """
    async with db.reading(caller.workspace) as connection:
        events = await matching(connection, caller.workspace, wanted)
    if not events:
        raise NotFound("event", wanted.event_id or "that matches")
    if payload is not None and len(events) > 1:
        raise Invalid("event", "is the content of a single event; several match")
    outcomes = []
    for kept in events:
        try:
            outcomes.append(await db.run(None, partial(_correct, caller, action, kept, payload)))
        except Refused as error:
            outcomes.append(Outcome(Corrected(kept, kept.state, done=False, reason=error.message)))
    return outcomes


async def adjust_replayed(connection: Connection, caller: Caller, kept: KeptEvent, moved: Sequence[Moved]) -> None:
    """Adjust what is invoiced by a refused event that was let in; for `usage.replays`. Raises as `adjust` does."""
    await adjust(connection, caller, Cause(REPLAY, kept.event.id or kept.reference, kept.reference), moved)


async def adjust(connection: Connection, caller: Caller, cause: Cause, moved: Sequence[Moved]) -> list[Adjustment]:
    """Adjust the issued invoices of the periods in which a correction has moved usage, in its transaction.

    A draft follows by itself, and where nothing is invoiced nothing is charged. Raises `Refused` where an invoice was
    taken back, or would come to more than can be posted.
    """
    moved = [one for one in moved if one.quantity]
    if not moved:
        return []
    versions = [one.meter_version for one in moved]
    rows = await connection.fetch(queries.meters_of_versions, caller.workspace, versions)
    meters = {row["key"]: row["usage_meter"] for row in rows}
    accounts, instants = [one.account for one in moved], [one.occurred_at for one in moved]
    used: defaultdict[int, defaultdict[int, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for row in await connection.fetch(queries.lock_billed, caller.workspace, accounts, instants):
        if row["status"] in TAKEN_BACK:
            raise Refused(f"Invoice {row['wire_id']} of its period was taken back; charge it by a custom invoice")
        if row["status"] != "DRAFT":
            one = moved[row["place"] - 1]
            used[row["key"]][meters[one.meter_version]] += one.quantity
    keys = []
    for invoice, quantities in sorted(used.items()):
        changed = {meter: quantity for meter, quantity in sorted(quantities.items()) if quantity}
        if changed:
            keys.append(await _adjust_one(connection, caller, cause, invoice, changed))
    return await _read(connection, caller.workspace, keys=keys) if keys else []


async def list_adjustments(
    connection: Connection,
    workspace: int,
    *,
    account_id: str | None,
    invoice_id: str | None,
    waiting: bool | None,
    after: str | None,
    limit: int,
) -> Page[Adjustment]:
    """Adjustments, newest first. `waiting`: those of which something waits for an invoice, or those of which nothing
    does. Raises `Invalid` for an `after` that is no bookmark."""
    before = key_of(after, field="after") or None
    rows = await connection.fetch(
        queries.list_adjustments, workspace, account_id, invoice_id, waiting, before, None, limit + 1
    )
    page = [_adjustment(row) for row in rows[:limit]]
    return Page(page, str(rows[limit - 1]["key"]) if len(rows) > limit else None)


async def _correct(
    caller: Caller, action: Action, kept: KeptEvent, payload: Event | None, connection: Connection
) -> Outcome:
    (outcome,) = await corrections.correct(
        connection, caller, action, [kept], payload, purchases.give_back, sift, invoiced=True
    )
    if not outcome.done:
        return Outcome(outcome)
    cause = Cause(action.value, kept.event.id or kept.reference, kept.reference)
    return Outcome(outcome, await adjust(connection, caller, cause, outcome.moved))


async def _adjust_one(
    connection: Connection, caller: Caller, cause: Cause, invoice: int, used: dict[int, Decimal]
) -> int:
    """Adjust one invoice, whose row is held, by what was added to its usage; returns the adjustment's key."""
    headers = await store.headers(connection, caller.workspace, [invoice])
    header = headers[0]
    assert header.content is not None, "an issued invoice has a document"
    document = frozen(header.content)
    before = charged(document) + await connection.fetchval(queries.adjusted_amount, caller.workspace, invoice)
    (drawn,) = await draw_up_all(connection, caller.workspace, headers, corrected=True)
    if not postable(drawn.content):
        raise Refused(f"Invoice {header.id} of its period would come to more than can be posted")
    names = await store.meters(connection, caller.workspace, list(used))
    assert document.sequence_id is not None, "an issued invoice has a number"
    after = drawn.content.total
    terms = AdjustmentTerms(
        id=ids.draw("adj"),
        invoice_id=header.id,
        invoice_sequence_id=document.sequence_id,
        start_date=document.start_date,
        end_date=document.end_date,
        event_id=cause.event_id,
        event_reference=cause.reference,
        action=cause.action,
        usage=[
            AdjustedUsage(meter_id=names[meter].id, name=names[meter].name, quantity=plain(quantity))
            for meter, quantity in used.items()
        ],
        before=plain(before),
        after=plain(after),
        amount=plain(after - before),
    )
    version = next((entry.price_version for entry in document.lines if entry.price_version is not None), None)
    content = to_text(line_of(terms, version))
    key: int = await connection.fetchval(
        queries.insert_adjustment,
        caller.workspace,
        terms.id,
        header.account,
        invoice,
        content,
        terms.amount,
        caller.wall,
    )
    await connection.execute(
        queries.insert_adjustment_usage, caller.workspace, key, list(used), list(used.values())
    )  # fmt: skip
    detail = {"adjustment": terms.id, "event": cause.reference, "amount": show(terms.amount)}
    await audit.record(connection, caller, "adjust", "invoice", header.id, detail)
    return key


async def _read(connection: Connection, workspace: int, *, keys: list[int]) -> list[Adjustment]:
    rows = await connection.fetch(queries.list_adjustments, workspace, None, None, None, None, keys, len(keys))
    return [_adjustment(row) for row in reversed(rows)]


def _adjustment(row: Row) -> Adjustment:
    terms = from_text(row["content"]).adjustment
    assert isinstance(terms, AdjustmentTerms)
    return Adjustment(
        id=row["wire_id"],
        account_id=row["account_id"],
        terms=terms,
        amount=row["amount"],
        waiting=row["open_amount"],
        taken=list(zip(row["invoices"], row["amounts"], strict=True)),
        recorded_at=row["recorded_at"],
    )
