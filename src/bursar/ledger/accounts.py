"""Accounts with what is in their wallets, as lists ask for them."""

from bursar.core.caller import Caller
from bursar.db.database import Connection, Row
from bursar.db.listing import BIGINT, NUMERIC, TEXT, UUID, Column, Lister, Listing, Slice
from bursar.db.queries import Queries

queries = Queries("bursar.ledger", "accounts.sql")

_TERMS = {
    "min_balance": NUMERIC, "max_balance": NUMERIC, "vat": NUMERIC, "balance_low_threshold": NUMERIC,
    "balance_high_threshold": NUMERIC, "destination_rate_limit": NUMERIC, "max_call_duration": BIGINT,
    "external_id": BIGINT, "uuid": UUID, "origination_capacity": BIGINT, "termination_capacity": BIGINT,
    "total_capacity": BIGINT,
}  # fmt: skip
LISTER = Lister(
    queries,
    "list_accounts",
    {
        "id": Column("a.yeti_id", BIGINT),
        "name": Column("p.name", TEXT),
        "balance": Column("coalesce(-b.balance, 0)", NUMERIC),
        **{name: Column(f"t.{name}", kind) for name, kind in _TERMS.items()},
        "send_invoices_to": Column("array_to_string(t.send_invoices_to, ',')", TEXT),
        "invoice_period_id": Column("t.invoice_period", BIGINT),
        "invoice_template_id": Column("t.invoice_template", BIGINT),
        "timezone": Column("coalesce(a.timezone, $2::text)", TEXT),
        "currency": Column("a.currency", TEXT),
        "currency_id": Column("y.yeti_id", BIGINT),
        "contractor_id": Column("c.yeti_id", BIGINT),
        "customer": Column("c.key", BIGINT),
        "key": Column("a.key", BIGINT),
    },
    total="count_accounts",
)


async def list_accounts(connection: Connection, caller: Caller, listing: Listing) -> Slice[Row]:
    """Accounts that the carrier has not deleted, archived ones included.

    Rows have `id` (the carrier's number), `key`, `togai_id`, `archived`, `contractor_id`, `balance` (what is in the
    wallet, as the customer sees it) and all that is agreed. `contractor_id`, `customer` (its key), `key` and
    `currency_id` may be asked for, too.
    """
    return await LISTER.fetch(connection, listing, caller.workspace, caller.timezone)
