"""The lines of custom invoices as they are kept."""

from collections.abc import Sequence

import msgspec

from bursar.db.database import Connection
from bursar.db.queries import Queries
from bursar.invoicing.charges import Item

queries = Queries("bursar.invoicing", "custom.sql")

_decode = msgspec.json.Decoder(list[Item]).decode
_encode = msgspec.json.Encoder(decimal_format="string").encode


async def items_of(connection: Connection, workspace: int, invoices: Sequence[int]) -> dict[int, list[Item]]:
    """The lines of custom invoices by their keys."""
    rows = await connection.fetch(queries.items_of, workspace, list(invoices))
    return {row["invoice"]: _decode(row["items"]) for row in rows}


async def keep_items(connection: Connection, workspace: int, invoice: int, items: Sequence[Item]) -> None:
    """Set the lines of a custom invoice, in the place of those that it has."""
    await connection.execute(queries.put_items, workspace, invoice, _encode(items).decode())
