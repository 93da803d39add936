"""Entitlements in the Togai dialect: feature credits, and events that are let in against them."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from msgspec import Meta
from starlette.responses import Response

from bursar.accounts.tokens import Access
from bursar.db.idempotency import Attempt, Outcome
from bursar.http.decode import read_body
from bursar.http.door import Answer, Body, Call
from bursar.http.encode import number
from bursar.http.togai.door import (
    MESSAGE_LIMIT,
    ErrorResponse,
    PageQuery,
    Success,
    door,
    open_token,
    seal_token,
)
from bursar.http.togai.ingest import IngestEventRequest, refused
from bursar.http.togai.shapes import instant_of
from bursar.purchases import grants
from bursar.purchases.entitled import Desk
from bursar.purchases.grant_model import Grant, meets, value_of
from bursar.usage.event import parse_single
from bursar.usage.flush import Submission

TAG = "Entitlements"
CREDITS = "/accounts/{account_id}/features/{feature_id}"
VALUE = "/accounts/{account_id}/entitlements/{feature_id}"
ENTRY = CREDITS + "/entries/{entry_id}"
PAGE = 50


class GetFeatureCreditsResponse(Answer, kw_only=True):
    """What an account has of a feature now."""

    account_id: str
    feature_id: str
    granted: Decimal
    balance: Decimal
    used_overage: Decimal
    overage_limit: Decimal | None = None


class FeatureCreditEntry(Answer, kw_only=True):
    """A grant. `granted` and `balance` are absent where it is without limit."""

    id: str
    source: str
    status: str
    effective_from: datetime
    effective_until: datetime
    used: Decimal
    granted: Decimal | None = None
    balance: Decimal | None = None


class GetFeatureCreditEntriesPaginatedResponse(Answer, kw_only=True):
    """A page of grants."""

    data: list[FeatureCreditEntry]
    next_token: str | None


class EntriesQuery(PageQuery, kw_only=True):
    """How to cut the list."""

    page_size: Annotated[int, Meta(ge=1, le=PAGE)] | None = None


class UpdateFeatureCreditsRequest(Body, kw_only=True):
    """What to change of a grant."""

    effective_until: datetime | None = None
    granted: Decimal | None = None


class EntitlementValue(Answer, kw_only=True):
    """An entitlement: `true`, `false`, `unlimited`, or the units that are left."""

    feature_id: str
    value: str


class GetEntitlementValuesResponse(Answer, kw_only=True):
    """Entitlements."""

    data: list[EntitlementValue]


class ValidateEntitlementValueRequest(Body, kw_only=True):
    """What is asked for: a number of units, `true`, `false`, or a value as it is shown."""

    value: Annotated[str, Meta(min_length=1, max_length=255)]


@door.operation(
    "GET", "/accounts/{account_id}/entitlements", id="getEntitlements", tag=TAG, summary="Get entitlements",
    answer=GetEntitlementValuesResponse,
)  # fmt: skip
async def get_entitlements(call: Call) -> GetEntitlementValuesResponse:
    """Read an account's entitlements now."""
    async with call.db.transaction(call.caller.workspace) as connection:
        found = await grants.values_of(connection, call.caller, call.path["account_id"])
    data = [EntitlementValue(feature_id=feature, value=value) for feature, value in found.items()]
    return GetEntitlementValuesResponse(data=data)


@door.operation(
    "GET", VALUE, id="getEntitlementValue", tag=TAG, summary="Get an entitlement",
    answer=GetEntitlementValuesResponse,
)  # fmt: skip
async def get_entitlement_value(call: Call) -> GetEntitlementValuesResponse:
    """Read an account's entitlement to a feature now."""
    account, feature = call.path["account_id"], call.path["feature_id"]
    async with call.db.transaction(call.caller.workspace) as connection:
        found = await grants.in_force(connection, call.caller, account, feature)
    value = value_of(found, call.caller.now)
    return GetEntitlementValuesResponse(data=[EntitlementValue(feature_id=feature, value=value)])


@door.operation(
    "POST", VALUE, id="validateEntitlementValue", tag=TAG, summary="Check an entitlement", scope="read",
    body=ValidateEntitlementValueRequest, answer=Success,
)  # fmt: skip
async def validate_entitlement_value(call: Call, body: ValidateEntitlementValueRequest) -> Success:
    """Whether an account may have what is asked for; nothing is drawn."""
    account, feature = call.path["account_id"], call.path["feature_id"]
    async with call.db.transaction(call.caller.workspace) as connection:
        found = await grants.in_force(connection, call.caller, account, feature)
    return Success(success=meets(found, body.value, call.caller.now))


@door.operation(
    "GET", CREDITS, id="getFeatureCredits", tag=TAG, summary="Get the balance of feature credits",
    answer=GetFeatureCreditsResponse,
)  # fmt: skip
async def get_feature_credits(call: Call) -> GetFeatureCreditsResponse:
    """Read what an account has of a feature now."""
    account, feature = call.path["account_id"], call.path["feature_id"]
    async with call.db.transaction(call.caller.workspace) as connection:
        now = await grants.standing_of(connection, call.caller, account, feature)
    return GetFeatureCreditsResponse(
        account_id=account,
        feature_id=feature,
        granted=number(now.granted),
        balance=number(now.balance),
        used_overage=number(now.used_overage),
        overage_limit=None if now.overage_limit is None else number(now.overage_limit),
    )


@door.operation(
    "GET", CREDITS + "/entries", id="listFeatureCreditEntries", tag=TAG, summary="List entries of feature credits",
    query=EntriesQuery, answer=GetFeatureCreditEntriesPaginatedResponse,
)  # fmt: skip
async def list_feature_credit_entries(call: Call, query: EntriesQuery) -> GetFeatureCreditEntriesPaginatedResponse:
    """List an account's grants of a feature."""
    query, after, size = open_token(query, default=PAGE)
    account, feature = call.path["account_id"], call.path["feature_id"]
    async with call.db.transaction(call.caller.workspace) as connection:
        page = await grants.list_grants(connection, call.caller, account, feature, after, size)
    return GetFeatureCreditEntriesPaginatedResponse(
        data=[_shape(grant, call.caller.now) for grant in page.items],
        next_token=seal_token(query, page.after, size),
    )


@door.operation(
    "PATCH", ENTRY, id="UpdateFeatureCreditEntry", tag=TAG, summary="Update an entry of feature credits",
    scope="write", body=UpdateFeatureCreditsRequest, answer=FeatureCreditEntry,
)  # fmt: skip
async def update_feature_credit_entry(call: Call, body: UpdateFeatureCreditsRequest) -> FeatureCreditEntry:
    """Give a grant another end or number of units."""
    async with call.db.transaction(call.caller.workspace) as connection:
        changed = await grants.edit_grant(
            connection,
            call.caller,
            call.path["account_id"],
            call.path["feature_id"],
            call.path["entry_id"],
            until=instant_of(body.effective_until),
            granted=body.granted,
        )
    return _shape(changed, call.caller.now)


@door.operation(
    "POST", ENTRY + "/void", id="VoidFeatureCreditEntry", tag=TAG, summary="Void an entry of feature credits",
    scope="write", answer=Success,
)  # fmt: skip
async def void_feature_credit_entry(call: Call) -> Success:
    """Take away what is left of a grant."""
    path = call.path
    async with call.db.transaction(call.caller.workspace) as connection:
        await grants.void_grant(connection, call.caller, path["account_id"], path["feature_id"], path["entry_id"])
    return Success(success=True)


_ENTITLED = Outcome(200, "application/json", b'{"success":true}')


async def decide(desk: Desk, access: Access, body: bytes, attempt: Attempt | None = None) -> Outcome:
    """Let one event in against its account's grants, or raise why not and keep nothing of it.

    The answer to an `attempt` is recorded in the same transaction.
    """
    keyed = None if attempt is None else (attempt, _ENTITLED)
    await desk.decide(Submission(access.caller.workspace, access.token, parse_single(body), keyed=keyed))
    return _ENTITLED


def entitled_refusal(status: int, message: str, retry_after: int | None = None) -> Response:
    """An event that was refused."""
    return refused(ErrorResponse(message=message[:MESSAGE_LIMIT]), status, retry_after)


# As with ingest, the application answers this path before any router sees it.
@door.operation(
    "POST", "/entitled", id="ingestEntitledEvent", tag=TAG,
    summary="Ingest an event if its account is entitled to what it uses", scope="ingest", repeatable=True,
    body=IngestEventRequest, answer=Success,
)  # fmt: skip
async def ingest_entitled_event(call: Call, body: IngestEventRequest) -> Response:
    """Let an event in, or refuse it."""
    # The body is kept as it was sent; `body` has only shown that it has the right shape.
    access = Access(call.caller, call.scopes, call.token, None)
    outcome = await decide(call.services[Desk], access, await read_body(call.request))
    return Response(outcome.body, outcome.status, media_type=outcome.media_type)


def _shape(grant: Grant, now: datetime) -> FeatureCreditEntry:
    return FeatureCreditEntry(
        id=grant.id,
        source=grant.source,
        status=grant.status(now),
        effective_from=grant.effective.start,
        effective_until=grant.effective.end,
        used=number(grant.used),
        granted=None if grant.granted is None else number(grant.granted),
        balance=None if grant.left is None else number(grant.left),
    )
