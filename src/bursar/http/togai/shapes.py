"""Shapes that several families of the Togai dialect share, and their translation to and from the core."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from bursar.accounts import settings, store
from bursar.accounts.model import Account, Address, Alias, BillingInformation, NewAccount, NewAlias, Setting
from bursar.core.caller import Caller
from bursar.core.period import utc
from bursar.db.database import Connection
from bursar.http.door import Answer, Body

# No address can name `.` or `..`: clients take them out of a path. Python's `$` would let a last line break pass.
Id = Annotated[str, Meta(min_length=1, max_length=50, pattern=r"^(?!\.{1,2}$)\S(.*\S)?$(?!\n)")]
Name = Annotated[str, Meta(min_length=3, max_length=255)]
Email = Annotated[str, Meta(min_length=3, max_length=320, pattern=r"^\S+@\S+$(?!\n)")]
CurrencyCode = Annotated[str, Meta(min_length=3, max_length=3)]
Days = Annotated[int, Meta(ge=0, le=3650)]
AliasValue = Annotated[str, Meta(min_length=3, max_length=50)]
Text = Annotated[str, Meta(max_length=255)]
Tags = Annotated[list[Annotated[str, Meta(min_length=1, max_length=50)]], Meta(max_length=50)]
Metadata = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=100)], Annotated[str, Meta(max_length=1000)]],
    Meta(max_length=50),
]
# A dot would make the path of a setting ambiguous.
SettingId = Annotated[str, Meta(max_length=100, pattern=r"^[A-Za-z0-9_-]+$(?!\n)")]
SettingNamespace = Annotated[str, Meta(max_length=50, pattern=r"^[A-Za-z0-9_-]+$(?!\n)")]
SettingValue = Annotated[str, Meta(max_length=10_000)]
SettingDataType = Literal["STRING", "NUMERIC", "JSON", "JSON_LOGIC"]


class AddressShape(Body, kw_only=True):
    """A postal address."""

    phone_number: Text | None = None
    line1: Text | None = None
    line2: Text | None = None
    postal_code: Text | None = None
    city: Text | None = None
    state: Text | None = None
    country: Text | None = None


class BillingShape(Body, kw_only=True):
    """Where invoices are sent."""

    email_recipients: Annotated[list[Email], Meta(max_length=50)] | None = None
    additional_email_recipients: Annotated[list[Email], Meta(max_length=50)] | None = None


class SettingShape(Body, kw_only=True):
    """A named value kept with a customer or an account."""

    id: SettingId
    value: SettingValue
    namespace: SettingNamespace
    name: Text
    data_type: SettingDataType


class CreateAccountAliasRequest(Body, kw_only=True):
    """An alias with the time over which it leads to the account."""

    value: Annotated[str, Meta(min_length=1, max_length=50)]
    effective_from: datetime | None = None
    effective_until: datetime | None = None


class CreateAccountRequestWithoutCustomerId(Body, kw_only=True):
    """An account to make."""

    id: Id
    name: Name
    invoice_currency: CurrencyCode | None = None
    aliases: Annotated[list[AliasValue], Meta(max_length=10)] | None = None
    account_aliases: Annotated[list[CreateAccountAliasRequest], Meta(max_length=10)] | None = None
    address: AddressShape | None = None
    primary_email: Email | None = None
    billing_information: BillingShape | None = None
    settings: Annotated[list[SettingShape], Meta(max_length=10)] | None = None
    net_term_days: Days | None = None
    metadata: Metadata | None = None
    tags: Tags | None = None
    status: Literal["ACTIVE", "DRAFT"] | None = None


class AliasShape(Answer, kw_only=True):
    """An alias in force."""

    alias: str
    status: str


class InvoiceGroupDetails(Answer, kw_only=True):
    """The group that an account is in."""

    id: str
    name: str
    email: str
    daily_invoice_consolidation: bool
    invoice_currency: str
    billing_address: Address
    net_term_days: int | None = None


class AccountShape(Answer, kw_only=True):
    """An account."""

    id: str
    togai_account_id: str
    customer_id: str
    togai_customer_id: str
    name: str
    invoice_currency: str
    aliases: list[AliasShape]
    status: str
    settings: list[SettingShape]
    metadata: dict[str, str]
    tags: list[str]
    address: Address
    primary_email: str
    billing_information: BillingInformation
    invoice_group_details: InvoiceGroupDetails | None
    """Only where it is asked for, and of an account that is in a group."""
    net_term_days: int | None = None


def address_of(shape: AddressShape) -> Address:
    """The address that a body gives."""
    return msgspec.convert(shape, Address, from_attributes=True)


def billing_of(shape: BillingShape | None) -> BillingInformation | None:
    """The billing information that a body gives."""
    return None if shape is None else msgspec.convert(shape, BillingInformation, from_attributes=True)


def setting_of(shape: SettingShape) -> Setting:
    """The setting that a body gives."""
    return Setting(shape.id, shape.value, shape.namespace, shape.name, shape.data_type)


def setting_shape(setting: Setting) -> SettingShape:
    """A setting as the wire shows it."""
    return msgspec.convert(setting, SettingShape, from_attributes=True)


def aliases_of(
    values: Sequence[str] | None, ranged: Sequence[CreateAccountAliasRequest] | None, path: str = ""
) -> tuple[NewAlias, ...]:
    """The aliases that a body gives in its two ways; naive instants are UTC."""
    return (
        *(NewAlias(value, field=f"{path}aliases[{index}]") for index, value in enumerate(values or ())),
        *(
            NewAlias(
                shape.value,
                instant_of(shape.effective_from),
                instant_of(shape.effective_until),
                f"{path}accountAliases[{index}]",
            )
            for index, shape in enumerate(ranged or ())
        ),
    )


def instant_of(moment: datetime | None) -> datetime | None:
    """An instant that a body gives, in UTC."""
    return None if moment is None else utc(moment)


def new_account(body: CreateAccountRequestWithoutCustomerId, path: str = "") -> NewAccount:
    """The account that a body, or the part of one at `path`, asks for."""
    return NewAccount(
        id=body.id,
        name=body.name,
        currency=body.invoice_currency,
        status=body.status or "ACTIVE",
        aliases=aliases_of(body.aliases, body.account_aliases, path),
        net_term_days=body.net_term_days,
        primary_email=body.primary_email,
        address=None if body.address is None else address_of(body.address),
        billing_information=billing_of(body.billing_information),
        metadata=body.metadata,
        tags=tuple(body.tags or ()),
        settings=tuple(setting_of(setting) for setting in body.settings or ()),
    )


async def load_account_shapes(
    connection: Connection, caller: Caller, accounts: Sequence[Account], at: datetime | None = None
) -> list[AccountShape]:
    """Accounts as the wire shows them, with the aliases in force `at` an instant (None: now) and their settings."""
    aliases = await store.aliases_of(connection, caller.workspace, [account.key for account in accounts])
    found = await settings.settings_of(connection, caller.workspace, "ACCOUNT", [account.id for account in accounts])
    return [account_shape(account, aliases[account.key], found[account.id], at or caller.now) for account in accounts]


def account_shape(account: Account, aliases: list[Alias], settings: list[Setting], at: datetime) -> AccountShape:
    """An account as the wire shows it, with those of its aliases that are in force at an instant."""
    return AccountShape(
        id=account.id,
        togai_account_id=account.wire_id,
        customer_id=account.customer_id,
        togai_customer_id=account.customer_wire_id,
        name=account.name,
        invoice_currency=account.currency,
        # An alias that begins later is not among them, so there are never more than the client can read.
        aliases=[AliasShape(alias=alias.value, status="ACTIVE") for alias in aliases if alias.in_force(at)][:10],
        status=account.status,
        # The client cannot read more; all of them are listed at /settings.
        settings=[setting_shape(setting) for setting in settings[:10]],
        metadata=account.metadata,
        tags=account.tags,
        address=account.address,
        primary_email=account.primary_email,
        billing_information=account.billing_information,
        invoice_group_details=None,
        net_term_days=account.net_term_days,
    )
