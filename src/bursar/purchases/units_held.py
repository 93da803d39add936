"""Units of features that holds have set aside: of which grants, and what becomes of them.

A hold has its units of the grants that would have been drawn as it was placed, and is settled out of these, also when
they have ended meanwhile. Whoever changes one holds the balance's row of its account and feature.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

import msgspec

from bursar.core import crash
from bursar.core.caller import Caller
from bursar.core.errors import BursarError
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries, numbers, texts
from bursar.ledger.holds import Closing, Status, closing_problem, outcome_of
from bursar.purchases import grants
from bursar.purchases.grant_model import ZERO, Draw, TooFewUnits
from bursar.purchases.grants import Entry, Pair

queries = Queries("bursar.purchases", "holds.sql")

Part = tuple[int, Decimal]
"""Key of a grant, and units of it."""


class NewUnits(msgspec.Struct, frozen=True, gc=False):
    """Units to set aside of an account and a feature, both by key, until an instant."""

    id: str
    pair: Pair
    amount: Decimal
    until: datetime
    description: str | None


class Placed(NamedTuple):
    """Units that `reserve` has found: of which balance, by key, and of which grants."""

    balance: int
    new: NewUnits
    draws: list[Draw]


async def reserve(
    connection: Connection, caller: Caller, wanted: Sequence[NewUnits]
) -> tuple[list[TooFewUnits | None], list[Placed]]:
    """Decide, one after the other, for which holds there are units; None where there are. `write` stores those.

    Nobody else changes the grants until the transaction ends.
    """
    stocks = await grants.hold(connection, (new.pair for new in wanted), caller.now)
    outcomes: list[TooFewUnits | None] = []
    placed: list[Placed] = []
    for new in wanted:
        try:
            if new.pair not in stocks:
                raise TooFewUnits(new.amount, None)
            stock = stocks[new.pair]
            placed.append(Placed(stock.key, new, stock.reserve(new.amount, caller.now)))
            outcomes.append(None)
        except TooFewUnits as refused:
            outcomes.append(refused)
    return outcomes, placed


async def write(connection: Connection, caller: Caller, placed: Sequence[Placed]) -> None:
    """Store the holds that `reserve` has found units for."""
    if not placed:
        return
    parts = [(one.new, place, draw) for one in placed for place, draw in enumerate(one.draws, 1)]
    sums = _sums((draw.grant, draw.amount) for _, _, draw in parts)
    changed = await connection.fetchval(
        queries.insert_feature_holds,
        caller.workspace,
        caller.now,
        texts(one.new.id for one in placed),
        numbers(one.balance for one in placed),
        numbers(one.new.amount for one in placed),
        texts(one.new.description for one in placed),
        [one.new.until for one in placed],
        texts(new.id for new, _, _ in parts),
        numbers(place for _, place, _ in parts),
        numbers(draw.grant for _, _, draw in parts),
        numbers(draw.amount for _, _, draw in parts),
        [new.until for new, _, _ in parts],
        numbers(sums),
        numbers(sums.values()),
    )
    assert changed == len(sums), "a grant that was held has changed"
    crash.point("units held")


async def close(connection: Connection, caller: Caller, wanted: Sequence[Closing]) -> list[BursarError | None]:
    """End holds that exist, one after the other; None where it was done, else `WrongState`."""
    rows, parts = await _open(connection, caller.workspace, [closing.key for closing in wanted])
    outcomes: list[BursarError | None] = []
    done: dict[int, Decimal | None] = {}
    for closing in wanted:
        problem = closing_problem(rows[closing.key], closing.amount, caller.now, closed=closing.key in done)
        outcomes.append(problem)
        if problem is None:
            done[closing.key] = closing.amount
    await _end(connection, caller.workspace, [(key, outcome_of(n), n, caller.now) for key, n in done.items()])
    await _give_back(connection, caller.workspace, {key: parts[key] for key in done})
    crash.point("held units returned")
    await _use(connection, caller, rows, {key: _first(parts[key], taken or ZERO) for key, taken in done.items()})
    return outcomes


async def expire(connection: Connection, caller: Caller, limit: int) -> int:
    """Close holds whose time is over, at most so many; returns how many were looked at."""
    found = await connection.fetch(queries.due_feature_holds, caller.workspace, caller.now, limit)
    rows, parts = await _open(connection, caller.workspace, [row["key"] for row in found])
    due = [row for row in rows.values() if row["status"] == "OPEN" and row["expires_at"] <= caller.now]
    await _end(connection, caller.workspace, [(row["key"], "EXPIRED", None, row["expires_at"]) for row in due])
    await _give_back(connection, caller.workspace, {row["key"]: parts[row["key"]] for row in due})
    return len(found)


async def _open(
    connection: Connection, workspace: int, keys: list[int]
) -> tuple[dict[int, Row], defaultdict[int, list[Part]]]:
    """Holds and their parts by key, which nobody else changes until the transaction ends."""
    parts: defaultdict[int, list[Part]] = defaultdict(list)
    if not keys:
        return {}, parts
    await connection.execute(queries.keep_balances, workspace, keys)
    rows = {row["key"]: row for row in await connection.fetch(queries.feature_holds, workspace, keys)}
    for row in await connection.fetch(queries.parts_of, workspace, keys):
        parts[row["feature_hold"]].append((row["feature_grant"], row["amount"]))
    return rows, parts


def _first(parts: Sequence[Part], amount: Decimal) -> list[Part]:
    """So much of the parts, the first ones first."""
    taken: list[Part] = []
    for grant, units in parts:
        if amount > 0:
            taken.append((grant, min(units, amount)))
            amount -= units
    return taken


async def _use(connection: Connection, caller: Caller, rows: dict[int, Row], taken: dict[int, list[Part]]) -> None:
    """Count units of holds as used."""
    sums = _sums(part for parts in taken.values() for part in parts)
    if not sums:
        return
    done = await connection.fetch(queries.use_units, caller.workspace, list(sums), list(sums.values()))
    assert len(done) == len(sums), "a grant no longer has what a hold has of it"
    limited = {row["key"] for row in done if row["limited"]}
    moves: defaultdict[int, Decimal] = defaultdict(Decimal)
    entries = []
    for key, parts in taken.items():
        for grant, amount in parts:
            entries.append(Entry(caller.workspace, grant, "SETTLE", -amount, hold=key))
            if grant in limited:
                moves[rows[key]["feature_balance"]] -= amount
    await grants.enter(connection, caller.wall, entries, moves)


async def _end(
    connection: Connection, workspace: int, ends: Sequence[tuple[int, Status, Decimal | None, datetime]]
) -> None:
    if ends:
        done = await connection.fetch(queries.close_feature_holds, workspace, *map(list, zip(*ends, strict=True)))
        assert len(done) == len(ends), "a hold whose balance was held has changed"


async def _give_back(connection: Connection, workspace: int, parts: dict[int, list[Part]]) -> None:
    if parts:
        await connection.execute(queries.drop_parts, workspace, list(parts))
        given = ((grant, -amount) for some in parts.values() for grant, amount in some)
        await _set_aside(connection, workspace, given)


async def _set_aside(connection: Connection, workspace: int, parts: Iterable[Part]) -> None:
    sums = _sums(parts)
    if sums:
        await connection.execute(queries.hold_units, workspace, list(sums), list(sums.values()))


def _sums(parts: Iterable[Part]) -> dict[int, Decimal]:
    sums: defaultdict[int, Decimal] = defaultdict(Decimal)
    for grant, amount in parts:
        sums[grant] += amount
    return sums
