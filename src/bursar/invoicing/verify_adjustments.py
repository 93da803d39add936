"""What must always hold of adjustments."""

from collections import defaultdict
from decimal import Decimal

from msgspec import UNSET

from bursar.db.database import Connection
from bursar.db.verify import Check
from bursar.invoicing import store
from bursar.invoicing.adjustments import queries
from bursar.invoicing.content import draw_up_all
from bursar.invoicing.crediting import charged
from bursar.invoicing.document import readable

_PAGE = 200
_LIMIT = 20


async def _as_corrected(connection: Connection) -> list[str]:
    problems = []
    last = 0
    while rows := await connection.fetch(queries.adjusted_invoices, last, _PAGE):
        last = rows[-1]["invoice"]
        for workspace in {row["workspace"] for row in rows}:
            adjusted = {row["invoice"]: row["amount"] for row in rows if row["workspace"] == workspace}
            headers = await store.headers(connection, workspace, list(adjusted))
            for drawn in await draw_up_all(connection, workspace, headers, corrected=True):
                content = drawn.header.content
                document = None if content is None else readable(content)
                if document is None:
                    continue  # told elsewhere
                billed = adjusted[drawn.header.key] + charged(document)
                if billed != drawn.content.total:
                    problems.append(
                        f"invoice {drawn.header.id} comes to {billed} with its adjustments, its corrected usage gives"
                        f" {drawn.content.total}"
                    )
    return problems[:_LIMIT]


async def _taken(connection: Connection) -> list[str]:
    problems = [
        f"adjustment {row['wire_id']} of workspace {row['workspace']} is of {row['amount']:f}, {row['taken']:f} is"
        f" taken and {row['open_amount']:f} waits"
        for row in await connection.fetch(queries.wrong_parts)
    ]
    last = 0
    while rows := await connection.fetch(store.queries.page_documents, last, _PAGE):
        last = rows[-1]["invoice"]
        parts: defaultdict[int, dict[str, Decimal]] = defaultdict(dict)
        for part in await connection.fetch(queries.parts_of, [row["invoice"] for row in rows]):
            parts[part["invoice"]][part["wire_id"]] = part["amount"]
        for row in rows:
            document = readable(row["content"])
            if document is None:
                continue
            shown = {one.adjustment.id: one.amount for one in document.lines if one.adjustment is not UNSET}
            if shown != parts[row["invoice"]]:
                problems.append(f"invoice {row['wire_id']} shows other adjustments than it has taken")
    return problems[:_LIMIT]


CHECKS: list[Check] = [
    Check("I6", "an invoice with its adjustments is what its corrected usage and prices give", _as_corrected),
    Check("I6", "every adjustment is on invoices, or waits for one", _taken),
]
