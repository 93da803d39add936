"""Time zones that an account can have: those of IANA, by name."""

from typing import Any

from bursar.core.cycles import ZONES
from bursar.http.yeti.door import door
from bursar.http.yeti.jsonapi import TEXT, Attribute, Listing, Resource, Slice, Turn

NAMES = tuple(sorted(ZONES))


async def _list(_: Turn, listing: Listing) -> Slice[Any]:
    # Conditions can only be on the name, which is the id, and only ask for equality.
    names = [name for name in NAMES if all(name in condition.values for condition in listing.conditions)]
    if listing.sort and listing.sort[0].descending:
        names.reverse()
    return Slice([{"id": name, "name": name} for name in names], len(names))


timezones = door.add(
    Resource(
        "timezones",
        attributes=(Attribute("name", TEXT),),
        plain_filters=("name",),
        id=TEXT,
        linked=False,
        paged=False,
        list=_list,
    )
)
