"""Miscellaneous charges as they are kept: of a draft, or of an account, whose next invoice takes them."""

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from bursar.accounts.model import may_change
from bursar.accounts.store import lock_account
from bursar.core.caller import Caller
from bursar.core.errors import NotFound, WrongState
from bursar.db import audit
from bursar.db.database import Connection
from bursar.db.queries import Queries
from bursar.invoicing import store
from bursar.invoicing.charges import Charge, check_charges

queries = Queries("bursar.invoicing", "charges.sql")

_decode = msgspec.json.Decoder(list[Charge]).decode
_encode = msgspec.json.Encoder(decimal_format="string").encode


async def charges_of(
    connection: Connection, workspace: int, invoices: Sequence[int], *, take: bool = False
) -> dict[int, list[Charge]]:
    """The charges of invoices, by their keys, in order; those without any are left out.

    `take`: the invoices are about to be issued, and what waited at their accounts is theirs from now on.
    """
    rows = await connection.fetch(queries.charges_of, workspace, list(invoices))
    waiting = [row for row in rows if row["waiting"]]
    texts = {row["key"]: row["items"] for row in rows}
    if take and waiting:
        taken = await connection.fetch(
            queries.take_charges, workspace, [row["key"] for row in waiting], [row["invoice"] for row in waiting]
        )
        gone = {row["key"] for row in waiting} - {row["key"] for row in taken}
        texts = {key: text for key, text in texts.items() if key not in gone}
        texts |= {row["key"]: row["items"] for row in taken}
    found: defaultdict[int, list[Charge]] = defaultdict(list)
    for row in rows:
        if row["key"] in texts:
            found[row["invoice"]] += _decode(texts[row["key"]])
    return dict(found)


async def put_on_account(connection: Connection, caller: Caller, account_id: str, charges: Sequence[Charge]) -> None:
    """Give an account these charges, in the place of those that wait, for the next invoice that is issued to it.

    Raises `NotFound`, `Invalid`, or `WrongState` where the account is archived.
    """
    check_charges(charges, "items")
    account = await lock_account(connection, caller.workspace, account_id)
    may_change("account", account_id, account.status)
    if charges:
        await connection.execute(
            queries.put_charges_of_account, caller.workspace, account.key, _encode(charges).decode(), caller.wall
        )
    else:
        await connection.execute(queries.drop_charges_of_account, caller.workspace, account.key)
    await audit.record(connection, caller, "charge", "account", account_id, {"charges": len(charges)})


async def put_on_invoice(connection: Connection, caller: Caller, invoice_id: str, charges: Sequence[Charge]) -> None:
    """Give a draft these charges, in the place of its own. Raises `NotFound`, `Invalid`, `WrongState`."""
    check_charges(charges, "items")
    row = await connection.fetchrow(store.queries.lock_invoice, caller.workspace, invoice_id)
    if row is None:
        raise NotFound("invoice", invoice_id)
    if row["status"] != "DRAFT":
        raise WrongState(f"invoice {invoice_id!r} is {row['status']}; only a draft can be given charges")
    if charges:
        await connection.execute(
            queries.put_charges_of_invoice, caller.workspace, row["key"], _encode(charges).decode(), caller.wall
        )
    else:
        await connection.execute(queries.drop_charges_of_invoice, caller.workspace, row["key"])
    await audit.record(connection, caller, "charge", "invoice", invoice_id, {"charges": len(charges)})
