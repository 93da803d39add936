"""Commands on services of accounts. Each runs in the transaction of its connection."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from bursar.core.caller import Caller
from bursar.core.errors import NotFound, Rejected
from bursar.db import audit
from bursar.db.database import Connection
from bursar.purchases.charges import NewCharge, charge_all
from bursar.purchases.provisioning import Provisioning, counters, verified
from bursar.purchases.service_model import BLANK, MUST_EXIST, NAME_LIMIT, Problem, length_problems, schedule_problems
from bursar.purchases.service_store import from_text, queries, set_counters, to_text

CREATION = "Service creation"


@dataclass(frozen=True, slots=True)
class CreateService:
    """A service to make. Account and type are numbers of the carrier's door."""

    account: int | None
    service_type: int | None
    initial_price: Decimal | None
    """Charged at once, whatever the balance; negative: given."""
    renew_price: Decimal | None
    name: str | None = None
    renew_period: str | None = None
    renew_at: datetime | None = None
    """When it is renewed first; it may lie in the past."""
    variables: object = None
    """An object of JSON, exact decimals in it; anything else is refused."""


async def create_service(connection: Connection, caller: Caller, command: CreateService) -> int:
    """Make a service, charge its initial price and give its free minutes; returns its number. Raises `Rejected`."""
    account = await connection.fetchrow(queries.find_charged, caller.workspace, command.account)
    kind = await connection.fetchrow(queries.keep_service_type, caller.workspace, command.service_type)
    problems: list[Problem] = [] if account else [("account", MUST_EXIST)]
    if account and account["status"] == "ARCHIVED":
        problems.append(("account", "is archived"))
    if kind is None:
        problems.append(("service_type", MUST_EXIST))
    problems += [(name, BLANK) for name in ("initial_price", "renew_price") if getattr(command, name) is None]
    problems += length_problems("name", command.name, NAME_LIMIT)
    problems += schedule_problems(command.renew_period, command.renew_at)
    provisioning = Provisioning(kind["provisioning_class"]) if kind else Provisioning.LOGGING
    variables, broken = verified(provisioning, command.variables, of_type=False)
    problems += [("variables", rule) for rule in broken]
    if problems or account is None or kind is None:
        raise Rejected(problems)
    made = await connection.fetchrow(
        queries.insert_service,
        caller.workspace,
        account["key"],
        kind["key"],
        command.name,
        to_text(variables),
        command.initial_price,
        command.renew_price,
        command.renew_period,
        command.renew_at,
        caller.now,
    )
    assert made is not None
    if command.initial_price:
        charge = NewCharge(account["key"], command.initial_price, CREATION, made["key"], kind["yeti_id"])
        await charge_all(connection, caller, [charge])
    if provisioning is Provisioning.FREE_MINUTES:
        free = counters(from_text(kind["variables"]), variables)
        await set_counters(connection, caller.workspace, [(made["key"], account["key"], free)])
    await audit.record(connection, caller, "create", "service", str(made["yeti_id"]))
    number: int = made["yeti_id"]
    return number


async def update_service(connection: Connection, caller: Caller, number: int, changes: Mapping[str, Any]) -> int:
    """Change `name`, `renew_price` or `variables`. Prices and free minutes follow with the next renewal.

    Returns its number. Raises `Rejected`, and `NotFound` for the service.
    """
    row = await connection.fetchrow(queries.lock_service, caller.workspace, number)
    if row is None:
        raise NotFound("service", str(number))
    before = {"name": row["name"], "renew_price": row["renew_price"], "variables": from_text(row["variables"])}
    wanted = {name: changes.get(name, value) for name, value in before.items()}
    problems: list[Problem] = [] if wanted["renew_price"] is not None else [("renew_price", BLANK)]
    problems += length_problems("name", wanted["name"], NAME_LIMIT)
    variables, broken = verified(Provisioning(row["provisioning_class"]), wanted["variables"], of_type=False)
    problems += [("variables", rule) for rule in broken]
    if problems:
        raise Rejected(problems)
    await connection.execute(
        queries.update_service, caller.workspace, row["key"], wanted["name"], wanted["renew_price"], to_text(variables)
    )
    await audit.record(connection, caller, "update", "service", str(number))
    return number
