"""What a carrier's customer sees: its own accounts and what belongs to them, by uuids instead of numbers.

Lists of the rooms are asked for with the customer as a condition, whatever else is asked for; so what is somebody
else's is not there. Nobody looks up which accounts these are: there may be a hundred thousand.
"""

from dataclasses import replace
from typing import Any

from bursar.accounts.api_accesses import Portal
from bursar.core.errors import Forbidden
from bursar.http.yeti.authentication import PortalAccess
from bursar.http.yeti.jsonapi import Condition, Listing, Slice, Turn

_BY_UUID = {"id": "uuid", "account_id": "account_uuid", "service_id": "service_uuid"}
"""Where rooms have the uuid of what the customers' door shows under a name."""


def inward(turn: Turn, listing: Listing, *, account: str = "account_id") -> Listing:
    """A list as a room is asked for it: by uuids, and only of the customer's accounts that the login shows.

    `account` is the field that has their numbers.
    """
    portal = portal_of(turn)
    mine = [Condition("customer", "eq", (portal.customer,))]
    if portal.account_ids:
        mine.append(Condition(account, "in", portal.account_ids))
    asked = [
        replace(condition, field=_BY_UUID.get(condition.field, condition.field)) for condition in listing.conditions
    ]
    return replace(listing, conditions=(*asked, *mine))


def outward(found: Slice[Any]) -> Slice[dict[str, Any]]:
    """Rows as the customer sees them: with uuids."""
    rows = [{**row, **{name: row[uuid] for name, uuid in _BY_UUID.items() if uuid in row}} for row in found.rows]
    return Slice(rows, found.total)


def portal_of(turn: Turn) -> Portal:
    """What the login of a request opens. Raises `Forbidden` for a request without one."""
    if not isinstance(turn.call.access, PortalAccess):
        raise Forbidden
    return turn.call.access.portal
