"""Currencies that a carrier works with; number 0 is the workspace's own."""

from typing import Any

from bursar.accounts import currencies as room
from bursar.http.yeti.door import door
from bursar.http.yeti.jsonapi import RATE, TEXT, Attribute, Listing, Resource, Slice, Turn, Values, integer


async def _list(turn: Turn, listing: Listing) -> Slice[Any]:
    return await room.list_currencies(turn.connection, turn.caller.workspace, listing)


async def _create(turn: Turn, values: Values) -> int:
    return await room.add_currency(turn.connection, turn.caller, values)


async def _update(turn: Turn, number: int, values: Values) -> int:
    return await room.change_currency(turn.connection, turn.caller, number, values)


async def _delete(turn: Turn, number: int) -> None:
    await room.remove_currency(turn.connection, turn.caller, number)


currencies = door.add(
    Resource(
        "currencies",
        attributes=(
            Attribute("name", TEXT, "CU", filters=True),
            Attribute("rate", RATE, "CU", filters=True),
            Attribute("rate_provider_id", integer(16, strict=False), "CU", filters=True),
        ),
        list=_list,
        create=_create,
        update=_update,
        delete=_delete,
    )
)
