"""Payments: money from a customer, or back to one."""

from typing import Any

from bursar.http.door import Call
from bursar.http.yeti.door import door
from bursar.http.yeti.jsonapi import (
    DECIMAL,
    INTEGER,
    MOMENT,
    TEXT,
    Attribute,
    Listing,
    Resource,
    Slice,
    ToOne,
    Turn,
    Values,
    choice,
)
from bursar.invoicing import payments as room
from bursar.invoicing.payments import Pay, Payment, Payments

STATUSES = ("canceled", "completed", "pending", "rolled_back")
TYPES = ("cryptomus", "manual")


async def _list(turn: Turn, listing: Listing) -> Slice[Any]:
    return await room.list_payments(turn.connection, turn.caller.workspace, listing)


async def _create(turn: Turn, values: Values) -> Payment:
    return await room.pay(turn.connection, turn.caller, _wanted(values))


async def _create_apart(call: Call, values: Values) -> Payment:
    payments: Payments = call.services[Payments]
    return await payments.submit(call.db, call.caller, _wanted(values))


def _wanted(values: Values) -> Pay:
    return Pay(**{"account": None, "amount": None, **values})


payments = door.add(
    Resource(
        "payments",
        attributes=(
            Attribute("created_at", MOMENT, filters=True),
            Attribute("amount", DECIMAL, "C", filters=True),
            Attribute("currency", TEXT, sortable=False),
            Attribute("notes", TEXT, "C", sortable=False, filters=True),
            Attribute("private_notes", TEXT, "C", sortable=False, filters=True),
            Attribute("status", choice(*STATUSES), sortable=False, filters=True),
            Attribute("type_name", choice(*TYPES), sortable=False, filters=True),
            Attribute("balance_before_payment", DECIMAL, sortable=False),
            Attribute("rolledback_at", MOMENT, sortable=False, filters=True),
        ),
        to_one=(ToOne("account", "accounts", "C", linked=True, filter=True),),
        extra_filters={"id": INTEGER},
        first=("account", "currency"),
        alike=True,
        list=_list,
        create=_create,
        create_apart=_create_apart,
    )
)
