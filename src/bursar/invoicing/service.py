"""Reading invoices: drafts as they stand, issued ones as they were frozen, lines with what explains them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bursar.catalog.meters import meter_keys
from bursar.core.caller import Caller
from bursar.core.errors import NotFound
from bursar.core.page import Page, key_of
from bursar.db.database import Connection, Database
from bursar.invoicing import settlement, store
from bursar.invoicing.content import draw_up_all
from bursar.invoicing.document import Document, Line, frozen
from bursar.invoicing.holds import held_drafts
from bursar.invoicing.opening import open_cycles
from bursar.invoicing.parties import reveal
from bursar.invoicing.settlement import Paid
from bursar.invoicing.store import Header, queries
from bursar.purchases import store as schedules
from bursar.usage.quantities import MeteredEvent, events_of


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice: its living state and its document, which is frozen unless the invoice is a draft."""

    header: Header
    document: Document


@dataclass(frozen=True, slots=True)
class Filters:
    """Which invoices to list; None does not filter."""

    status: str | None = None
    account_id: str | None = None
    customer_id: str | None = None
    starts_from: datetime | None = None
    starts_before: datetime | None = None
    """Invoices whose period begins in `[starts_from, starts_before)`: adjoining windows share none."""
    due_by: datetime | None = None
    """Only drafts that may be issued by then."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A line and the events behind its quantity."""

    invoice: Invoice
    line: Line
    events: Page[MeteredEvent]


async def get_invoice(db: Database, caller: Caller, identifier: str) -> Invoice:
    """An invoice by its wire id. Raises `NotFound`."""
    async with db.reading(caller.workspace) as connection:
        key, account = await _find(connection, caller, identifier)
        # A change of schedules may have moved or withdrawn the draft.
        if not await schedules.some_due(connection, caller.workspace, account, caller.now):
            return (await _read(connection, caller, [key]))[0]
    await open_cycles(db, caller, caller.now, account)
    async with db.reading(caller.workspace) as connection:
        key, _ = await _find(connection, caller, identifier)
        return (await _read(connection, caller, [key]))[0]


async def list_invoices(db: Database, caller: Caller, filters: Filters, after: str | None, limit: int) -> Page[Invoice]:
    """Invoices, newest first; the drafts of all cycles that have begun are among them."""
    before = key_of(after) or None
    await open_cycles(db, caller, caller.now)
    async with db.reading(caller.workspace) as connection:
        rows = await connection.fetch(
            queries.list_keys,
            caller.workspace,
            filters.status,
            filters.account_id,
            filters.customer_id,
            filters.starts_from,
            filters.starts_before,
            before,
            limit + 1,
            filters.due_by,
        )
        keys = [row["key"] for row in rows[:limit]]
        items = await _read(connection, caller, keys)
    return Page(items, str(keys[-1]) if len(rows) > limit else None)


async def payments_of(db: Database, caller: Caller, invoice: Invoice) -> list[Paid]:
    """What was paid of an invoice, and given back, in order."""
    async with db.reading(caller.workspace) as connection:
        return await settlement.payments_of(connection, caller.workspace, invoice.header.key)


async def explain_line(
    db: Database, caller: Caller, identifier: str, number: int, after: str | None, limit: int
) -> Explanation:
    """A line of an invoice with a page of the events behind it, by time; a line that measures nothing has none.

    Raises `NotFound` for an invoice or a line that does not exist.
    """
    invoice = await get_invoice(db, caller, identifier)
    line = next((entry for entry in invoice.document.lines if entry.number == number), None)
    if line is None:
        raise NotFound(f"line of invoice {identifier!r}", str(number))
    events: Page[MeteredEvent] = Page([])
    if line.meter is not None:
        async with db.reading(caller.workspace) as connection:
            keys = await meter_keys(connection, caller.workspace, [line.meter.id])
            period = invoice.header.period
            events = await events_of(
                connection,
                caller.workspace,
                invoice.header.account,
                keys[line.meter.id],
                period.start,
                period.end,
                after,
                limit,
            )
    return Explanation(invoice, line, events)


async def _find(connection: Connection, caller: Caller, identifier: str) -> tuple[int, int]:
    row = await connection.fetchrow(queries.find_key, caller.workspace, identifier)
    if row is None:
        raise NotFound("invoice", identifier)
    return row["key"], row["account"]


async def _read(connection: Connection, caller: Caller, keys: Sequence[int]) -> list[Invoice]:
    headers = await store.headers(connection, caller.workspace, keys)
    drafts = [header for header in headers if header.content is None]
    drawn = await draw_up_all(connection, caller.workspace, drafts) if drafts else []
    computed = await held_drafts(connection, caller.workspace, drawn)
    return [
        Invoice(
            header,
            computed[header.key]
            if header.content is None
            else reveal(frozen(header.content), header.parties, header.secret),
        )
        for header in headers
    ]
