"""What a carrier sells beside calls: types of services, services of accounts, and the free minutes that they give."""

from typing import Any

from bursar.http.yeti.door import door
from bursar.http.yeti.jsonapi import (
    BOOLEAN,
    DECIMAL,
    JSON,
    MOMENT,
    REFERENCE,
    TEXT,
    UUID,
    Attribute,
    Listing,
    Resource,
    Slice,
    ToMany,
    ToOne,
    Turn,
    Values,
    choice,
    integer,
)
from bursar.purchases import service_store, service_types
from bursar.purchases import services as room
from bursar.purchases.service_model import RenewPeriod
from bursar.purchases.service_types import ServiceTypeValues
from bursar.purchases.services import CreateService


async def _list_types(turn: Turn, listing: Listing) -> Slice[Any]:
    return await service_store.list_service_types(turn.connection, turn.caller.workspace, listing)


async def _create_type(turn: Turn, values: Values) -> int:
    new = ServiceTypeValues(**{"name": None, "provisioning_class": None, **values})
    return await service_types.create_service_type(turn.connection, turn.caller, new)


async def _update_type(turn: Turn, number: int, values: Values) -> int:
    return await service_types.update_service_type(turn.connection, turn.caller, number, values)


async def _delete_type(turn: Turn, number: int) -> None:
    await service_types.delete_service_type(turn.connection, turn.caller, number)


service_types_resource = door.add(
    Resource(
        "service-types",
        attributes=(
            Attribute("name", TEXT, "CU", filters=True),
            Attribute("force_renew", BOOLEAN, "CU", filters=True),
            Attribute("provisioning_class", TEXT, "CU", filters=True),
            Attribute("variables", JSON, "CU", sortable=False),
        ),
        list=_list_types,
        create=_create_type,
        update=_update_type,
        delete=_delete_type,
    )
)


async def _list(turn: Turn, listing: Listing) -> Slice[Any]:
    return await service_store.list_services(turn.connection, turn.caller.workspace, listing)


async def _create(turn: Turn, values: Values) -> int:
    required = dict.fromkeys(("account", "service_type", "initial_price", "renew_price"))
    return await room.create_service(turn.connection, turn.caller, CreateService(**{**required, **values}))


async def _update(turn: Turn, number: int, values: Values) -> int:
    return await room.update_service(turn.connection, turn.caller, number, values)


services = door.add(
    Resource(
        "services",
        attributes=(
            Attribute("name", TEXT, "CU", filters=True),
            Attribute("variables", JSON, "CU", sortable=False),
            Attribute("state", TEXT, sortable=False),
            Attribute("initial_price", DECIMAL, "C", filters=True),
            Attribute("renew_price", DECIMAL, "CU", filters=True),
            Attribute("created_at", MOMENT, filters=True),
            Attribute("renew_at", MOMENT, "C", filters=True),
            Attribute("renew_period", choice(*RenewPeriod), "C", filters=True),
            Attribute("uuid", UUID, sortable=False, filters=True),
        ),
        to_one=(
            ToOne("account", "accounts", "C", linked=True),
            ToOne("service_type", "service-types", "C"),
        ),
        to_many=(
            ToMany("transactions", "transactions", inverse="service_id"),
            ToMany("package_counters", "package-counters", inverse="service_id"),
        ),
        extra_filters={"account_id": REFERENCE, "type_id": REFERENCE},
        first=("account", "service_type"),
        list=_list,
        create=_create,
        update=_update,
    )
)


async def _list_counters(turn: Turn, listing: Listing) -> Slice[Any]:
    return await service_store.list_package_counters(turn.connection, turn.caller.workspace, listing)


package_counters = door.add(
    Resource(
        "package-counters",
        attributes=(
            Attribute("duration", integer(32)),
            Attribute("exclude", BOOLEAN),
            Attribute("prefix", TEXT),
            Attribute("service_id", REFERENCE),
        ),
        to_one=(
            ToOne("account", "accounts", filter=True, self_link=False),
            ToOne("service", "services", filter=True, self_link=False),
        ),
        list=_list_counters,
    )
)
