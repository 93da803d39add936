"""Adjustments as they are kept, and as lines: what corrections changed of an issued invoice, on the next one.

An issued invoice never changes. What its corrected usage would have come to, less what was charged for it, is an
adjustment; it waits at its account until an invoice takes it. One that gives back more than an invoice comes to is
taken in parts: no invoice is below zero.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

import msgspec

from bursar.core.decimals import plain, show
from bursar.db.database import Connection
from bursar.db.queries import Queries
from bursar.invoicing.document import AdjustmentTerms, Document, Line, PriceVersion
from bursar.invoicing.model import Content

queries = Queries("bursar.invoicing", "adjustments.sql")

WORDS = {
    "UNDO": "undone",
    "REDO": "let in anew",
    "REDO_EVENT": "replaced",
    "REPLAY": "let in late",
}
"""What was done to an event, by action."""
_ZERO = Decimal(0)
_encode = msgspec.json.Encoder(decimal_format="number", order="deterministic").encode
_decode = msgspec.json.Decoder(Line).decode


class Adjusting(NamedTuple):
    """An adjustment that an invoice takes something of."""

    line: Line
    """Of the whole adjustment."""
    amount: Decimal
    """What this invoice has taken or, where not `fixed`, what is left for it to take."""
    fixed: bool


def line_of(terms: AdjustmentTerms, version: PriceVersion | None) -> Line:
    """The line of a whole adjustment, without a number. `version`: whose prices were charged."""
    used = ", ".join(f"{one.name} {'+' if one.quantity > 0 else ''}{show(one.quantity)}" for one in terms.usage)
    text = f"{used}: {terms.invoice_sequence_id} comes to {show(terms.after)} instead of {show(terms.before)}"
    return Line(
        number=0,
        type="ADJUSTMENT",
        name="adjustment",
        description=f"Adjustment of {terms.invoice_sequence_id}: event {terms.event_id} {WORDS[terms.action]}",
        tag=None,
        meter=None,
        pricing_model=None,
        quantity=None,
        slabs=[],
        bounds=None,
        fee=None,
        commitment=None,
        price_version=version,
        formula=f"{text} = {show(terms.amount)}",
        unrounded=terms.amount,
        amount=terms.amount,
        rounding=_ZERO,
        tax_rate=_ZERO,
        tax=_ZERO,
        adjustment=terms,
    )


def to_text(line: Line) -> str:
    """The line of an adjustment as it is kept."""
    return _encode(line).decode()


def from_text(text: str) -> Line:
    """The line that `to_text` wrote."""
    return _decode(text)


def with_adjustments(content: Content, adjusting: Iterable[Adjusting]) -> Content:
    """Content with a line for what is taken of each adjustment: first what adds, then what takes away, as far as it
    goes. Nothing of one that finds nothing left."""
    lines, total = list(content.lines), content.total
    for one in sorted(adjusting, key=lambda one: one.amount < 0):
        amount = one.amount if one.fixed else max(one.amount, -total)
        if not amount:
            continue
        whole = one.line.amount
        text = one.line.formula + ("" if amount == whole else f", of which {show(amount)} is taken here")
        amount = plain(amount)
        lines.append(
            msgspec.structs.replace(one.line, number=len(lines) + 1, formula=text, unrounded=amount, amount=amount)
        )
        total += amount
    return replace(content, lines=lines, total=plain(total))


async def adjustments_of(
    connection: Connection, workspace: int, invoices: Sequence[int], *, take: bool = False
) -> dict[int, list[Adjusting]]:
    """What adjusts invoices, by their keys, in order; those that nothing does are left out.

    `take`: they are about to be issued, and nobody else takes what waits until the transaction ends.
    """
    rows = await connection.fetch(queries.adjustments_of, workspace, list(invoices))
    waiting = [row["key"] for row in rows if not row["fixed"]]
    if take and waiting:
        await connection.fetch(queries.hold_adjustments, waiting)
        rows = await connection.fetch(queries.adjustments_of, workspace, list(invoices))
    found: defaultdict[int, list[Adjusting]] = defaultdict(list)
    for row in rows:
        found[row["invoice"]].append(Adjusting(from_text(row["content"]), row["amount"], row["fixed"]))
    return dict(found)


async def note_taken(connection: Connection, workspace: int, issued: Iterable[tuple[int, Document]]) -> None:
    """Note what invoices `(key, document)` that are being issued take of adjustments, which are held."""
    parts = [
        (invoice, entry.adjustment.id, entry.amount)
        for invoice, document in issued
        for entry in document.lines
        if entry.adjustment is not msgspec.UNSET
    ]
    if parts:
        invoices, names, amounts = (list(column) for column in zip(*parts, strict=True))
        await connection.execute(queries.insert_parts, workspace, invoices, names, amounts)
        await connection.execute(queries.take_parts, workspace, names, amounts)


async def usage_since_issue(
    connection: Connection, workspace: int, invoices: Sequence[int]
) -> dict[tuple[int, int], Decimal]:
    """What corrections have added to what issued invoices charged, by keys of invoice and meter."""
    rows = await connection.fetch(queries.adjusted_usage, workspace, list(invoices))
    return {(row["invoice"], row["usage_meter"]): row["quantity"] for row in rows}
