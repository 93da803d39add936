"""What a delegate token opens, for the portal that was handed one."""

from datetime import UTC, datetime

from bursar.accounts.delegates import open_delegate
from bursar.http.auth import bearer
from bursar.http.door import Answer, Call
from bursar.http.native.door import door


class PortalAccount(Answer, kw_only=True):
    """An account of the customer."""

    id: str
    name: str
    currency: str
    status: str


class Portal(Answer, kw_only=True):
    """A customer, the accounts that may be shown, and until when."""

    customer_id: str
    customer_name: str
    accounts: list[PortalAccount]
    expires_at: datetime


@door.operation(
    "GET",
    "/bursar/v1/portal",
    id="openPortal",
    tag="Customer portal",
    summary="Show what a delegate token opens; it is the bearer token of this request",
    scope=None,
    answer=Portal,
)
async def open_portal(call: Call) -> Portal:
    """Open a delegate token."""
    found = await open_delegate(call.db, bearer(call.request), datetime.now(UTC))
    return Portal(
        customer_id=found.customer.id,
        customer_name=found.customer.name,
        accounts=[PortalAccount(id=a.id, name=a.name, currency=a.currency, status=a.status) for a in found.accounts],
        expires_at=found.expires_at,
    )
