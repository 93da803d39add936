"""Transactions: what was charged to balances for services or by hand."""

from typing import Any

from bursar.http.yeti.door import door
from bursar.http.yeti.jsonapi import (
    DECIMAL,
    MOMENT,
    REFERENCE,
    TEXT,
    UUID,
    Attribute,
    Listing,
    Resource,
    Slice,
    ToOne,
    Turn,
    Values,
)
from bursar.purchases import service_store
from bursar.purchases.charges import MakeTransaction, make_transaction


async def _list(turn: Turn, listing: Listing) -> Slice[Any]:
    return await service_store.list_charges(turn.connection, turn.caller.workspace, listing)


async def _create(turn: Turn, values: Values) -> int:
    new = MakeTransaction(**{"account": None, "amount": None, **values})
    return await make_transaction(turn.connection, turn.caller, new)


transactions = door.add(
    Resource(
        "transactions",
        attributes=(
            Attribute("description", TEXT, "C", sortable=False, filters=True),
            Attribute("amount", DECIMAL, "C", filters=True),
            Attribute("created_at", MOMENT, filters=True),
            Attribute("uuid", UUID, sortable=False, filters=True),
        ),
        to_one=(ToOne("account", "accounts", "C", linked=True), ToOne("service", "services", "C", linked=True)),
        extra_filters={"account_id": REFERENCE, "service_id": REFERENCE},
        sorts=("account_id", "service_id"),
        first=("account", "service"),
        list=_list,
        create=_create,
    )
)
