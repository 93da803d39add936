"""Services and transactions at the door of a carrier's customers."""

from typing import Any

from bursar.http.yeti.door import customer_door
from bursar.http.yeti.jsonapi import (
    DECIMAL,
    MOMENT,
    TEXT,
    UUID,
    Attribute,
    Listing,
    Resource,
    Slice,
    ToMany,
    ToOne,
    Turn,
    choice,
)
from bursar.http.yeti.portal_scope import inward, outward
from bursar.purchases import service_store as room
from bursar.purchases.service_model import RenewPeriod


async def _list(turn: Turn, listing: Listing) -> Slice[Any]:
    found = outward(await room.list_services(turn.connection, turn.caller.workspace, inward(turn, listing)))
    for row in found.rows:
        row["ui_type"] = None
    return found


services = customer_door.add(
    Resource(
        "services",
        attributes=(
            Attribute("name", TEXT, filters=True),
            Attribute("state", TEXT, sortable=False),
            Attribute("initial_price", DECIMAL, filters=True),
            Attribute("renew_price", DECIMAL, filters=True),
            Attribute("created_at", MOMENT, filters=True),
            Attribute("renew_at", MOMENT, filters=True),
            Attribute("renew_period", choice(*RenewPeriod), filters=True),
            Attribute("service_type", TEXT, sortable=False, source="service_type_name"),
            Attribute("ui_type", TEXT, sortable=False),
        ),
        to_one=(ToOne("account", "accounts"),),
        to_many=(ToMany("transactions", "transactions", inverse="service_id"),),
        extra_filters={"account_id": UUID},
        id=UUID,
        list=_list,
    )
)


async def _list_transactions(turn: Turn, listing: Listing) -> Slice[Any]:
    return outward(await room.list_charges(turn.connection, turn.caller.workspace, inward(turn, listing)))


transactions = customer_door.add(
    Resource(
        "transactions",
        attributes=(
            Attribute("description", TEXT, sortable=False, filters=True),
            Attribute("amount", DECIMAL, filters=True),
            Attribute("created_at", MOMENT, filters=True),
        ),
        to_one=(ToOne("account", "accounts"), ToOne("service", "services")),
        extra_filters={"account_id": UUID, "service_id": UUID},
        sorts=("service_id",),
        id=UUID,
        list=_list_transactions,
    )
)
