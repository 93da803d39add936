"""Accounts at the carrier's door."""

from decimal import Decimal
from typing import Any

from bursar.accounts import terms
from bursar.http.door import Call
from bursar.http.yeti.door import door
from bursar.http.yeti.jsonapi import (
    DECIMAL,
    INTEGERS,
    REFERENCE,
    TEXT,
    UUID,
    Attribute,
    Listing,
    Resource,
    Slice,
    ToOne,
    Turn,
    Values,
    integer,
)
from bursar.ledger import accounts as room

_CAPACITY = integer(16)


async def _list(turn: Turn, listing: Listing) -> Slice[Any]:
    return await room.list_accounts(turn.connection, turn.caller, listing)


async def _create(turn: Turn, values: Values) -> Any:
    return _fresh(await terms.create_agreed(turn.connection, turn.caller, values))


async def _create_apart(call: Call, values: Values) -> Any:
    made: terms.NewAccounts = call.services[terms.NewAccounts]
    return _fresh(await made.submit(call.db, call.caller, values))


def _fresh(made: terms.Agreed) -> dict[str, Any]:
    """A new account as lists have it."""
    return {
        **made,
        "balance": Decimal(0),
        "contractor_id": made["contractor"],
        "invoice_template_id": made["invoice_template"],
    }


async def _update(turn: Turn, number: int, values: Values) -> int:
    await terms.update_agreed(turn.connection, turn.caller, number, values)
    return number


async def _delete(turn: Turn, number: int) -> None:
    await terms.delete_agreed(turn.connection, turn.caller, number)


accounts = door.add(
    Resource(
        "accounts",
        attributes=(
            Attribute("name", TEXT, "CU", filters=True),
            Attribute("balance", DECIMAL, filters=True),
            Attribute("min_balance", DECIMAL, "CU", filters=True),
            Attribute("max_balance", DECIMAL, "CU", filters=True),
            Attribute("vat", DECIMAL, "CU", filters=True),
            Attribute("balance_low_threshold", DECIMAL, "CU", sortable=False, filters=True),
            Attribute("balance_high_threshold", DECIMAL, "CU", sortable=False, filters=True),
            Attribute("send_balance_notifications_to", INTEGERS, "CU", sortable=False),
            Attribute("destination_rate_limit", DECIMAL, "CU", filters=True),
            Attribute("max_call_duration", integer(32, strict=False), "CU", filters=True),
            Attribute("external_id", integer(strict=False), "CU", filters=True),
            Attribute("uuid", UUID, "CU", filters=True),
            Attribute("origination_capacity", _CAPACITY, "CU", filters=True),
            Attribute("termination_capacity", _CAPACITY, "CU", filters=True),
            Attribute("total_capacity", _CAPACITY, "CU", filters=True),
            Attribute("send_invoices_to", INTEGERS, "CU"),
            Attribute("invoice_period_id", integer(16, strict=False), "CU"),
            Attribute("timezone", TEXT, "CU"),
            Attribute("currency", TEXT, "C"),
        ),
        to_one=(
            ToOne("contractor", "contractors", "CU", linked=True, filter=True),
            ToOne("invoice_template", "invoice-templates", "CU", linked=True, filter=True),
        ),
        plain_filters=("name",),
        extra_filters={"currency_id": REFERENCE},
        first=("name", "contractor", "currency"),
        alike=True,
        list=_list,
        create=_create,
        create_apart=_create_apart,
        update=_update,
        delete=_delete,
    )
)
