"""Licences in the Togai dialect."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from bursar.core.errors import Invalid
from bursar.core.period import parse_instant, utc
from bursar.http.door import Answer, Body, Call
from bursar.http.encode import number
from bursar.http.togai.door import TOKEN_LIMIT, MixedPageQuery, PageQuery, door, open_token, seal_token
from bursar.http.togai.shapes import Metadata, instant_of
from bursar.purchases import licenses, named_licenses
from bursar.purchases.license_model import LicenseUpdate, NewUpdate

TAG = "Licenses"
PAGE = 50
_UNFILLED = "{license_id}"
"""What the published client sends in the place of an id, which it names in the query instead."""

Identifier = Annotated[str, Meta(min_length=1, max_length=50)]


class LicenseUpdateRequest(Body, kw_only=True):
    """How many licences an account is to have, or so many more."""

    license_id: Identifier
    account_id: Identifier
    update_type: Literal["RELATIVE", "ABSOLUTE"]
    quantity: Decimal
    effective_from: datetime | None = None
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    metadata: Metadata | None = None


class LicenseEntryDetailsUpdateRequest(Body, kw_only=True):
    """What to note with an update."""

    account_id: Identifier
    effective_from: datetime
    metadata: Metadata


class LicenseUpdateResponse(Answer, kw_only=True):
    """How many licences an account has from an instant on."""

    license_id: str
    account_id: str
    quantity: Decimal
    effective_from: datetime
    created_at: datetime
    metadata: dict[str, str] | None = None


class GetLicenseUpdatesResponse(Answer, kw_only=True):
    """A page of updates."""

    data: list[LicenseUpdateResponse]
    next_token: str | None


class NamedLicenseUpdate(Answer, kw_only=True):
    """A name that has a licence, or had one."""

    id: str
    license_id: str
    account_id: str
    name: str
    created_at: datetime
    updated_at: datetime
    effective_from: datetime | None = None
    effective_until: datetime | None = None


class NamedLicenseUpdatesPaginatedResponse(Answer, kw_only=True):
    """A page of names."""

    data: list[NamedLicenseUpdate]
    next_token: str | None


class NamedQuery(PageQuery, kw_only=True):
    """How to cut the list."""

    page_size: Annotated[int, Meta(ge=1, le=PAGE)] | None = None


class LicensesQuery(MixedPageQuery, kw_only=True, rename=None):
    """How to cut and filter the list."""

    nextToken: Annotated[str, Meta(max_length=TOKEN_LIMIT)] | None = None  # noqa: N815 - as the wire has it
    pageSize: Annotated[int, Meta(ge=1, le=PAGE)] | None = None  # noqa: N815 - as the wire has it
    account_id: Annotated[str, Meta(max_length=50)] | None = None
    licenseId: Annotated[str, Meta(max_length=50)] | None = None  # noqa: N815 - as the wire has it
    effectiveFrom: Annotated[str, Meta(max_length=50)] | None = None  # noqa: N815 - as the wire has it


class LicenseQuery(MixedPageQuery, kw_only=True, rename=None):
    """Which licence it is about, where the path does not tell."""

    licenseId: Annotated[str, Meta(max_length=50)] | None = None  # noqa: N815 - as the wire has it


@door.operation(
    "POST", "/license_updates", id="addLicenseUpdateEntry", tag=TAG, summary="Update a licence entry", scope="write",
    body=LicenseUpdateRequest, answer=LicenseUpdateResponse,
)  # fmt: skip
async def add_license_update_entry(call: Call, body: LicenseUpdateRequest) -> LicenseUpdateResponse:
    """Let an account have more, fewer, or so many licences."""
    new = NewUpdate(
        license_id=body.license_id,
        account_id=body.account_id,
        kind=body.update_type,
        amount=body.quantity,
        effective_from=instant_of(body.effective_from),
        idempotency_key=body.idempotency_key,
        metadata=body.metadata,
    )
    return _shape(await licenses.update_licenses(call.db, call.caller, new))


@door.operation(
    "GET", "/license_updates", id="getLicenseUpdates", tag=TAG, summary="List licence updates", query=LicensesQuery,
    answer=GetLicenseUpdatesResponse,
)  # fmt: skip
async def get_license_updates(call: Call, query: LicensesQuery) -> GetLicenseUpdatesResponse:
    """List licence updates, the newest first."""
    query, after, size = open_token(query, default=PAGE)
    async with call.db.reading(call.caller.workspace) as connection:
        page = await licenses.list_updates(
            connection,
            call.caller,
            after,
            size,
            account_id=query.account_id,
            license_id=query.licenseId,
            effective_from=_instant(query.effectiveFrom),
        )
    return GetLicenseUpdatesResponse(
        data=[_shape(update) for update in page.items], next_token=seal_token(query, page.after, size)
    )


@door.operation(
    "PATCH", "/license_updates/{license_id}", id="updateLicenseEntryDetails", tag=TAG,
    summary="Update the details of a licence entry", scope="write", body=LicenseEntryDetailsUpdateRequest,
    query=LicenseQuery, answer=LicenseUpdateResponse,
)  # fmt: skip
async def update_license_entry_details(
    call: Call, body: LicenseEntryDetailsUpdateRequest, query: LicenseQuery
) -> LicenseUpdateResponse:
    """Note something else with an update."""
    named = call.path["license_id"]
    if named == _UNFILLED:
        if query.licenseId is None:
            raise Invalid("licenseId", "is required where the path does not name the licence")
        named = query.licenseId
    async with call.db.transaction(call.caller.workspace) as connection:
        changed = await licenses.describe_update(
            connection, call.caller, named, body.account_id, utc(body.effective_from), body.metadata
        )
    return _shape(changed)


@door.operation(
    "GET", "/named_license_updates", id="getNamedLicenseUpdates", tag=TAG, summary="List named licence updates",
    query=NamedQuery, answer=NamedLicenseUpdatesPaginatedResponse,
)  # fmt: skip
async def get_named_license_updates(call: Call, query: NamedQuery) -> NamedLicenseUpdatesPaginatedResponse:
    """List names that have or had licences."""
    query, after, size = open_token(query, default=PAGE)
    async with call.db.reading(call.caller.workspace) as connection:
        page = await named_licenses.list_named(connection, call.caller, after, size)
    return NamedLicenseUpdatesPaginatedResponse(
        data=[msgspec.convert(entry, NamedLicenseUpdate, from_attributes=True) for entry in page.items],
        next_token=seal_token(query, page.after, size),
    )


def _instant(text: str | None) -> datetime | None:
    try:
        return None if text is None else parse_instant(text)
    except ValueError:
        raise Invalid("effectiveFrom", "must be an ISO 8601 date or instant") from None


def _shape(update: LicenseUpdate) -> LicenseUpdateResponse:
    return LicenseUpdateResponse(
        license_id=update.license_id,
        account_id=update.account_id,
        quantity=number(update.quantity),
        effective_from=update.effective_from,
        created_at=update.created_at,
        metadata=update.metadata,
    )
