"""Customers in the Togai dialect."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from bursar.accounts import contacts, service, settings, store
from bursar.accounts.model import Address, Customer, NewCustomer
from bursar.accounts.passwords import hash_password
from bursar.core.page import Page
from bursar.http.door import Answer, Body, Call
from bursar.http.togai.door import PageQuery, PaginationOptions, Success, door, open_token, seal_token
from bursar.http.togai.shapes import (
    AccountShape,
    AddressShape,
    CreateAccountRequestWithoutCustomerId,
    Email,
    Id,
    Name,
    SettingShape,
    address_of,
    load_account_shapes,
    new_account,
    setting_of,
    setting_shape,
)

TAG = "Customers"


class CreateCustomerRequest(Body, kw_only=True):
    """A customer to make, with its first account."""

    id: Id
    name: Name
    primary_email: Email
    address: AddressShape
    settings: Annotated[list[SettingShape], Meta(max_length=10)] | None = None
    account: CreateAccountRequestWithoutCustomerId | None = None


class UpdateCustomerRequest(Body, kw_only=True):
    """What to change of a customer."""

    name: Name | None = None
    primary_email: Email | None = None
    address: AddressShape | None = None


class CreateCustomerContactRequest(Body, kw_only=True):
    """Somebody to reach at a customer."""

    name: Annotated[str, Meta(min_length=1, max_length=50)]
    email: Annotated[str, Meta(max_length=320, pattern=r"^\S+@\S+\.\S+$(?!\n)")]
    preferred_username: Annotated[str, Meta(pattern=r"^[A-Za-z0-9]{3,50}$(?!\n)")] | None = None
    password: Annotated[str, Meta(min_length=8, max_length=100)] | None = None
    phone: Annotated[str, Meta(max_length=30)] | None = None
    verified: bool = False
    login_access: bool = False


class CustomerShape(Answer, kw_only=True):
    """A customer."""

    id: str
    togai_customer_id: str
    name: str
    primary_email: str
    billing_address: str
    address: Address
    status: str
    created_at: datetime
    updated_at: datetime


class CreateCustomerResponse(Answer, kw_only=True):
    """A customer that was just made, with its first account."""

    id: str
    togai_customer_id: str
    name: str
    primary_email: str
    billing_address: str
    address: Address
    settings: list[SettingShape]
    account: AccountShape


class CustomerPaginatedResponse(Answer, kw_only=True):
    """A page of customers."""

    data: list[CustomerShape]
    next_token: str | None
    context: PaginationOptions


class CreateCustomerContactResponse(Answer, kw_only=True):
    """A contact that was just made."""

    username: str
    name: str
    email: str
    login_access: bool
    created_by: str
    created_at: datetime
    verified: bool
    preferred_username: str | None = None
    phone: str | None = None


@door.operation(
    "POST",
    "/customers",
    id="createCustomer",
    tag=TAG,
    summary="Create a customer",
    status=201,
    scope="write",
    body=CreateCustomerRequest,
    answer=CreateCustomerResponse,
)
async def create_customer(call: Call, body: CreateCustomerRequest) -> CreateCustomerResponse:
    """Make a customer and its first account."""
    new = NewCustomer(
        id=body.id,
        name=body.name,
        primary_email=body.primary_email,
        address=address_of(body.address),
        settings=tuple(setting_of(setting) for setting in body.settings or ()),
        account=None if body.account is None else new_account(body.account, "account."),
    )
    async with call.db.transaction(call.caller.workspace) as connection:
        customer, account = await service.create_customer(connection, call.caller, new)
        (shape,) = await load_account_shapes(connection, call.caller, [account])
        kept = await settings.settings_of(connection, call.caller.workspace, "CUSTOMER", [customer.id])
    return CreateCustomerResponse(
        id=customer.id,
        togai_customer_id=customer.wire_id,
        name=customer.name,
        primary_email=customer.primary_email,
        billing_address=customer.address.one_line(),
        address=customer.address,
        settings=[setting_shape(setting) for setting in kept[customer.id]],
        account=shape,
    )


@door.operation(
    "GET",
    "/customers",
    id="getCustomers",
    tag=TAG,
    summary="List customers",
    query=PageQuery,
    answer=CustomerPaginatedResponse,
)
async def get_customers(call: Call, query: PageQuery) -> CustomerPaginatedResponse:
    """List customers."""
    query, after, size = open_token(query)
    async with call.db.transaction(call.caller.workspace) as connection:
        page: Page[Customer] = await store.list_customers(connection, call.caller.workspace, after, size)
    return CustomerPaginatedResponse(
        data=[_shape(customer) for customer in page.items],
        next_token=seal_token(query, page.after, size),
        context=PaginationOptions(page_size=size, sort_order="ASC"),
    )


@door.operation(
    "GET", "/customers/{customer_id}", id="getCustomer", tag=TAG, summary="Get a customer", answer=CustomerShape
)
async def get_customer(call: Call) -> CustomerShape:
    """Read a customer."""
    async with call.db.transaction(call.caller.workspace) as connection:
        return _shape(await store.get_customer(connection, call.caller.workspace, call.path["customer_id"]))


@door.operation(
    "PATCH",
    "/customers/{customer_id}",
    id="updateCustomer",
    tag=TAG,
    summary="Update a customer",
    scope="write",
    body=UpdateCustomerRequest,
    answer=CustomerShape,
)
async def update_customer(call: Call, body: UpdateCustomerRequest) -> CustomerShape:
    """Change a customer."""
    async with call.db.transaction(call.caller.workspace) as connection:
        customer = await service.update_customer(
            connection,
            call.caller,
            call.path["customer_id"],
            name=body.name,
            primary_email=body.primary_email,
            address=None if body.address is None else address_of(body.address),
        )
    return _shape(customer)


@door.operation(
    "DELETE",
    "/customers/{customer_id}",
    id="deleteCustomer",
    tag=TAG,
    summary="Archive a customer and its accounts",
    scope="write",
    answer=Success,
)
async def delete_customer(call: Call) -> Success:
    """Archive a customer."""
    async with call.db.transaction(call.caller.workspace) as connection:
        await service.archive_customer(connection, call.caller, call.path["customer_id"])
    return Success(success=True)


@door.operation(
    "POST",
    "/customers/{customer_id}/contacts",
    id="createCustomerContact",
    tag=TAG,
    summary="Create a contact for the customer",
    status=201,
    scope="write",
    body=CreateCustomerContactRequest,
    answer=CreateCustomerContactResponse,
)
async def create_customer_contact(call: Call, body: CreateCustomerContactRequest) -> CreateCustomerContactResponse:
    """Add a contact."""
    new = contacts.NewContact(
        name=body.name,
        email=body.email,
        preferred_username=body.preferred_username,
        phone=body.phone,
        password_hash=None if body.password is None else await hash_password(body.password),
        login_access=body.login_access,
        verified=body.verified,
    )
    async with call.db.transaction(call.caller.workspace) as connection:
        username, made = await contacts.create_contact(connection, call.caller, call.path["customer_id"], new)
    return CreateCustomerContactResponse(
        username=username,
        name=body.name,
        email=body.email,
        login_access=body.login_access,
        created_by=call.caller.actor,
        created_at=made,
        verified=body.verified,
        preferred_username=body.preferred_username,
        # A request may give 30 characters, an answer only show 20.
        phone=body.phone if len(body.phone or "") <= 20 else None,
    )


def _shape(customer: Customer) -> CustomerShape:
    return CustomerShape(
        id=customer.id,
        togai_customer_id=customer.wire_id,
        name=customer.name,
        primary_email=customer.primary_email,
        billing_address=customer.address.one_line(),
        address=customer.address,
        status=customer.status,
        created_at=customer.created_at,
        updated_at=customer.updated_at,
    )
