"""Templates of invoices' documents. Their path is singular, their type is not."""

from typing import Any

from bursar.http.yeti.door import door
from bursar.http.yeti.jsonapi import TEXT, Attribute, Listing, Resource, Slice, Turn, Values
from bursar.invoicing import invoice_templates as room


async def _list(turn: Turn, listing: Listing) -> Slice[Any]:
    return await room.list_templates(turn.connection, turn.caller.workspace, listing)


async def _create(turn: Turn, values: Values) -> int:
    return await room.create_template(turn.connection, turn.caller, values)


async def _update(turn: Turn, number: int, values: Values) -> int:
    await room.update_template(turn.connection, turn.caller, number, values)
    return number


async def _delete(turn: Turn, number: int) -> None:
    await room.delete_template(turn.connection, turn.caller, number)


invoice_templates = door.add(
    Resource(
        "invoice-templates",
        attributes=(Attribute("name", TEXT, "CU", filters=True), Attribute("html_template", TEXT, "CU")),
        path="invoice-template",
        list=_list,
        create=_create,
        update=_update,
        delete=_delete,
    )
)
