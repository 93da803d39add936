"""Services and transactions at the door of a carrier's customers."""

import uuid
from typing import Any

from bursar.http.yeti.door import customer_door
from bursar.http.yeti.jsonapi import (
    DECIMAL,
    MOMENT,
    TEXT,
    UUID,
    Attribute,
    Condition,
    Listing,
    Resource,
    Slice,
    ToMany,
    ToOne,
    Turn,
    choice,
)
from bursar.http.yeti.portal_scope import Scope, asked, numbers_in, scope_of
from bursar.purchases import service_store as room
from bursar.purchases.service_model import RenewPeriod


async def _list(turn: Turn, listing: Listing) -> Slice[Any]:
    scope = await scope_of(turn)
    workspace = turn.caller.workspace
    found = await room.list_services(turn.connection, workspace, scope.inward(listing))
    used = Condition("id", "in", numbers_in(found.rows, "service_type_id"))
    types = await room.list_service_types(turn.connection, workspace, Listing((used,), counted=False))
    names = {row["id"]: row["name"] for row in types.rows}
    shown = scope.outward(found)
    for row in shown.rows:
        row |= {"service_type": names.get(row["service_type_id"]), "ui_type": None}
    return shown


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
            Attribute("service_type", TEXT, sortable=False),
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
    scope = await scope_of(turn)
    wanted = await _services(turn, scope, Condition("uuid", "in", asked(listing, "service_id")))
    asked_for = scope.inward(listing, service_id=wanted)
    found = await room.list_charges(turn.connection, turn.caller.workspace, asked_for)
    seen = await _services(turn, scope, Condition("id", "in", numbers_in(found.rows, "service_id")))
    return scope.outward(found, service_id=seen)


async def _services(turn: Turn, scope: Scope, condition: Condition) -> dict[int, uuid.UUID]:
    """The uuids of services, by number."""
    if not condition.values:
        return {}
    mine = Condition("account_id", "in", tuple(scope.accounts))
    found = await room.list_services(turn.connection, turn.caller.workspace, Listing((condition, mine), counted=False))
    return {row["id"]: row["uuid"] for row in found.rows}


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
