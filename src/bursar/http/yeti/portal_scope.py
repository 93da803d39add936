"""What a carrier's customer sees: its own accounts and what belongs to them, by uuids instead of numbers.

Lists of the rooms are asked for with the customer's accounts as a condition, whatever else is asked for; so what is
somebody else's is not there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from bursar.accounts.api_accesses import Portal, accounts_shown
from bursar.core.errors import Forbidden
from bursar.http.yeti.authentication import PortalAccess
from bursar.http.yeti.jsonapi import Condition, Listing, Slice, Turn

_NOBODY = -1
"""No number: what is compared with it is not there, or is different."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The accounts that a request may see."""

    accounts: Mapping[int, UUID]

    def inward(self, listing: Listing, *, field: str = "account_id", **known: Mapping[int, UUID]) -> Listing:
        """A list as a room is asked for it: with numbers, and only of these accounts, which `field` names.

        `known` are the numbers of what else may be asked for by uuid.
        """
        references = {"account_id": self.accounts, **known}
        conditions = [_inward(condition, references) for condition in listing.conditions]
        mine = Condition(field, "in", tuple(self.accounts))
        return replace(listing, conditions=(*conditions, mine))

    def outward(self, found: Slice[Any], **known: Mapping[int, UUID]) -> Slice[dict[str, Any]]:
        """Rows as the customer sees them: with uuids."""
        references = {"account_id": self.accounts, **known}
        rows = []
        for row in found.rows:
            shown = {name: numbers.get(row[name]) for name, numbers in references.items() if name in row}
            rows.append({**row, **shown, "id": row["uuid"]})
        return Slice(rows, found.total)


async def scope_of(turn: Turn) -> Scope:
    """The scope of a request."""
    return Scope(await accounts_shown(turn.connection, portal_of(turn)))


def portal_of(turn: Turn) -> Portal:
    """What the login of a request opens. Raises `Forbidden` for a request without one."""
    if not isinstance(turn.call.access, PortalAccess):
        raise Forbidden
    return turn.call.access.portal


def asked(listing: Listing, field: str) -> tuple[UUID, ...]:
    """The uuids that a list's conditions on a field name."""
    return tuple(value for c in listing.conditions if c.field == field for value in c.values)


def numbers_in(rows: Iterable[Any], name: str) -> tuple[int, ...]:
    """The numbers that rows have in a field, each once."""
    return tuple(dict.fromkeys(row[name] for row in rows if row[name] is not None))


def _inward(condition: Condition, references: Mapping[str, Mapping[int, UUID]]) -> Condition:
    if condition.field == "id":
        return replace(condition, field="uuid")
    known = references.get(condition.field)
    if known is None:
        return condition
    numbers = {uuid: number for number, uuid in known.items()}
    return replace(condition, values=tuple(numbers.get(value, _NOBODY) for value in condition.values))
