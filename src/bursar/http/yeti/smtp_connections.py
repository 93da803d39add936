"""The servers over which e-mail goes out."""

from typing import Any

from bursar.http.yeti.door import door
from bursar.http.yeti.jsonapi import BOOLEAN, TEXT, Attribute, Listing, Resource, Slice, Turn, Values, integer
from bursar.notify import smtp_connections as room


async def _list(turn: Turn, listing: Listing) -> Slice[Any]:
    return await room.list_smtp_connections(turn.connection, turn.caller.workspace, listing)


async def _create(turn: Turn, values: Values) -> int:
    return await room.create_connection(turn.connection, turn.caller, _fields(values))


async def _update(turn: Turn, number: int, values: Values) -> int:
    await room.update_connection(turn.connection, turn.caller, number, _fields(values))
    return number


async def _delete(turn: Turn, number: int) -> None:
    await room.delete_connection(turn.connection, turn.caller, number)


def _fields(values: Values) -> dict[str, Any]:
    return {"is_global" if name == "global" else name: value for name, value in values.items()}


smtp_connections = door.add(
    Resource(
        "smtp-connections",
        attributes=(
            Attribute("name", TEXT, "CU"),
            Attribute("host", TEXT, "CU"),
            Attribute("port", integer(strict=False), "CU"),
            Attribute("from_address", TEXT, "CU"),
            Attribute("auth_user", TEXT, "CU"),
            Attribute("auth_password", TEXT, "CU"),
            Attribute("global", BOOLEAN, "CU"),
        ),
        plain_filters=("name",),
        list=_list,
        create=_create,
        update=_update,
        delete=_delete,
    )
)
