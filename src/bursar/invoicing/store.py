"""Invoices and their documents as rows."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache

import msgspec

from bursar.accounts.model import Address
from bursar.catalog.definitions import MeterDefinition
from bursar.catalog.definitions import from_text as definition_of
from bursar.core.cycles import Calendar
from bursar.core.period import Period
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries
from bursar.invoicing.document import Document, Filter, Meter, Party, Seller, digest, pack, to_text
from bursar.invoicing.model import SERIES
from bursar.invoicing.parties import conceal
from bursar.purchases.store import decode_calendar

queries = Queries("bursar.invoicing")


class Cycle(msgspec.Struct, frozen=True):
    """Of which association an invoice is, and how its cycles run."""

    calendar: Calendar
    plan_version: int
    schedule_id: str
    anchor: datetime
    """When the association began."""


class Header(msgspec.Struct, frozen=True):
    """An invoice as a row, with the parties and terms that its document names."""

    key: int
    id: str
    account: int
    type: str
    invoice_class: str
    status: str
    period: Period
    due_at: datetime
    """When grace has ended and it may be issued."""
    paid_amount: Decimal
    uses_credits: bool
    uses_wallet: bool
    auto_advance: bool
    """Whether a bill run issues it."""
    updated_at: datetime
    cycle: Cycle | None
    """None on an invoice of no association."""
    zone: str
    currency: str
    exponent: int
    net_term_days: int
    account_party: Party
    customer: Party
    seller: Seller
    content: bytes | None
    """The frozen document as it is kept; None on a draft."""
    parties: bytes
    """Sealed, who the frozen document is for."""
    secret: bytes | None
    """What they are sealed under; None where the customer was erased."""
    issued_at: datetime | None
    credit_note: int | None
    """The number of the credit note that took it back."""


async def headers(connection: Connection, workspace: int, keys: Sequence[int]) -> list[Header]:
    """Invoices in the order of `keys`."""
    rows = await connection.fetch(queries.list_invoices, workspace, list(keys))
    found = {row["key"]: _header(row) for row in rows}
    return [found[key] for key in keys]


async def meters(connection: Connection, workspace: int, keys: Sequence[int]) -> dict[int, Meter]:
    """What meters measure, by their internal keys."""
    rows = await connection.fetch(queries.list_meters, workspace, list(keys))
    return {row["key"]: _meter(row) for row in rows}


async def draw_numbers(connection: Connection, workspace: int, count: int, series: str = SERIES) -> range:
    """The next numbers of a series, without a gap: they come back if the transaction does not commit."""
    last: int = await connection.fetchval(queries.draw_numbers, workspace, series, count)
    return range(last - count + 1, last + 1)


async def freeze(
    connection: Connection, workspace: int, now: datetime, issued: Sequence[tuple[Header, int, Document]]
) -> list[bytes]:
    """Keep the documents of `(invoice, number, document)`; returns their hashes."""
    concealed = [conceal(document, header.secret, to_text) for header, _, document in issued]
    # Beside the event loop, which draws up the next batch meanwhile: neither holds the interpreter's lock.
    hashes, packed = await asyncio.to_thread(_hashed_and_packed, concealed)
    await connection.execute(
        queries.insert_documents,
        workspace,
        SERIES,
        now,
        [header.key for header, _, _ in issued],
        [number for _, number, _ in issued],
        [document.currency for _, _, document in issued],
        [document.total for _, _, document in issued],
        packed,
        [parties for _, parties in concealed],
        hashes,
        [document.invoice_date for _, _, document in issued],
        [document.due_date for _, _, document in issued],
    )
    return hashes


def _hashed_and_packed(concealed: Sequence[tuple[bytes, bytes]]) -> tuple[list[bytes], list[bytes]]:
    return [digest(text, parties) for text, parties in concealed], pack(text for text, _ in concealed)


async def set_statuses(
    connection: Connection, workspace: int, wall: datetime, statuses: Sequence[tuple[int, str]]
) -> None:
    """Move invoices to their states."""
    await connection.execute(
        queries.set_statuses, workspace, wall, [key for key, _ in statuses], [status for _, status in statuses]
    )


def _header(row: Row) -> Header:
    cycle = None
    if row["schedule_id"] is not None:
        cycle = Cycle(decode_calendar(row["calendar"]), row["price_plan_version"], row["schedule_id"], row["anchor"])
    return Header(
        key=row["key"],
        id=row["wire_id"],
        account=row["account"],
        type=row["type"],
        invoice_class=row["class"],
        status=row["status"],
        period=Period(row["starts_at"], row["ends_at"]),
        due_at=row["due_at"],
        paid_amount=row["paid_amount"],
        uses_credits=row["uses_credits"],
        uses_wallet=row["uses_wallet"],
        auto_advance=row["auto_advance"],
        updated_at=row["updated_at"],
        cycle=cycle,
        zone=row["zone"] if cycle is None else cycle.calendar.zone,
        currency=row["currency"],
        exponent=row["exponent"],
        net_term_days=row["net_term_days"],
        account_party=_party(row, "account"),
        customer=_party(row, "customer"),
        seller=_seller(row["seller"], row["workspace_name"]),
        content=row["content"],
        parties=row["parties"] or b"",
        secret=row["secret"],
        issued_at=row["issued_at"],
        credit_note=row["credit_note"],
    )


@lru_cache(maxsize=1024)
def _seller(text: str, workspace: str) -> Seller:
    seller = msgspec.json.decode(text, type=Seller)
    return seller if seller.business_name else msgspec.structs.replace(seller, business_name=workspace)


def _party(row: Row, whose: str) -> Party:
    return Party(
        id=row[f"{whose}_id"],
        name=row[f"{whose}_name"],
        primary_email=row[f"{whose}_email"],
        address=msgspec.json.decode(row[f"{whose}_address"], type=Address),
    )


def _meter(row: Row) -> Meter:
    definition = definition_of(row["definition"], MeterDefinition)
    return Meter(
        id=row["wire_id"],
        name=definition.billable_name or row["name"],
        version=row["version"],
        aggregation=definition.aggregation,
        filters=[Filter(field=entry.field, value=entry.value) for entry in definition.filters],
        matcher=definition.matcher,
        computation=definition.computation,
    )
