"""Add-ons in the Togai dialect."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from bursar.catalog import add_ons
from bursar.catalog.add_ons import AddOn
from bursar.http.door import Answer, Body, Call
from bursar.http.togai.door import PageQuery, PaginationOptions, Success, door, open_token, seal_token

TAG = "AddOns"

AddOnName = Annotated[str, Meta(min_length=1, max_length=255)]
BillableName = Annotated[str, Meta(max_length=255)]


class CreateAddOnRequest(Body, kw_only=True):
    """An add-on to make."""

    name: AddOnName
    type: Literal["LICENSE", "FIXED_FEE", "CREDIT_GRANT", "NAMED_LICENSE"]
    billable_name: BillableName | None = None


class UpdateAddOnRequest(Body, kw_only=True):
    """What to change of an add-on."""

    name: AddOnName | None = None
    billable_name: BillableName | None = None


class AddOnShape(Answer, kw_only=True):
    """An add-on."""

    id: str
    name: str
    type: str
    display_name: str
    status: str
    created_at: datetime
    billable_name: str | None = None


class AddOnPaginatedResponse(Answer, kw_only=True):
    """A page of add-ons."""

    data: list[AddOnShape]
    next_token: str | None
    context: PaginationOptions


class AddOnListQuery(PageQuery, kw_only=True):
    """How to cut and filter the list."""

    status: Literal["ACTIVE", "ARCHIVED"] | None = None


@door.operation(
    "POST", "/addons", id="createAddOn", tag=TAG, summary="Create an add-on", scope="write",
    body=CreateAddOnRequest, answer=AddOnShape,
)  # fmt: skip
async def create_add_on(call: Call, body: CreateAddOnRequest) -> AddOnShape:
    """Make an add-on."""
    async with call.db.transaction(call.caller.workspace) as connection:
        return _shape(await add_ons.create_add_on(connection, call.caller, body.name, body.type, body.billable_name))


@door.operation(
    "GET", "/addons", id="getAddOns", tag=TAG, summary="List add-ons",
    query=AddOnListQuery, answer=AddOnPaginatedResponse,
)  # fmt: skip
async def get_add_ons(call: Call, query: AddOnListQuery) -> AddOnPaginatedResponse:
    """List add-ons."""
    query, after, size = open_token(query)
    async with call.db.transaction(call.caller.workspace) as connection:
        page = await add_ons.list_add_ons(connection, call.caller.workspace, query.status, after, size)
    return AddOnPaginatedResponse(
        data=[_shape(add_on) for add_on in page.items],
        next_token=seal_token(query, page.after, size),
        context=PaginationOptions(page_size=size, sort_order="ASC"),
    )


@door.operation("GET", "/addons/{addon_id}", id="getAddOn", tag=TAG, summary="Get an add-on", answer=AddOnShape)
async def get_add_on(call: Call) -> AddOnShape:
    """Read an add-on."""
    async with call.db.transaction(call.caller.workspace) as connection:
        return _shape(await add_ons.get_add_on(connection, call.caller.workspace, call.path["addon_id"]))


@door.operation(
    "PATCH", "/addons/{addon_id}", id="updateAddOn", tag=TAG, summary="Update an add-on", scope="write",
    body=UpdateAddOnRequest, answer=AddOnShape,
)  # fmt: skip
async def update_add_on(call: Call, body: UpdateAddOnRequest) -> AddOnShape:
    """Rename an add-on."""
    async with call.db.transaction(call.caller.workspace) as connection:
        changed = await add_ons.update_add_on(
            connection, call.caller, call.path["addon_id"], body.name, body.billable_name
        )
        return _shape(changed)


@door.operation(
    "DELETE", "/addons/{addon_id}", id="deleteAddOn", tag=TAG, summary="Archive an add-on", scope="write",
    answer=Success,
)  # fmt: skip
async def delete_add_on(call: Call) -> Success:
    """Take an add-on out of use."""
    async with call.db.transaction(call.caller.workspace) as connection:
        await add_ons.archive_add_on(connection, call.caller, call.path["addon_id"])
    return Success(success=True)


def _shape(add_on: AddOn) -> AddOnShape:
    return AddOnShape(
        id=add_on.id,
        name=add_on.name,
        type=add_on.type,
        display_name=add_on.display_name,
        status=add_on.status,
        created_at=add_on.created_at,
        billable_name=add_on.billable_name,
    )
