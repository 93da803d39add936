"""Invoices: statements of an account, with what they are made up of."""

from dataclasses import replace
from typing import Any

from starlette.responses import Response

from bursar.http.door import Call
from bursar.http.yeti.door import ADMIN, door
from bursar.http.yeti.jsonapi import (
    BOOLEAN,
    DECIMAL,
    INTEGER,
    MOMENT,
    REFERENCE,
    TEXT,
    Attribute,
    Kind,
    Listing,
    Resource,
    Slice,
    ToMany,
    ToOne,
    Turn,
    Values,
    choice,
)
from bursar.invoicing import statements as room
from bursar.invoicing.statement_model import TYPES, State

_DATE = replace(MOMENT, name="date", read=TEXT.read)
"""An instant, sent as a text that is read in the account's zone."""
_NOTHING: Kind = replace(TEXT, show=lambda _: None)

_CALLS = (
    ("amount_spent", DECIMAL),
    ("amount_earned", DECIMAL),
    ("calls_count", INTEGER),
    ("successful_calls_count", INTEGER),
    ("calls_duration", INTEGER),
    ("billing_duration", INTEGER),
    ("first_call_at", MOMENT),
    ("last_call_at", MOMENT),
)


def _amounts(prefix: str = "") -> tuple[Attribute, ...]:
    return tuple(Attribute(f"{prefix}{name}", DECIMAL, filters=True) for name in ("amount_spent", "amount_earned"))


def _side(side: str) -> tuple[Attribute, ...]:
    return tuple(Attribute(f"{side}_{name}", kind, filters=True) for name, kind in _CALLS)


async def _list(turn: Turn, listing: Listing) -> Slice[Any]:
    return await room.list_statements(turn.connection, turn.caller.workspace, listing)


async def _create(turn: Turn, values: Values) -> int:
    return await room.create_statement(turn.connection, turn.caller, values)


async def _delete(turn: Turn, number: int) -> None:
    await room.delete_statement(turn.connection, turn.caller, number)


invoices = door.add(
    Resource(
        "invoices",
        attributes=(
            Attribute("reference", TEXT, filters=True),
            Attribute("state", choice(*State), sortable=False, filters=True),
            Attribute("invoice_type", choice(*TYPES.values()), sortable=False, filters=True, source="type"),
            Attribute("start_date", _DATE, "C", filters=True, source="starts_at"),
            Attribute("end_date", _DATE, "C", filters=True, source="ends_at"),
            Attribute("pdf_path", _NOTHING, sortable=False, source="reference"),
            *_amounts(),
            *_side("originated"),
            *_side("terminated"),
            *_amounts("services_"),
            Attribute("service_transactions_count", INTEGER, filters=True),
        ),
        to_one=(ToOne("account", "accounts", "C", linked=True),),
        to_many=(
            ToMany("originated_destinations", "invoice-originated-destinations", "invoice_id"),
            ToMany("originated_networks", "invoice-originated-networks", "invoice_id"),
            ToMany("terminated_destinations", "invoice-terminated-destinations", "invoice_id"),
            ToMany("terminated_networks", "invoice-terminated-networks", "invoice_id"),
            ToMany("service_data", "invoice-service-data", "invoice_id"),
        ),
        extra_filters={"account_id": REFERENCE},
        first=("account",),
        list=_list,
        create=_create,
        delete=_delete,
    )
)

_OF_INVOICES = {"invoice_id": REFERENCE, "invoice_account_id": REFERENCE}


def _breakdown(side: str, part: str) -> Resource:
    """The calls of one side, by destination or by network."""
    rows = room.list_destinations if part == "destinations" else room.list_networks

    async def listed(turn: Turn, listing: Listing) -> Slice[Any]:
        return await rows(turn.connection, turn.caller.workspace, side, listing)

    prefix = (Attribute("dst_prefix", TEXT, filters=True),) if part == "destinations" else ()
    return Resource(
        f"invoice-{side}-{part}",
        attributes=(
            Attribute("amount", DECIMAL, filters=True),
            Attribute("billing_duration", INTEGER, filters=True),
            Attribute("calls_count", INTEGER, filters=True),
            Attribute("calls_duration", INTEGER, filters=True),
            *prefix,
            Attribute("first_call_at", MOMENT, filters=True),
            Attribute("last_call_at", MOMENT, filters=True),
            Attribute("rate", DECIMAL, filters=True),
            Attribute("spent", BOOLEAN, filters=True),
            Attribute("successful_calls_count", INTEGER, filters=True),
        ),
        to_one=(
            ToOne("invoice", "invoices"),
            ToOne("country", "countries", source="country"),
            ToOne("network", "networks", source="network"),
        ),
        extra_filters={**_OF_INVOICES, "country_id": REFERENCE, "network_id": REFERENCE},
        list=listed,
    )


for _one in room.SIDES:
    for _part in ("destinations", "networks"):
        door.add(_breakdown(_one, _part))


async def _services(turn: Turn, listing: Listing) -> Slice[Any]:
    return await room.list_services(turn.connection, turn.caller.workspace, listing)


service_data = door.add(
    Resource(
        "invoice-service-data",
        attributes=(
            Attribute("amount", DECIMAL, filters=True),
            Attribute("transactions_count", INTEGER, filters=True),
            Attribute("spent", BOOLEAN, filters=True),
        ),
        to_one=(ToOne("invoice", "invoices"), ToOne("service", "services")),
        extra_filters={**_OF_INVOICES, "service_id": REFERENCE},
        list=_services,
    )
)


@door.operation(
    "GET",
    f"{ADMIN}/invoices/{{invoices_id}}/pdf",
    id="yeti-pdf-invoices",
    tag="invoices",
    summary="The document of an invoice; 404 where there is none",
    status=404,
)
async def pdf(call: Call) -> Response:
    """Answer that there is none: statements have no documents yet; it is the same where there is no invoice."""
    return Response(status_code=404)
