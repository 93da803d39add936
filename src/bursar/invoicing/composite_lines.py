"""The lines of composites: one for each invoice that they are made of."""

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal

from bursar.core.decimals import plain, show
from bursar.db.database import Connection, Row
from bursar.invoicing.document import Line, MergedTerms
from bursar.invoicing.group_store import queries
from bursar.invoicing.model import Content, sequence_id

_ZERO = Decimal(0)


async def contents_of(connection: Connection, workspace: int, composites: Sequence[int]) -> dict[int, Content]:
    """The content of composites by their keys."""
    parts: defaultdict[int, list[Row]] = defaultdict(list)
    for row in await connection.fetch(queries.parts_of, workspace, list(composites)):
        parts[row["composite"]].append(row)
    return {key: _content(parts[key]) for key in composites}


def _content(parts: Sequence[Row]) -> Content:
    lines = [_line(number, row) for number, row in enumerate(parts, 1)]
    total = plain(sum((line.amount for line in lines), _ZERO))
    return Content(lines, total, total)


def _line(number: int, row: Row) -> Line:
    total, series = plain(row["total"]), sequence_id(row["number"])
    return Line(
        number=number,
        type="MERGED_INVOICE",
        name=series,
        description=f"Invoice {series} of account {row['togai_id']}",
        tag=None,
        meter=None,
        pricing_model=None,
        quantity=None,
        slabs=[],
        bounds=None,
        fee=None,
        commitment=None,
        invoice=MergedTerms(
            id=row["wire_id"], sequence_id=series, invoice_type=row["type"], account_id=row["togai_id"]
        ),
        price_version=None,
        formula=f"total of invoice {series} = {show(total)}",
        unrounded=total,
        amount=total,
        rounding=_ZERO,
        tax_rate=_ZERO,
        tax=_ZERO,
    )
