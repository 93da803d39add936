"""Contractors: customers as a carrier knows them."""

from typing import Any

from bursar.accounts import contractors as room
from bursar.http.yeti.door import door
from bursar.http.yeti.jsonapi import (
    BOOLEAN,
    TEXT,
    Attribute,
    Listing,
    Resource,
    Slice,
    ToOne,
    Turn,
    Values,
    integer,
)


async def _list(turn: Turn, listing: Listing) -> Slice[Any]:
    return await room.list_contractors(turn.connection, turn.caller.workspace, listing)


async def _create(turn: Turn, values: Values) -> int:
    return await room.create_contractor(turn.connection, turn.caller, values)


async def _update(turn: Turn, number: int, values: Values) -> int:
    return await room.update_contractor(turn.connection, turn.caller, number, values)


async def _delete(turn: Turn, number: int) -> None:
    await room.delete_contractor(turn.connection, turn.caller, number)


contractors = door.add(
    Resource(
        "contractors",
        attributes=(
            Attribute("name", TEXT, "CU", filters=True),
            Attribute("enabled", BOOLEAN, "CU", filters=True),
            Attribute("vendor", BOOLEAN, "CU", filters=True),
            Attribute("customer", BOOLEAN, "CU", filters=True),
            Attribute("description", TEXT, "CU", filters=True),
            Attribute("address", TEXT, "CU", filters=True),
            Attribute("phones", TEXT, "CU", filters=True),
            Attribute("external_id", integer(strict=False), "CU", filters=True),
        ),
        to_one=(ToOne("smtp_connection", "smtp-connections", "CU", linked=True, filter=True),),
        plain_filters=("name",),
        alike=True,
        list=_list,
        create=_create,
        update=_update,
        delete=_delete,
    )
)
