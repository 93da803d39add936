"""Logins of a carrier's customers, and tokens for them without a login."""

import dataclasses
from datetime import UTC, datetime
from typing import Any

from bursar.accounts import api_accesses as room
from bursar.accounts.api_accesses import EVERYWHERE, AccessTerms
from bursar.accounts.logins import shown
from bursar.accounts.passwords import check_password, hash_password
from bursar.http.yeti.authentication import Doorkeeper
from bursar.http.yeti.door import door
from bursar.http.yeti.jsonapi import (
    INTEGERS,
    MOMENT,
    REFERENCE,
    TEXT,
    TEXTS,
    Attribute,
    Listing,
    Resource,
    Slice,
    ToMany,
    ToOne,
    Turn,
    Values,
    integer,
)

NETWORKS = dataclasses.replace(TEXTS, show=shown)


async def _list(turn: Turn, listing: Listing) -> Slice[Any]:
    return await room.list_accesses(turn.connection, turn.caller.workspace, listing)


async def _create(turn: Turn, values: Values) -> int:
    given, digest = await _read(values)
    return (await room.create_access(turn.connection, turn.caller, AccessTerms(**given), digest)).number


async def _update(turn: Turn, number: int, values: Values) -> int:
    given, digest = await _read(values)
    return (await room.change_access(turn.connection, turn.caller, number, given, digest)).number


async def _delete(turn: Turn, number: int) -> None:
    await room.delete_access(turn.connection, turn.caller, number)


async def _read(values: Values) -> tuple[dict[str, Any], str | None]:
    """What was sent without the password, and the hash of that; an empty one is none."""
    given = {name: value for name, value in values.items() if name != "password"}
    for name in ("account_ids", "allowed_ips"):
        if name in given:
            given[name] = tuple(given[name] or ())
    if "customer_id" in given:
        given["customer"] = given.pop("customer_id")
    password = values.get("password")
    if not password:
        return given, None
    check_password(password)
    return given, await hash_password(password)


api_accesses = door.add(
    Resource(
        "api-accesses",
        attributes=(
            Attribute("customer_id", integer(strict=False), "CU"),
            Attribute("login", TEXT, "CU"),
            Attribute("password", TEXT, "CU", readable=False, sortable=False),
            Attribute("account_ids", INTEGERS, "CU"),
            Attribute("allowed_ips", NETWORKS, "CU"),
        ),
        first=("password", "customer"),
        list=_list,
        create=_create,
        update=_update,
        delete=_delete,
    )
)


async def _lend(turn: Turn, values: Values) -> Any:
    given = {name: values[name] for name in ("customer_portal_access_profile_id",) if name in values}
    config = await room.portal_config(
        turn.connection,
        turn.caller,
        values.get("customer"),
        values.get("accounts", []),
        {
            **given,
            "allowed_ips": values.get("allowed_ips") or EVERYWHERE,
            "gateway": values.get("provision_gateway"),
            "numberlists": values.get("allow_outgoing_numberlists", ()),
        },
    )
    doorkeeper: Doorkeeper = turn.call.services[Doorkeeper]
    issued = await doorkeeper.lend(config, datetime.now(UTC))
    return {"id": config.customer_id, "token": issued.text, "expires_at": issued.expires_at}


customer_tokens = door.add(
    Resource(
        "customer-tokens",
        attributes=(
            Attribute("token", TEXT),
            Attribute("expires_at", MOMENT),
            Attribute("allowed_ips", TEXTS, "C", readable=False),
            Attribute("customer_portal_access_profile_id", REFERENCE, "C", readable=False),
        ),
        to_one=(
            ToOne("customer", "contractors", "C", readable=False),
            ToOne("provision_gateway", "gateways", "C", readable=False),
        ),
        to_many=(
            ToMany("accounts", "accounts", writes="C", readable=False),
            ToMany("allow_outgoing_numberlists", "numberlists", writes="C", readable=False),
        ),
        first=("customer", "allowed_ips", "customer_portal_access_profile", "provision_gateway"),
        create=_lend,
    )
)
