"""`POST /portal/token` of the Togai dialect."""

from datetime import timedelta
from typing import Annotated

from msgspec import Meta

from bursar.accounts.delegates import LONGEST, delegate
from bursar.core.errors import Forbidden
from bursar.http.door import Body, Call
from bursar.http.togai.authentication import TokenResponse
from bursar.http.togai.door import door

Identifier = Annotated[str, Meta(min_length=1, max_length=255)]


class GetCustomerPortalDelegateTokenRequest(Body, kw_only=True):
    """Whose portal to open, and how far."""

    customer_id: Identifier
    account_ids: Annotated[list[Identifier], Meta(max_length=5)] | None = None
    all_accounts_access: bool | None = None
    expiry: Annotated[int, Meta(ge=1, le=int(LONGEST.total_seconds()))] | None = None
    """Seconds."""


@door.operation(
    "POST",
    "/portal/token",
    id="getCustomerPortalDelegateToken",
    tag="Customer Portal",
    summary="Get a delegate token for the customer portal",
    scope="write",
    repeatable=True,
    body=GetCustomerPortalDelegateTokenRequest,
    answer=TokenResponse,
)
async def get_customer_portal_delegate_token(call: Call, body: GetCustomerPortalDelegateTokenRequest) -> TokenResponse:
    """Lend a part of the token that asks."""
    if call.token is None:
        raise Forbidden("a delegate token is lent by an API token")
    made = await delegate(
        call.db,
        call.caller,
        call.token,
        body.customer_id,
        body.account_ids or (),
        all_accounts=bool(body.all_accounts_access),
        life=None if body.expiry is None else timedelta(seconds=body.expiry),
    )
    return TokenResponse(token=made)
