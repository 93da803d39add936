"""Accounts in the Togai dialect, their plans apart."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from bursar.accounts import names, service, store
from bursar.accounts.model import Account, AccountChange, AliasRemoval
from bursar.core.errors import Invalid
from bursar.core.period import FIRST, FOREVER
from bursar.db.database import Connection
from bursar.http.door import Answer, Body, Call, Query
from bursar.http.togai.door import PageQuery, PaginationOptions, Success, door, open_token, seal_token
from bursar.http.togai.shapes import (
    AccountShape,
    AddressShape,
    AliasValue,
    BillingShape,
    CreateAccountAliasRequest,
    CreateAccountRequestWithoutCustomerId,
    CurrencyCode,
    Days,
    Email,
    InvoiceGroupDetails,
    Metadata,
    Name,
    Tags,
    account_shape,
    address_of,
    aliases_of,
    billing_of,
    instant_of,
    load_account_shapes,
    new_account,
)
from bursar.invoicing.group_store import Group, group_of_account

TAG = "Accounts"


class CreateAccountRequest(CreateAccountRequestWithoutCustomerId, kw_only=True):
    """An account to make for a customer."""

    customer_id: Annotated[str, Meta(min_length=1, max_length=255)]


class UpdateAccountRequest(Body, kw_only=True):
    """What to change of an account."""

    name: Name | None = None
    status: Literal["ACTIVE", "DRAFT"] | None = None
    invoice_currency: CurrencyCode | None = None
    net_term_days: Days | None = None
    primary_email: Email | None = None
    billing_information: BillingShape | None = None
    address: AddressShape | None = None
    metadata: Metadata | None = None
    tags: Tags | None = None


class AddAccountAliasesRequest(Body, kw_only=True):
    """Aliases to give to an account."""

    aliases: Annotated[list[AliasValue], Meta(min_length=1, max_length=10)] | None = None
    account_aliases: Annotated[list[CreateAccountAliasRequest], Meta(min_length=1, max_length=10)] | None = None


class RemoveAccountAliasRequest(Body, kw_only=True, rename={"at": "from"}):
    """An alias to end from an instant on."""

    id: Annotated[str, Meta(min_length=1, max_length=255)]
    at: datetime | None = None


class RemoveAccountAliasesRequest(Body, kw_only=True):
    """Aliases to end: by value or entry id."""

    aliases: Annotated[list[Annotated[str, Meta(min_length=1, max_length=255)]], Meta(max_length=100)] | None = None
    account_aliases: Annotated[list[RemoveAccountAliasRequest], Meta(max_length=100)] | None = None


class AccountQuery(Query, kw_only=True):
    """When to look at an account."""

    effective_on: datetime | None = None
    include_group_details: bool | None = None


class AccountPaginatedResponse(Answer, kw_only=True):
    """A page of accounts."""

    data: list[AccountShape]
    next_token: str | None
    context: PaginationOptions


class AccountAliasShape(Answer, kw_only=True):
    """An alias of an account with its time."""

    id: str
    value: str
    effective_from: datetime
    effective_until: datetime
    created_at: datetime
    updated_at: datetime


class AccountAliasesPaginatedResponse(Answer, kw_only=True):
    """The aliases of an account."""

    data: list[AccountAliasShape]
    next_token: str | None


@door.operation(
    "POST",
    "/accounts",
    id="createAccount",
    tag=TAG,
    summary="Create an account",
    status=201,
    scope="write",
    body=CreateAccountRequest,
    answer=AccountShape,
)
async def create_account(call: Call, body: CreateAccountRequest) -> AccountShape:
    """Make an account of a customer."""
    async with call.db.transaction(call.caller.workspace) as connection:
        account = await service.create_account(connection, call.caller, body.customer_id, new_account(body))
        return await _shape(call, connection, account)


@door.operation(
    "GET",
    "/accounts",
    id="getAccounts",
    tag=TAG,
    summary="List accounts",
    query=PageQuery,
    answer=AccountPaginatedResponse,
)
async def get_accounts(call: Call, query: PageQuery) -> AccountPaginatedResponse:
    """List accounts."""
    query, after, size = open_token(query)
    async with call.db.transaction(call.caller.workspace) as connection:
        page = await store.list_accounts(connection, call.caller.workspace, after, size)
        shapes = await load_account_shapes(connection, call.caller, page.items)
    return AccountPaginatedResponse(
        data=shapes,
        next_token=seal_token(query, page.after, size),
        context=PaginationOptions(page_size=size, sort_order="ASC"),
    )


@door.operation(
    "GET",
    "/accounts/{account_id}",
    id="getAccount",
    tag=TAG,
    summary="Get an account",
    query=AccountQuery,
    answer=AccountShape,
)
async def get_account(call: Call, query: AccountQuery) -> AccountShape:
    """Read an account."""

    async def work(connection: Connection) -> AccountShape:
        found = await store.account_whole(connection, call.caller.workspace, call.path["account_id"])
        shape = account_shape(*found, instant_of(query.effective_on) or call.caller.now)
        if query.include_group_details:
            group = await group_of_account(connection, call.caller.workspace, found[0].key)
            shape.invoice_group_details = None if group is None else _group_details(group)
        return shape

    return await call.db.ask(call.caller.workspace, work)


@door.operation(
    "PATCH",
    "/accounts/{account_id}",
    id="updateAccount",
    tag=TAG,
    summary="Update an account",
    scope="write",
    body=UpdateAccountRequest,
    answer=AccountShape,
)
async def update_account(call: Call, body: UpdateAccountRequest) -> AccountShape:
    """Change an account."""
    change = AccountChange(
        name=body.name,
        status=body.status,
        currency=body.invoice_currency,
        net_term_days=body.net_term_days,
        primary_email=body.primary_email,
        address=None if body.address is None else address_of(body.address),
        billing_information=billing_of(body.billing_information),
        metadata=body.metadata,
        tags=None if body.tags is None else tuple(body.tags),
    )
    async with call.db.transaction(call.caller.workspace) as connection:
        account = await service.update_account(connection, call.caller, call.path["account_id"], change)
        return await _shape(call, connection, account)


@door.operation(
    "DELETE",
    "/accounts/{account_id}",
    id="deleteAccount",
    tag=TAG,
    summary="Archive an account",
    scope="write",
    answer=Success,
)
async def delete_account(call: Call) -> Success:
    """Archive an account."""
    async with call.db.transaction(call.caller.workspace) as connection:
        await service.archive_account(connection, call.caller, call.path["account_id"])
    return Success(success=True)


@door.operation(
    "POST",
    "/accounts/{account_id}/add_aliases",
    id="addAliases",
    tag=TAG,
    summary="Add aliases to an account",
    scope="write",
    body=AddAccountAliasesRequest,
    answer=AccountShape,
)
async def add_aliases(call: Call, body: AddAccountAliasesRequest) -> AccountShape:
    """Give aliases to an account."""
    aliases = aliases_of(body.aliases, body.account_aliases)
    if not aliases:
        raise Invalid("aliases", "give at least one alias in aliases or accountAliases")
    async with call.db.transaction(call.caller.workspace) as connection:
        account = await names.add_aliases(connection, call.caller, call.path["account_id"], aliases)
        return await _shape(call, connection, account)


@door.operation(
    "POST",
    "/accounts/{account_id}/remove_aliases",
    id="removeAliases",
    tag=TAG,
    summary="Remove aliases from an account",
    scope="write",
    body=RemoveAccountAliasesRequest,
    answer=AccountShape,
)
async def remove_aliases(call: Call, body: RemoveAccountAliasesRequest) -> AccountShape:
    """End aliases of an account."""
    removals = [
        *(AliasRemoval(value, field=f"aliases[{index}]") for index, value in enumerate(body.aliases or ())),
        *(
            AliasRemoval(entry.id, instant_of(entry.at), f"accountAliases[{index}].id")
            for index, entry in enumerate(body.account_aliases or ())
        ),
    ]
    if not removals:
        raise Invalid("aliases", "give at least one alias in aliases or accountAliases")
    async with call.db.transaction(call.caller.workspace) as connection:
        account = await names.remove_aliases(connection, call.caller, call.path["account_id"], removals)
        return await _shape(call, connection, account)


@door.operation(
    "GET",
    "/accounts/{account_id}/account_aliases",
    id="listAccountAliases",
    tag=TAG,
    summary="List all aliases of an account",
    answer=AccountAliasesPaginatedResponse,
)
async def list_account_aliases(call: Call) -> AccountAliasesPaginatedResponse:
    """Every alias that an account has or had, with its time."""
    async with call.db.transaction(call.caller.workspace) as connection:
        account = await store.get_account(connection, call.caller.workspace, call.path["account_id"])
        aliases = (await store.aliases_of(connection, call.caller.workspace, [account.key]))[account.key]
    shapes = [
        AccountAliasShape(
            id=alias.wire_id,
            value=alias.value,
            effective_from=alias.effective_from or FIRST,
            effective_until=alias.effective_until or FOREVER,
            created_at=alias.created_at,
            updated_at=alias.updated_at,
        )
        for alias in aliases
    ]
    return AccountAliasesPaginatedResponse(data=shapes, next_token=None)


def _group_details(group: Group) -> InvoiceGroupDetails:
    return InvoiceGroupDetails(
        id=group.id,
        name=group.name,
        email=group.email,
        daily_invoice_consolidation=group.consolidates,
        invoice_currency=group.currency,
        billing_address=group.address,
        net_term_days=group.net_term_days,
    )


async def _shape(call: Call, connection: Connection, account: Account, at: datetime | None = None) -> AccountShape:
    (shape,) = await load_account_shapes(connection, call.caller, [account], at)
    return shape
