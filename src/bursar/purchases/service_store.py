"""Services, their types, their free minutes and charges as rows."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from bursar.db.database import Connection, Row
from bursar.db.listing import BIGINT, BOOLEAN, MOMENT, NUMERIC, TEXT, UUID, Column, Lister, Listing, Slice
from bursar.db.queries import Queries
from bursar.purchases.provisioning import Counter

queries = Queries("bursar.purchases", "services.sql")

_encoder = msgspec.json.Encoder(decimal_format="number")
_decoder = msgspec.json.Decoder(float_hook=Decimal)


_BOTH = {"account_id": Column("a.yeti_id", BIGINT), "service_id": Column("s.yeti_id", BIGINT)}
TYPES = Lister(
    queries,
    "list_service_types",
    {
        "id": Column("y.yeti_id", BIGINT),
        "name": Column("y.name", TEXT),
        "force_renew": Column("y.force_renew", BOOLEAN),
        "provisioning_class": Column("y.provisioning_class", TEXT),
    },
)
SERVICES = Lister(
    queries,
    "list_services",
    {
        "id": Column("s.yeti_id", BIGINT),
        "name": Column("s.name", TEXT),
        "initial_price": Column("s.initial_price", NUMERIC),
        "renew_price": Column("s.renew_price", NUMERIC),
        "created_at": Column("s.created_at", MOMENT),
        "renew_at": Column("s.renew_at", MOMENT),
        "renew_period": Column("s.renew_period", TEXT),
        "uuid": Column("s.uuid", UUID),
        "account_id": Column("a.yeti_id", BIGINT),
        "account_uuid": Column("t.uuid", UUID),
        "customer": Column("a.customer", BIGINT),
        "type_id": Column("y.yeti_id", BIGINT),
    },
)
COUNTERS = Lister(
    queries,
    "list_package_counters",
    {
        "id": Column("c.yeti_id", BIGINT),
        "duration": Column("c.duration", BIGINT),
        "exclude": Column("c.exclude", BOOLEAN),
        "prefix": Column("c.prefix", TEXT),
        **_BOTH,
    },
)
CHARGES = Lister(
    queries,
    "list_charges",
    {
        "id": Column("c.yeti_id", BIGINT),
        "description": Column("c.description", TEXT),
        "amount": Column("c.amount", NUMERIC),
        "created_at": Column("c.created_at", MOMENT),
        "uuid": Column("c.uuid", UUID),
        "account_uuid": Column("t.uuid", UUID),
        "service_uuid": Column("s.uuid", UUID),
        "customer": Column("a.customer", BIGINT),
        **_BOTH,
    },
)


def to_text(variables: Mapping[str, Any] | None) -> str | None:
    """Variables as JSON text; None stays NULL."""
    return None if variables is None else _encoder.encode(variables).decode()


def from_text(text: str | None) -> dict[str, Any] | None:
    """The variables of a JSON text, numbers exact."""
    if text is None:
        return None
    variables: dict[str, Any] = _decoder.decode(text)
    return variables


async def list_service_types(connection: Connection, workspace: int, listing: Listing) -> Slice[Mapping[str, Any]]:
    """Types of services; rows have `id`, the carrier's number, and what `ServiceTypeValues` has."""
    return _with_variables(await TYPES.fetch(connection, listing, workspace))


async def list_services(connection: Connection, workspace: int, listing: Listing) -> Slice[Mapping[str, Any]]:
    """Services; rows have `id`, `account_id` and `service_type_id`, all numbers of the carrier's, and the rest.

    The period of one that is not renewed is `Disabled`. Conditions know the type as `type_id`.
    """
    return _with_variables(await SERVICES.fetch(connection, listing, workspace))


async def list_package_counters(connection: Connection, workspace: int, listing: Listing) -> Slice[Row]:
    """Free minutes; rows have `id`, `account_id` and `service_id`, numbers of the carrier's, and the rest."""
    return await COUNTERS.fetch(connection, listing, workspace)


async def list_charges(connection: Connection, workspace: int, listing: Listing) -> Slice[Row]:
    """Charges; rows have `id`, `account_id` and `service_id`, numbers of the carrier's, and the rest."""
    return await CHARGES.fetch(connection, listing, workspace)


def _with_variables(found: Slice[Row]) -> Slice[Mapping[str, Any]]:
    return Slice([{**row, "variables": from_text(row["variables"])} for row in found.rows], found.total)


async def set_counters(
    connection: Connection, workspace: int, wanted: Sequence[tuple[int, int, Sequence[Counter]]]
) -> None:
    """Services `(key, key of the account, free minutes)` have these free minutes from now on, and no others.

    The services are held by the transaction, so that nobody else does the same.
    """
    new = {(service, counter.prefix): (account, counter) for service, account, given in wanted for counter in given}
    gone: list[int] = []
    kept: list[tuple[int, Counter]] = []
    for row in await connection.fetch(queries.counters_of, workspace, [service for service, _, _ in wanted]):
        found = new.pop((row["service"], row["prefix"]), None)
        if found is None:
            gone.append(row["key"])
        else:
            kept.append((row["key"], found[1]))
    if gone:
        await connection.execute(queries.delete_counters, workspace, gone)
    if kept:
        await connection.execute(
            queries.reset_counters,
            workspace,
            [key for key, _ in kept],
            [counter.duration for _, counter in kept],
            [counter.exclude for _, counter in kept],
        )
    if new:
        await connection.execute(
            queries.insert_counters,
            workspace,
            [account for account, _ in new.values()],
            [service for service, _ in new],
            [prefix for _, prefix in new],
            [counter.duration for _, counter in new.values()],
            [counter.exclude for _, counter in new.values()],
        )
