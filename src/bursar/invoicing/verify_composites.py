"""What must always hold of composites."""

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal

from bursar.db.database import Connection, Row
from bursar.invoicing.group_store import queries
from bursar.invoicing.model import COMPOSITE
from bursar.invoicing.store import queries as invoices

_PAGE = 200
_LIMIT = 20
_TAKEN_BACK = ("VOID", "REFUND_INITIATED", "REFUND_COMPLETED")


async def sums_of_their_parts(connection: Connection) -> list[str]:
    """Composites whose total is not that of their parts, or to which not just what their parts left open has moved."""
    problems: list[str] = []
    last = 0
    while rows := await connection.fetch(invoices.page_documents, last, _PAGE):
        last = rows[-1]["invoice"]
        composites = [row for row in rows if row["type"] == COMPOSITE]
        for workspace in {row["workspace"] for row in composites}:
            here = [row for row in composites if row["workspace"] == workspace]
            problems += await _of_workspace(connection, workspace, here)
    strays = await connection.fetch(queries.stray_parts)
    problems += [f"invoice {row['wire_id']} is {row['status']} without being part of a composite, or while it is"
                 for row in strays]  # fmt: skip
    return problems[:_LIMIT]


async def _of_workspace(connection: Connection, workspace: int, composites: Sequence[Row]) -> list[str]:
    keys = [row["invoice"] for row in composites]
    parts: defaultdict[int, list[Row]] = defaultdict(list)
    for row in await connection.fetch(queries.parts_of, workspace, keys):
        parts[row["composite"]].append(row)
    left: defaultdict[int, dict[int, Decimal]] = defaultdict(dict)
    for row in await connection.fetch(queries.composite_movements, workspace, keys):
        left[row["composite"]][row["account"]] = row["amount"]
    problems = []
    for row in composites:
        total = sum((part["total"] for part in parts[row["invoice"]]), Decimal(0))
        if total != row["total"]:
            problems.append(f"composite {row['wire_id']} is of {row['total']:f}, its parts of {total:f}")
        expected: defaultdict[int, Decimal] = defaultdict(Decimal)
        if row["status"] in ("DUE", "PARTIALLY_PAID"):
            expected[row["account"]] += row["total"] - row["paid_amount"]
        if row["status"] not in _TAKEN_BACK:
            for part in parts[row["invoice"]]:
                expected[part["account"]] -= part["total"]
        if {account: amount for account, amount in expected.items() if amount} != left[row["invoice"]]:
            problems.append(
                f"composite {row['wire_id']} is {row['status']} and has left {left[row['invoice']]} receivable"
            )
    return problems
