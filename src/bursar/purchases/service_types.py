"""Commands on types of services. Each runs in the transaction of its connection."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg

from bursar.core.caller import Caller
from bursar.core.errors import NotFound, Rejected
from bursar.db import audit
from bursar.db.database import Connection, Row
from bursar.purchases.provisioning import Provisioning, verified
from bursar.purchases.service_model import BLANK, NAME_LIMIT, Problem, length_problems
from bursar.purchases.service_store import from_text, queries, to_text

TAKEN = "has already been taken"


@dataclass(frozen=True, slots=True)
class ServiceTypeValues:
    """All that a type of services says, as somebody wants it."""

    name: str | None
    provisioning_class: str | None
    force_renew: bool | None = False
    """None: no."""
    variables: object = None
    """An object of JSON, exact decimals in it; anything else is refused."""


async def create_service_type(connection: Connection, caller: Caller, values: ServiceTypeValues) -> int:
    """A new type of services; returns its number. Raises `Rejected`."""
    taken = await _is_taken(connection, caller, values.name, 0)
    name, provisioning, variables = _checked(values, [("name", TAKEN)] if taken else [])
    number: int | None = await connection.fetchval(
        queries.insert_service_type, caller.workspace, name, bool(values.force_renew), provisioning, to_text(variables)
    )
    if number is None:
        raise Rejected([("name", TAKEN)])
    await audit.record(connection, caller, "create", "service type", str(number))
    return number


async def update_service_type(connection: Connection, caller: Caller, number: int, changes: Mapping[str, Any]) -> int:
    """Change members of `ServiceTypeValues`; the class stays while the type has services.

    Returns its number. Raises `Rejected`, and `NotFound` for the type.
    """
    row = await _lock(connection, caller, number)
    before = ServiceTypeValues(row["name"], row["provisioning_class"], row["force_renew"], from_text(row["variables"]))
    values = ServiceTypeValues(**{name: changes.get(name, getattr(before, name)) for name in before.__slots__})
    problems: list[Problem] = []
    if await _is_taken(connection, caller, values.name, row["key"]):
        problems.append(("name", TAKEN))
    if values.provisioning_class != before.provisioning_class and await _has_services(connection, caller, row):
        problems.append(("provisioning_class", "can't be changed because have linked services"))
    name, provisioning, variables = _checked(values, problems)
    try:
        await connection.execute(
            queries.update_service_type,
            caller.workspace,
            row["key"],
            name,
            bool(values.force_renew),
            provisioning,
            to_text(variables),
        )
    except asyncpg.UniqueViolationError:
        raise Rejected([("name", TAKEN)]) from None
    await audit.record(connection, caller, "update", "service type", str(number))
    return number


async def delete_service_type(connection: Connection, caller: Caller, number: int) -> None:
    """Delete a type of which there are no services. Raises `Rejected`."""
    row = await _lock(connection, caller, number)
    if await _has_services(connection, caller, row):
        raise Rejected([("", "Cannot delete record because dependent services exist")])
    await connection.execute(queries.hide_service_type, caller.workspace, row["key"], caller.wall)
    await audit.record(connection, caller, "delete", "service type", str(number))


async def _lock(connection: Connection, caller: Caller, number: int) -> Row:
    row = await connection.fetchrow(queries.lock_service_type, caller.workspace, number)
    if row is None:
        raise NotFound("service type", str(number))
    return row


async def _is_taken(connection: Connection, caller: Caller, name: str | None, key: int) -> bool:
    return bool(await connection.fetchval(queries.name_is_taken, caller.workspace, name, key))


async def _has_services(connection: Connection, caller: Caller, row: Row) -> bool:
    return bool(await connection.fetchval(queries.has_services, caller.workspace, row["key"]))


def _checked(values: ServiceTypeValues, known: list[Problem]) -> tuple[str, Provisioning, dict[str, Any] | None]:
    """Name, class and variables that can be kept. Raises `Rejected` with `known` problems and those found here."""
    problems: list[Problem] = [] if values.name and values.name.strip() else [("name", BLANK)]
    problems += length_problems("name", values.name, NAME_LIMIT)
    problems += known
    provisioning = None
    if not values.provisioning_class:
        problems.append(("provisioning_class", BLANK))
    elif values.provisioning_class not in set(Provisioning):
        problems.append(("provisioning_class", "is invalid"))
    else:
        provisioning = Provisioning(values.provisioning_class)
    variables, broken = verified(provisioning or Provisioning.LOGGING, values.variables, of_type=True)
    problems += [("variables", rule) for rule in broken]
    if problems or values.name is None or provisioning is None:
        raise Rejected(problems)
    return values.name, provisioning, variables
