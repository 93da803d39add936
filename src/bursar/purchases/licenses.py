"""Licences that accounts have: how many of which add-on, from when on. Whoever changes them holds the account."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from bursar.accounts.model import Account, may_change
from bursar.accounts.store import lock_account
from bursar.catalog import plans
from bursar.catalog.add_ons import AddOn, use_add_ons
from bursar.core import crash
from bursar.core.caller import Caller
from bursar.core.decimals import show
from bursar.core.errors import Invalid, NotFound
from bursar.core.page import Page, key_of
from bursar.core.period import show_instant
from bursar.db import audit
from bursar.db.database import Connection, Database, Row
from bursar.db.idempotency import Attempt, KeyReused, Outcome, once
from bursar.db.queries import Queries
from bursar.purchases import store
from bursar.purchases.license_model import (
    LicenseUpdate,
    NewUpdate,
    check_amount,
    check_instant,
    check_later,
    quantity_after,
)
from bursar.purchases.named_licenses import Wanted, name_histories

queries = Queries("bursar.purchases", "licenses.sql")

_OPERATION = "license_update"
_metadata = msgspec.json.Decoder(dict[str, str])


async def grant_licenses(connection: Connection, caller: Caller, new: NewUpdate) -> int:
    """As `update_licenses`, in the transaction of something else and without a key; returns the update's key."""
    return await _update(connection, caller, new)


async def update_licenses(db: Database, caller: Caller, new: NewUpdate) -> LicenseUpdate:
    """Let an account have more, fewer, or so many licences; with an idempotency key, what came of the first under it.

    Raises `Invalid` for an account or a licence that is not there, for an amount that cannot be, and for a key of
    another request; `WrongState` for time that is invoiced and an archived account.
    """

    async def make(connection: Connection) -> int:
        return await _update(connection, caller, new)

    if new.idempotency_key is None:
        key = await db.run(caller.workspace, make)
    else:
        key = await _once(db, caller, new, new.idempotency_key)
    async with db.reading(caller.workspace) as connection:
        return (await _updates(connection, caller, [key]))[0]


async def describe_update(
    connection: Connection,
    caller: Caller,
    license_id: str,
    account_id: str,
    effective_from: datetime,
    metadata: Mapping[str, str],
) -> LicenseUpdate:
    """Give the last update of an instant other metadata. Raises `NotFound`."""
    key = await connection.fetchval(queries.update_at, caller.workspace, account_id, license_id, effective_from)
    if key is None:
        raise NotFound("license update", license_id)
    await connection.execute(queries.describe_update, caller.workspace, key, _text(metadata))
    await audit.record(connection, caller, "describe", "license", license_id, {"account": account_id})
    return (await _updates(connection, caller, [key]))[0]


async def list_updates(
    connection: Connection,
    caller: Caller,
    after: str | None,
    limit: int,
    *,
    account_id: str | None,
    license_id: str | None,
    effective_from: datetime | None,
) -> Page[LicenseUpdate]:
    """Updates, the newest first; None does not filter. `effective_from`: those that hold from then on, or later."""
    before = key_of(after) or None
    rows = await connection.fetch(
        queries.list_updates, caller.workspace, account_id, license_id, effective_from, before, limit + 1
    )
    keys = [row["key"] for row in rows[:limit]]
    items = await _updates(connection, caller, keys) if keys else []
    return Page(items, str(keys[-1]) if len(rows) > limit else None)


async def histories(
    connection: Connection, workspace: int, wanted: Sequence[Wanted]
) -> list[list[tuple[datetime, Decimal]]]:
    """For each, how many licences there are from which instants on, from what holds as its time begins."""
    numbered = [one for one in wanted if not one.named]
    named = [one for one in wanted if one.named]
    changes = {
        **dict(zip(numbered, await _numbered(connection, workspace, numbered), strict=True)),
        **dict(zip(named, await name_histories(connection, workspace, named) if named else (), strict=True)),
    }
    return [changes[one] for one in wanted]


async def _numbered(
    connection: Connection, workspace: int, wanted: Sequence[Wanted]
) -> list[list[tuple[datetime, Decimal]]]:
    found: list[list[tuple[datetime, Decimal]]] = [[] for _ in wanted]
    rows = await connection.fetch(
        queries.license_history,
        workspace,
        [one.account for one in wanted],
        [one.add_on for one in wanted],
        [one.time.start for one in wanted],
        [one.time.end for one in wanted],
    )
    for row in rows:
        found[row["place"] - 1].append((row["effective_from"], row["quantity"]))
    return found


async def erase_metadata(connection: Connection, caller: Caller, customer_id: str) -> None:
    """Forget what was noted with the licences of a customer's accounts."""
    await connection.execute(queries.erase_metadata, caller.workspace, customer_id)


async def _once(db: Database, caller: Caller, new: NewUpdate, given: str) -> int:
    digest = hashlib.sha256(msgspec.json.encode(new, order="deterministic")).digest()
    attempt = Attempt(caller.workspace, _OPERATION, new.account_id, given, digest)

    async def work(joined: Database) -> Outcome:
        key = await joined.run(caller.workspace, lambda connection: _update(connection, caller, new))
        return Outcome(200, "text/plain", str(key).encode())

    try:
        return int((await once(db, attempt, caller.wall, work)).body)
    except KeyReused:
        rule = f"{given!r} belongs to another license update of account {new.account_id!r}; use a new key"
        raise Invalid("idempotencyKey", rule) from None


async def _update(connection: Connection, caller: Caller, new: NewUpdate) -> int:
    check_amount(new)
    start = caller.now if new.effective_from is None else new.effective_from
    account = await _holder(connection, caller, new.account_id, start)
    may_change("account", account.id, account.status)
    check_instant(start, account.closed_until)
    license_ = await _license(connection, caller, new.license_id)
    place = caller.workspace, account.key, license_.key, start
    before = await connection.fetchval(queries.quantity_before, *place) or Decimal(0)
    quantity = quantity_after(new, before)
    await _check_most(connection, caller, account, license_, start, quantity)
    if more := quantity - before:
        later = await connection.fetchrow(queries.later_figures, *place)
        assert later is not None, "an aggregate always has a row"
        check_later(later["least"], later["most"], more)
        await connection.execute(queries.move_later, *place, more)
    key: int = await connection.fetchval(
        queries.insert_update, *place, new.kind, new.amount, quantity, _text(new.metadata), caller.wall
    )
    detail = {"account": account.id, "quantity": show(quantity), "from": show_instant(start)}
    await audit.record(connection, caller, "update", "license", license_.id, detail)
    crash.point("licenses updated")
    return key


async def _holder(connection: Connection, caller: Caller, name: str, start: datetime) -> Account:
    """The account that an id or alias leads to, held."""
    account_id = await connection.fetchval(queries.license_holder, caller.workspace, name, start)
    try:
        return await lock_account(connection, caller.workspace, account_id or name)
    except NotFound as missing:
        raise Invalid("accountId", missing.message) from None


async def _license(connection: Connection, caller: Caller, identifier: str) -> AddOn:
    found = (await use_add_ons(connection, caller.workspace, [identifier])).get(identifier)
    if found is None or found.status == "ARCHIVED":
        raise Invalid("licenseId", f"there is no add-on {identifier!r}")
    if found.type != "LICENSE":
        rule = f"add-on {identifier!r} is of type {found.type}; licences are of LICENSE ones"
        raise Invalid("licenseId", rule)
    return found


async def _check_most(
    connection: Connection, caller: Caller, account: Account, license_: AddOn, start: datetime, quantity: Decimal
) -> None:
    """Raise `Invalid` for more licences than the plan that is in force then lets an account have."""
    for segment in await store.segments_of(connection, caller.workspace, account.key):
        if start not in segment.period:
            continue
        plan = await plans.version(connection, caller.workspace, segment.version)
        for card in plan.details.licenses:
            most = None if card.tolerant or card.add_on != license_.key else card.max_quantity
            if most is not None and quantity > most:
                raise Invalid("quantity", f"would be {show(quantity)}; price plan {plan.id!r} allows {show(most)}")


async def _updates(connection: Connection, caller: Caller, keys: list[int]) -> list[LicenseUpdate]:
    return [_of(row) for row in await connection.fetch(queries.updates_of_licenses, caller.workspace, keys)]


def _of(row: Row) -> LicenseUpdate:
    return LicenseUpdate(
        key=row["key"],
        license_id=row["license_id"],
        account_id=row["account_id"],
        quantity=row["quantity"],
        effective_from=row["effective_from"],
        metadata=None if row["metadata"] is None else _metadata.decode(row["metadata"]),
        created_at=row["created_at"],
    )


def _text(metadata: Mapping[str, str] | None) -> str | None:
    return None if metadata is None else msgspec.json.encode(dict(metadata)).decode()
