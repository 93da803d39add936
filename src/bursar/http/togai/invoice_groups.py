"""Invoice groups in the Togai dialect."""

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta

from bursar.accounts.model import Address
from bursar.http.door import Answer, Body, Call
from bursar.http.togai.door import PageQuery, Success, door, open_token, seal_token
from bursar.http.togai.shapes import AddressShape, Days, Email, address_of
from bursar.invoicing import groups
from bursar.invoicing.group_store import Group, get_group, list_groups, members_of

TAG = "InvoiceGroups"

AccountIds = Annotated[list[Annotated[str, Meta(min_length=1, max_length=50)]], Meta(min_length=1, max_length=100)]


class CreateInvoiceGroupRequest(Body, kw_only=True):
    """A group to make."""

    name: Annotated[str, Meta(min_length=1, max_length=255)]
    email: Email
    daily_invoice_consolidation: bool
    account_ids: AccountIds
    address: AddressShape
    net_term_days: Days | None = None


class UpdateInvoiceGroupAccounts(Body, kw_only=True):
    """Accounts that join or leave."""

    account_ids: AccountIds


class InvoiceGroups(Answer, kw_only=True):
    """A group."""

    id: str
    name: str
    email: str
    daily_invoice_consolidation: bool
    invoice_currency: str
    billing_address: Address
    accounts_count: int
    created_at: datetime
    updated_at: datetime
    net_term_days: int | None = None


class InvoiceGroupAccountsPaginatedResponse(InvoiceGroups, kw_only=True):
    """A group with its accounts."""

    accounts: list[str]
    next_token: str | None


class InvoiceGroupPaginatedResponse(Answer, kw_only=True):
    """A page of groups."""

    data: list[InvoiceGroups]
    next_token: str | None


@door.operation(
    "POST",
    "/invoice_groups",
    id="createInvoiceGroup",
    tag=TAG,
    summary="Create an invoice group",
    scope="write",
    body=CreateInvoiceGroupRequest,
    answer=InvoiceGroups,
)
async def create_invoice_group(call: Call, body: CreateInvoiceGroupRequest) -> InvoiceGroups:
    """Make a group."""
    new = groups.NewGroup(
        body.name,
        body.email,
        address_of(body.address),
        body.daily_invoice_consolidation,
        body.account_ids,
        body.net_term_days,
    )
    async with call.db.transaction(call.caller.workspace) as connection:
        return _shape(await groups.create_group(connection, call.caller, new))


@door.operation(
    "GET",
    "/invoice_groups",
    id="listInvoiceGroups",
    tag=TAG,
    summary="List invoice groups",
    query=PageQuery,
    answer=InvoiceGroupPaginatedResponse,
)
async def list_invoice_groups(call: Call, query: PageQuery) -> InvoiceGroupPaginatedResponse:
    """List groups in the order of their making."""
    # The client cannot ask for a further page.
    query, after, size = open_token(query, default=100)
    async with call.db.reading(call.caller.workspace) as connection:
        page = await list_groups(connection, call.caller.workspace, after, size)
    return InvoiceGroupPaginatedResponse(
        data=[_shape(group) for group in page.items], next_token=seal_token(query, page.after, size)
    )


@door.operation(
    "GET",
    "/invoice_groups/{invoice_group_id}",
    id="getInvoiceGroup",
    tag=TAG,
    summary="Get an invoice group with its accounts",
    answer=InvoiceGroupAccountsPaginatedResponse,
)
async def get_invoice_group(call: Call) -> InvoiceGroupAccountsPaginatedResponse:
    """Read a group; its accounts come all at once, those that have been in it longest first."""
    async with call.db.reading(call.caller.workspace) as connection:
        group = await get_group(connection, call.caller.workspace, call.path["invoice_group_id"])
        members = await members_of(connection, call.caller.workspace, group.key)
    return InvoiceGroupAccountsPaginatedResponse(**_fields(group), accounts=list(members), next_token=None)


@door.operation(
    "POST",
    "/invoice_groups/{invoice_group_id}/add_accounts",
    id="AddInvoiceGroupAccounts",
    tag=TAG,
    summary="Add accounts to an invoice group",
    scope="write",
    body=UpdateInvoiceGroupAccounts,
    answer=InvoiceGroups,
)
async def add_invoice_group_accounts(call: Call, body: UpdateInvoiceGroupAccounts) -> InvoiceGroups:
    """Let accounts join a group."""
    async with call.db.transaction(call.caller.workspace) as connection:
        group = await groups.add_accounts(connection, call.caller, call.path["invoice_group_id"], body.account_ids)
    return _shape(group)


@door.operation(
    "POST",
    "/invoice_groups/{invoice_group_id}/remove_accounts",
    id="RemoveInvoiceGroupAccounts",
    tag=TAG,
    summary="Remove accounts from an invoice group, which ends with its last one",
    scope="write",
    body=UpdateInvoiceGroupAccounts,
    answer=Success,
)
async def remove_invoice_group_accounts(call: Call, body: UpdateInvoiceGroupAccounts) -> Success:
    """Let accounts leave a group."""
    async with call.db.transaction(call.caller.workspace) as connection:
        await groups.remove_accounts(connection, call.caller, call.path["invoice_group_id"], body.account_ids)
    return Success(success=True)


def _shape(group: Group) -> InvoiceGroups:
    return InvoiceGroups(**_fields(group))


def _fields(group: Group) -> dict[str, Any]:
    return {
        "id": group.id,
        "name": group.name,
        "email": group.email,
        "daily_invoice_consolidation": group.consolidates,
        "invoice_currency": group.currency,
        "billing_address": group.address,
        "accounts_count": group.accounts_count,
        "created_at": group.created_at,
        "updated_at": group.updated_at,
        "net_term_days": group.net_term_days,
    }
