"""Contacts: whom to tell at a contractor."""

from typing import Any

from bursar.accounts import contacts as room
from bursar.http.yeti.door import door
from bursar.http.yeti.jsonapi import TEXT, Attribute, Listing, Resource, Slice, ToOne, Turn, Values


async def _list(turn: Turn, listing: Listing) -> Slice[Any]:
    return await room.list_contacts(turn.connection, turn.caller.workspace, listing)


async def _create(turn: Turn, values: Values) -> int:
    return await room.add_contact(turn.connection, turn.caller, values)


async def _update(turn: Turn, number: int, values: Values) -> int:
    return await room.change_contact(turn.connection, turn.caller, number, values)


async def _delete(turn: Turn, number: int) -> None:
    await room.delete_contact(turn.connection, turn.caller, number)


contacts = door.add(
    Resource(
        "contacts",
        attributes=(Attribute("email", TEXT, "CU", filters=True), Attribute("notes", TEXT, "CU", filters=True)),
        to_one=(ToOne("contractor", "contractors", "CU", linked=True),),
        alike=True,
        list=_list,
        create=_create,
        update=_update,
        delete=_delete,
    )
)
