"""Invoices at the door of a carrier's customers: those that are approved."""

import dataclasses
from typing import Any

from bursar.http.yeti.door import customer_door
from bursar.http.yeti.jsonapi import (
    BOOLEAN,
    DECIMAL,
    INTEGER,
    MOMENT,
    TEXT,
    UUID,
    Attribute,
    Condition,
    Listing,
    Resource,
    Slice,
    ToOne,
    Turn,
)
from bursar.http.yeti.portal_scope import inward, outward
from bursar.invoicing import statements as room
from bursar.invoicing.statement_model import State

_CALLS = (
    ("amount_spent", DECIMAL),
    ("calls_count", INTEGER),
    ("successful_calls_count", INTEGER),
    ("calls_duration", INTEGER),
    ("billing_duration", INTEGER),
    ("first_call_at", MOMENT),
    ("last_call_at", MOMENT),
)
_APPROVED = Condition("state", "eq", (State.APPROVED,))
_THERE = Condition("account_hidden_at", "null")


async def _list(turn: Turn, listing: Listing) -> Slice[Any]:
    wanted = inward(turn, dataclasses.replace(listing, conditions=(*listing.conditions, _APPROVED, _THERE)))
    found = outward(await room.list_statements(turn.connection, turn.caller.workspace, wanted))
    for row in found.rows:
        row["has_pdf"] = False  # there are no documents of statements yet
    return found


invoices = customer_door.add(
    Resource(
        "invoices",
        attributes=(
            Attribute("reference", TEXT, filters=True),
            Attribute("start_date", MOMENT, filters=True, source="starts_at"),
            Attribute("end_date", MOMENT, filters=True, source="ends_at"),
            Attribute("has_pdf", BOOLEAN, sortable=False),
            Attribute("amount_spent", DECIMAL, filters=True),
            *(
                Attribute(f"{side}_{name}", kind, filters=True)
                for side in ("originated", "terminated")
                for name, kind in _CALLS
            ),
            Attribute("services_amount_spent", DECIMAL, filters=True),
            Attribute("service_transactions_count", INTEGER, filters=True),
        ),
        to_one=(ToOne("account", "accounts"),),
        extra_filters={"account_id": UUID},
        id=UUID,
        list=_list,
    )
)
