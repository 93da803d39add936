"""Bounded copies of what admission needs, brought up to date inside every flush.

A copy is only ever used for the version that the flush reads behind the gate, so it can be missing but never wrong:
what changed since is dropped by the change log, and what is missing is read in the same transaction.
"""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from bursar.accounts import settings
from bursar.catalog import snapshot
from bursar.core.cycles import Calendar
from bursar.db.database import Connection
from bursar.db.queries import Queries
from bursar.usage.admission import AccountView, Tenant
from bursar.usage.judged import references
from bursar.usage.measure import compile_schema

queries = Queries("bursar.usage")

NAMES_LIMIT = 200_000
"""Account names remembered per workspace before its copies are dropped and begun anew."""


class StoredCalendar(msgspec.Struct):
    """A calendar as `account_calendar` keeps it."""

    interval: str
    zone: str
    day: str | None = None
    month: str | None = None


class Views:
    """The copies of one flusher. Not shared: a flush that fails may leave them behind its transaction's version."""

    def __init__(self) -> None:
        self._tenants: dict[int, Tenant] = {}

    def forget(self) -> None:
        """Drop everything, after a flush that did not commit."""
        self._tenants.clear()

    async def tenants(
        self, connection: Connection, keys: Iterable[int], tokens: Iterable[int], wall: datetime
    ) -> tuple[dict[int, Tenant], set[int]]:
        """The workspaces of a flush as they stand behind their gates, and which of `tokens` have ended."""
        rows = await connection.fetch(queries.tenants, sorted(set(keys)), sorted(set(tokens)), wall)
        result: dict[int, Tenant] = {}
        for row in rows:
            tenant = self._tenants.get(row["key"])
            if tenant is None:
                tenant = Tenant(row["key"], row["version"], wall, row["timezone"], row["grace_days"])
                await _load_schemas(connection, tenant)
                self._tenants[tenant.key] = tenant
            elif tenant.version != row["version"]:
                await self._apply(connection, tenant)
            tenant.version = row["version"]
            tenant.clock = row["clock_at"]
            tenant.now = tenant.clock or wall
            if tenant.grace_days != row["grace_days"]:
                tenant.grace_days = row["grace_days"]
                tenant.routes.clear()
            tenant.chunk = row["chunk"]
            result[tenant.key] = tenant
        return result, {token for row in rows for token in row["ended"]}

    def known(self, key: int, names: set[str], wall: datetime) -> Tenant | None:
        """A workspace as it stood when it was last read; None where the copies lack it, or one of the names."""
        tenant = self._tenants.get(key)
        if tenant is None or not names <= tenant.resolved:
            return None
        tenant.now = tenant.clock or wall
        return tenant

    async def resolve(self, connection: Connection, tenant: Tenant, names: set[str]) -> None:
        """Read the names and accounts that the copies lack. A name that leads nowhere is not remembered."""
        if names <= tenant.resolved:
            return
        if len(tenant.names) > NAMES_LIMIT or len(tenant.routes) > NAMES_LIMIT:
            tenant.names.clear()
            tenant.accounts.clear()
            tenant.routes.clear()
            tenant.resolved.clear()
            tenant.settings.own.clear()
        missing = [name for name in names if name not in tenant.names]
        if missing:
            for row in await connection.fetch(queries.names, tenant.key, missing):
                entry = (row["starts_at"], row["ends_at"], row["account"])
                tenant.names.setdefault(row["value"], []).append(entry)
        wanted = {account for name in names for _, _, account in tenant.names.get(name, ())}
        unknown = sorted(wanted - tenant.accounts.keys())
        if unknown:
            await _load_accounts(connection, tenant, unknown)
        if tenant.wanted and (lacking := sorted(wanted - tenant.settings.own.keys())):
            await settings.load_own(connection, tenant.key, tenant.settings, tenant.wanted, lacking)
        tenant.resolved |= names & tenant.names.keys()

    async def _apply(self, connection: Connection, tenant: Tenant) -> None:
        for row in await connection.fetch(queries.changes_since, tenant.key, tenant.version):
            if row["kind"] == "catalog":
                await _load_schemas(connection, tenant)
                tenant.resolved.clear()
            elif row["kind"] == "setting":
                tenant.settings = await settings.load_shared(connection, tenant.key, tenant.wanted)
                tenant.resolved.clear()
            elif row["kind"] == "account":
                if tenant.accounts.pop(row["object"], None) is not None:
                    tenant.resolved.clear()
                tenant.settings.own.pop(row["object"], None)
                tenant.routes.clear()
            elif row["kind"] == "name":
                tenant.names.pop(row["name"], None)
                tenant.resolved.discard(row["name"])
                tenant.routes.pop(row["name"], None)


async def _load_schemas(connection: Connection, tenant: Tenant) -> None:
    catalog = await snapshot.load(connection, tenant.key)
    tenant.schemas = {view.name: compile_schema(view) for view in catalog.schemas}
    enrichments = (schema.enrichment for schema in tenant.schemas.values())
    tenant.wanted = references(enrichment for enrichment in enrichments if enrichment is not None)
    tenant.settings = await settings.load_shared(connection, tenant.key, tenant.wanted)


async def _load_accounts(connection: Connection, tenant: Tenant, keys: list[int]) -> None:
    calendars: dict[int, list[tuple[datetime, datetime, Calendar, int]]] = {}
    for row in await connection.fetch(queries.calendars, tenant.key, keys):
        stored = msgspec.json.decode(row["calendar"], type=StoredCalendar)
        calendar = Calendar.parse(stored.interval, stored.day, stored.month, stored.zone)
        calendars.setdefault(row["account"], []).append((row["starts_at"], row["ends_at"], calendar, row["grace_days"]))
    for row in await connection.fetch(queries.accounts, tenant.key, keys):
        tenant.accounts[row["key"]] = AccountView(
            key=row["key"],
            active=row["status"] != "ARCHIVED",
            closed_from=row["closed_from"],
            closed_until=row["closed_until"],
            calendars=tuple(calendars.get(row["key"], ())),
        )
