"""Accounts at the door of a carrier's customers."""

from typing import Any

from bursar.http.yeti.door import customer_door
from bursar.http.yeti.jsonapi import DECIMAL, INTEGER, TEXT, UUID, Attribute, Listing, Resource, Slice, Turn
from bursar.http.yeti.portal_scope import inward, outward
from bursar.ledger import accounts as room


async def _list(turn: Turn, listing: Listing) -> Slice[Any]:
    return outward(await room.list_accounts(turn.connection, turn.caller, inward(turn, listing, account="id")))


accounts = customer_door.add(
    Resource(
        "accounts",
        attributes=(
            Attribute("name", TEXT),
            Attribute("balance", DECIMAL),
            Attribute("min_balance", DECIMAL),
            Attribute("max_balance", DECIMAL),
            Attribute("destination_rate_limit", DECIMAL),
            Attribute("origination_capacity", INTEGER),
            Attribute("termination_capacity", INTEGER),
            Attribute("total_capacity", INTEGER),
            Attribute("currency", TEXT),
        ),
        id=UUID,
        list=_list,
    )
)
