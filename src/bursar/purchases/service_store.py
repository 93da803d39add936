"""Services, their types, their free minutes and charges as rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from bursar.core.errors import NotFound
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries
from bursar.purchases.provisioning import Counter, Provisioning
from bursar.purchases.service_model import RenewPeriod, Service, ServiceType, State

queries = Queries("bursar.purchases", "services.sql")

_encoder = msgspec.json.Encoder(decimal_format="number")
_decoder = msgspec.json.Decoder(float_hook=Decimal)


@dataclass(frozen=True, slots=True)
class Charge:
    """What a balance went down by; negative: up. `account` and `service` are numbers of the carrier's door."""

    number: int
    uuid: UUID
    account: int
    service: int | None
    amount: Decimal
    description: str | None
    created_at: datetime


def to_text(variables: Mapping[str, Any] | None) -> str | None:
    """Variables as JSON text; None stays NULL."""
    return None if variables is None else _encoder.encode(variables).decode()


def from_text(text: str | None) -> dict[str, Any] | None:
    """The variables of a JSON text, numbers exact."""
    if text is None:
        return None
    variables: dict[str, Any] = _decoder.decode(text)
    return variables


def type_of(row: Row) -> ServiceType:
    """The type of services of a row."""
    return ServiceType(
        key=row["key"],
        number=row["yeti_id"],
        name=row["name"],
        force_renew=row["force_renew"],
        provisioning=Provisioning(row["provisioning_class"]),
        variables=from_text(row["variables"]),
    )


def service_of(row: Row) -> Service:
    """The service of a row that has the numbers of its account and type."""
    return Service(
        key=row["key"],
        number=row["yeti_id"],
        uuid=row["uuid"],
        account=row["account_number"],
        type=row["type_number"],
        name=row["name"],
        variables=from_text(row["variables"]),
        state=State(row["state"]),
        initial_price=row["initial_price"],
        renew_price=row["renew_price"],
        renew_period=None if row["renew_period"] is None else RenewPeriod(row["renew_period"]),
        renew_at=row["renew_at"],
        created_at=row["created_at"],
    )


def charge_of(row: Row) -> Charge:
    """The charge of a row that has the numbers of its account and service."""
    return Charge(
        number=row["yeti_id"],
        uuid=row["uuid"],
        account=row["account_number"],
        service=row["service_number"],
        amount=row["amount"],
        description=row["description"],
        created_at=row["created_at"],
    )


async def get_service(connection: Connection, workspace: int, number: int) -> Service:
    """The service of a number. Raises `NotFound`."""
    row = await connection.fetchrow(queries.find_service, workspace, number)
    if row is None:
        raise NotFound("service", str(number))
    return service_of(row)


async def get_charge(connection: Connection, workspace: int, number: int) -> Charge:
    """The charge of a number. Raises `NotFound`."""
    row = await connection.fetchrow(queries.find_charge, workspace, number)
    if row is None:
        raise NotFound("transaction", str(number))
    return charge_of(row)


async def set_counters(
    connection: Connection, workspace: int, wanted: Sequence[tuple[int, int, Sequence[Counter]]]
) -> None:
    """Services `(key, key of the account, free minutes)` have these free minutes from now on, and no others."""
    rows = [(service, account, counter) for service, account, counters in wanted for counter in counters]
    await connection.execute(
        queries.set_counters,
        workspace,
        [service for service, _, _ in wanted],
        [service for service, _, _ in rows],
        [account for _, account, _ in rows],
        [counter.prefix for _, _, counter in rows],
        [counter.duration for _, _, counter in rows],
        [counter.exclude for _, _, counter in rows],
    )
