"""Payments at the door of a carrier's customers; those that were taken back are not shown."""

import dataclasses
from typing import Any

import msgspec

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
    Sort,
    ToOne,
    Turn,
    choice,
)
from bursar.http.yeti.portal_scope import inward, outward
from bursar.invoicing.payments import list_payments

_KEPT = Condition("status", "not_eq", ("rolled_back",))


async def _list(turn: Turn, listing: Listing) -> Slice[Any]:
    wanted = inward(turn, dataclasses.replace(listing, conditions=(*listing.conditions, _KEPT)))
    found = await list_payments(turn.connection, turn.caller.workspace, wanted)
    return outward(Slice([msgspec.structs.asdict(payment) for payment in found.rows], found.total))


payments = customer_door.add(
    Resource(
        "payments",
        attributes=(
            Attribute("amount", DECIMAL, filters=True),
            Attribute("currency", TEXT, sortable=False),
            Attribute("notes", TEXT, filters=True),
            Attribute("status", choice("canceled", "completed", "pending"), sortable=False, filters=True),
            Attribute("type_name", choice("cryptomus", "manual"), sortable=False, filters=True),
            Attribute("created_at", MOMENT, filters=True),
            Attribute("balance_before_payment", DECIMAL, sortable=False),
            Attribute("rolledback_at", MOMENT, sortable=False),
        ),
        to_one=(ToOne("account", "accounts"),),
        extra_filters={"account_id": UUID, "uuid": UUID},
        default_sort=(Sort("created_at", descending=True),),
        id=UUID,
        list=_list,
    )
)
