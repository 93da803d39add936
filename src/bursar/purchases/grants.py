"""Grants of feature units: given, drawn, edited and voided. What a grant holds changes only with an entry of its own.

Whoever changes the grants of an account and a feature holds their balance's row, so that each sees the one before.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal

from bursar.accounts.model import Account
from bursar.accounts.store import get_account
from bursar.catalog.features import Feature, get_feature
from bursar.core import crash, decimals
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, NotFound, Taken, Unavailable, WrongState
from bursar.core.page import Page, key_of
from bursar.core.period import Period
from bursar.db import audit
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries, numbers
from bursar.purchases.grant_model import (
    OVERAGE,
    ZERO,
    Draw,
    Grant,
    Source,
    Standing,
    Stock,
    edited,
    standing,
    value_of,
    voided,
)
from bursar.usage.rows import array

queries = Queries("bursar.purchases", "grants.sql")

Pair = tuple[int, int]
"""Internal keys of an account and a feature."""


@dataclass(frozen=True, slots=True)
class NewGrant:
    """A grant to make of a feature."""

    feature: Feature
    id: str
    """Its wire id, which no other grant of the account and feature has."""
    source: Source
    effective: Period
    granted: Decimal | None
    """Units; None, for overage alone: without limit."""
    purchase: int | None = None
    """Internal key of the purchase that gave it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A change of what a grant holds."""

    workspace: int
    grant: int
    kind: Literal["GRANT", "RETURN", "SETTLE", "EDIT", "VOID"]
    amount: Decimal
    event: uuid.UUID | None = None
    """Of what an event gives back: the event that drew it."""
    hold: int | None = None
    """Of what was settled: key of the hold."""


async def give(connection: Connection, caller: Caller, account: Account, grants: Sequence[NewGrant]) -> None:
    """Grant an account units of features, all or none. Pass the gate before, where the transaction does that at all.

    Raises `Invalid` for units that cannot be, `Taken` where there is a grant of that id already.
    """
    for new in grants:
        _check(new)
    features = sorted({new.feature.key for new in grants})
    for feature in features:
        await connection.execute(queries.insert_balance, caller.workspace, account.key, feature)
    rows = await connection.fetch(queries.lock_balances, [account.key] * len(features), features)
    balances = {row["feature"]: row["key"] for row in rows}
    for new in grants:
        balance = balances[new.feature.key]
        key = await connection.fetchval(
            queries.insert_grant,
            caller.workspace,
            balance,
            new.id,
            new.source,
            new.effective.start,
            new.effective.end,
            new.granted,
            caller.wall,
            new.purchase,
        )
        if key is None:
            raise Taken("id", f"there is a feature credit entry {new.id!r} already")
        granted = ZERO if new.granted is None else new.granted
        await enter(connection, caller.wall, [Entry(caller.workspace, key, "GRANT", granted)], {balance: granted})
        await audit.record(connection, caller, "grant", "feature_credit", new.id, {"feature": new.feature.id})
    crash.point("units granted")


async def standing_of(connection: Connection, caller: Caller, account_id: str, feature_id: str) -> Standing:
    """What an account has of a feature now. Raises `NotFound`."""
    return standing(await in_force(connection, caller, account_id, feature_id), caller.now)


async def values_of(connection: Connection, caller: Caller, account_id: str) -> dict[str, str]:
    """The values of an account's entitlements by the ids of features with a grant in force. Raises `NotFound`."""
    account = await get_account(connection, caller.workspace, account_id)
    found: dict[str, list[Grant]] = {}
    for row in await connection.fetch(queries.all_in_force, caller.workspace, account.key, caller.now):
        found.setdefault(row["feature_id"], []).append(grant_of(row))
    return {feature: value_of(grants, caller.now) for feature, grants in found.items()}


async def in_force(connection: Connection, caller: Caller, account_id: str, feature_id: str) -> list[Grant]:
    """The grants of an account and a feature that may be drawn now. Raises `NotFound`."""
    account, feature = await _named(connection, caller, account_id, feature_id)
    rows = await connection.fetch(queries.grants_in_force, caller.workspace, account.key, feature.key, caller.now)
    return [grant_of(row) for row in rows]


async def list_grants(
    connection: Connection, caller: Caller, account_id: str, feature_id: str, after: str | None, limit: int
) -> Page[Grant]:
    """All grants of an account and a feature in the order of their making. Raises `NotFound`."""
    account, feature = await _named(connection, caller, account_id, feature_id)
    rows = await connection.fetch(
        queries.grants, caller.workspace, account.key, feature.key, key_of(after), limit + 1, caller.now
    )
    items = [grant_of(row) for row in rows[:limit]]
    return Page(items, str(items[-1].key) if len(rows) > limit else None)


async def edit_grant(
    connection: Connection,
    caller: Caller,
    account_id: str,
    feature_id: str,
    identifier: str,
    *,
    until: datetime | None,
    granted: Decimal | None,
) -> Grant:
    """Give a grant another end or number of units; None leaves one as it is.

    Raises `NotFound`, `WrongState` unless it is active, `Invalid` for what it cannot become.
    """
    balance, old = await _enter(connection, caller, account_id, feature_id, identifier)
    new = edited(old, until, granted, caller.now)
    if new != old:
        await connection.execute(queries.change_grant, caller.workspace, old.key, new.effective.end, new.granted)
        crash.point("grant changed")
        more = (new.granted or ZERO) - (old.granted or ZERO)
        if more:
            await enter(connection, caller.wall, [Entry(caller.workspace, old.key, "EDIT", more)], {balance: more})
        await audit.record(connection, caller, "update", "feature_credit", identifier, {"feature": feature_id})
    return new


async def void_grant(
    connection: Connection, caller: Caller, account_id: str, feature_id: str, identifier: str
) -> Grant:
    """Take away what is left of a grant. Raises `NotFound`, `WrongState` unless it is active and in no hold."""
    balance, old = await _enter(connection, caller, account_id, feature_id, identifier)
    new = voided(old, caller.now)
    await connection.execute(queries.void_grant, caller.workspace, old.key, caller.now)
    crash.point("grant voided")
    lost = -(old.unused or ZERO)
    await enter(connection, caller.wall, [Entry(caller.workspace, old.key, "VOID", lost)], {balance: lost})
    await audit.record(connection, caller, "void", "feature_credit", identifier, {"feature": feature_id})
    return new


async def hold(connection: Connection, pairs: Iterable[Pair], now: datetime) -> dict[Pair, Stock]:
    """The grants of accounts and features that end after `now`, held until the transaction ends; only where there are.

    A grant that another transaction gives while this one waits may be missed: then it came later.
    """
    wanted = sorted(set(pairs))
    rows = await connection.fetch(queries.lock_grants, [pair[0] for pair in wanted], [pair[1] for pair in wanted], now)
    # A second statement: it sees holds as those left them whom the first one waited for.
    keys = [row["key"] for row in rows if row["held"]]
    over = {
        row["feature_grant"]: row["amount"]
        for row in (await connection.fetch(queries.overdue_parts, keys, now) if keys else ())
    }
    found: dict[Pair, tuple[int, list[Grant]]] = {}
    for row in rows:
        grant = grant_of(row)
        if grant.key in over:
            grant = replace(grant, held=grant.held - over[grant.key])
        found.setdefault((row["account"], row["feature"]), (row["feature_balance"], []))[1].append(grant)
    return {pair: Stock(key, grants) for pair, (key, grants) in found.items()}


async def take(
    connection: Connection, wall: datetime, stocks: Iterable[Stock], draws: Sequence[tuple[int, bytes, Draw]]
) -> None:
    """Write down what was drawn of `stocks`: workspace, digest of the event's id, and units, in order.

    Raises `Unavailable` where a grant does not hold what the stock said it does.
    """
    if not draws:
        return
    sums: dict[int, Decimal] = {}
    for _, _, draw in draws:
        sums[draw.grant] = sums.get(draw.grant, ZERO) + draw.amount
    moves = {
        stock.key: sum((sums.get(grant.key, ZERO) for grant in stock.grants if grant.granted is not None), ZERO)
        for stock in stocks
    }
    moved = {key: amount for key, amount in moves.items() if amount}
    done = await connection.fetchrow(
        queries.draw,
        list(sums),
        list(sums.values()),
        list(moved),
        list(moved.values()),
        numbers(workspace for workspace, _, _ in draws),
        numbers(draw.grant for _, _, draw in draws),
        numbers(-draw.amount for _, _, draw in draws),
        array(event.hex() for _, event, _ in draws),
        wall,
    )
    assert done is not None, "the statement always has a row"
    if (done["grants"], done["balances"]) != (len(sums), len(moved)):
        raise Unavailable("the credits are being changed; try again shortly")


async def enter(connection: Connection, wall: datetime, entries: Sequence[Entry], moves: Mapping[int, Decimal]) -> None:
    """Add entries other than draws, and move balances by their sums. Raises `Unavailable` where one were below zero."""
    await connection.execute(
        queries.insert_entries,
        [entry.workspace for entry in entries],
        [entry.grant for entry in entries],
        [entry.kind for entry in entries],
        [entry.amount for entry in entries],
        [entry.event for entry in entries],
        [entry.hold for entry in entries],
        wall,
    )
    moved = {key: amount for key, amount in sorted(moves.items()) if amount}
    if moved and len(await connection.fetch(queries.move_balances, list(moved), list(moved.values()))) < len(moved):
        raise Unavailable("the credits are being changed; try again shortly")


def _check(new: NewGrant) -> None:
    if new.granted is None:
        if new.source != OVERAGE:
            raise Invalid("granted", "must be given, except for overage without limit")
    elif new.granted < 0 or not decimals.fits(new.granted):
        raise Invalid("granted", "must be 0 or more, with at most 26 digits before the point and 12 behind it")


async def _named(connection: Connection, caller: Caller, account_id: str, feature_id: str) -> tuple[Account, Feature]:
    account = await get_account(connection, caller.workspace, account_id)
    return account, await get_feature(connection, caller.workspace, feature_id)


async def _enter(
    connection: Connection, caller: Caller, account_id: str, feature_id: str, identifier: str
) -> tuple[int, Grant]:
    """The key of the balance and the grant, both held."""
    account, feature = await _named(connection, caller, account_id, feature_id)
    if account.status == "ARCHIVED":
        raise WrongState(f"account {account_id!r} is archived")
    balance = await connection.fetchval(queries.lock_balance, caller.workspace, account.key, feature.key)
    row = await connection.fetchrow(queries.grant, caller.workspace, balance, identifier, caller.now)
    if row is None:
        raise NotFound("feature credit entry", identifier)
    return balance, grant_of(row)


def grant_of(row: Row) -> Grant:
    """The grant of a row."""
    return Grant(
        key=row["key"],
        id=row["wire_id"],
        source=row["source"],
        effective=Period(row["effective_from"], row["effective_until"]),
        granted=row["granted"],
        used=row["used"],
        voided=row["voided_at"] is not None,
        held=row["held"] - row["over"] if row["held"] else ZERO,
    )
