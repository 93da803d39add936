"""Holds of wallet money: set aside for a time, then taken in part or whole, or given back.

What is set aside stays in the balance, and no guarded debit may take it. A hold whose time is over counts no more, from
that instant on; a job closes its row later. Whoever changes a hold holds its wallet, so that each sees the one before.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

from bursar.core import crash
from bursar.core.caller import Caller
from bursar.core.cycles import local_date
from bursar.core.errors import BursarError, WrongState
from bursar.db import audit
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries, numbers, texts
from bursar.ledger import wallets
from bursar.ledger.model import Kind, LedgerAccount, Posting, Transaction
from bursar.ledger.service import post_all
from bursar.ledger.wallets import InsufficientFunds, WalletRefuses

queries = Queries("bursar.ledger", "holds.sql")
_INSERT = queries.insert_wallet_holds.replace("{audit}", audit.ROWS)

CAUSE = "hold"
LINE = "holds"
"""The line of revenue that settled holds are."""

Status = Literal["OPEN", "SETTLED", "RELEASED", "EXPIRED"]
_NOTHING = Decimal(0)


class NewHold(msgspec.Struct, frozen=True, gc=False):
    """Money to set aside: so much of the wallet of an account, by key, until an instant."""

    id: str
    account: int
    wallet: int | None
    """Key of the wallet's ledger account; None where there never was money."""
    amount: Decimal
    until: datetime
    description: str | None


@dataclass(frozen=True, slots=True)
class Closing:
    """What is to become of a hold, by its key: so much of it is taken; None: it is given back whole."""

    key: int
    amount: Decimal | None


async def reserve(connection: Connection, caller: Caller, wanted: Sequence[NewHold]) -> list[WalletRefuses | None]:
    """Decide, one after the other, which holds wallets have the money for; None where one has. `write` stores those.

    Nobody else changes the wallets until the transaction ends. They may be used, the caller has seen to that.
    """
    left = await wallets.available(connection, caller, {new.wallet for new in wanted if new.wallet is not None})
    outcomes: list[WalletRefuses | None] = []
    for new in wanted:
        has = left.get(new.wallet, _NOTHING)
        if has < new.amount:
            outcomes.append(InsufficientFunds(new.account, has, new.amount, _NOTHING))
        else:
            left[new.wallet] = has - new.amount
            outcomes.append(None)
    return outcomes


async def write(
    connection: Connection, caller: Caller, placed: Sequence[NewHold], entries: Sequence[audit.Trace]
) -> None:
    """Store the holds that `reserve` has agreed to, with the audit rows of the whole transaction."""
    if not placed:
        await audit.record_all(connection, entries)
        return
    sums: defaultdict[int, Decimal] = defaultdict(Decimal)
    for new in placed:
        assert new.wallet is not None, "there is money in it"
        sums[new.wallet] += new.amount
    changed = await connection.fetchval(
        _INSERT,
        caller.workspace,
        caller.now,
        texts(new.id for new in placed),
        numbers(new.wallet for new in placed),
        numbers(new.amount for new in placed),
        texts(new.description for new in placed),
        [new.until for new in placed],
        numbers(sums),
        numbers(sums.values()),
        [entry[0].wall for entry in entries],
        *audit.columns(entries),
    )
    assert changed == len(sums), "a wallet that was held has changed"
    crash.point("money held")


async def close(connection: Connection, caller: Caller, wanted: Sequence[Closing]) -> list[BursarError | None]:
    """End holds that exist, one after the other; None where it was done.

    `WrongState` is the outcome for one that is closed already or whose time is over, and where more is to be taken than
    it holds. What a hold has is taken whatever the balance has become meanwhile.
    """
    owners, rows = await _open(connection, caller, [closing.key for closing in wanted])
    outcomes: list[BursarError | None] = []
    done: list[tuple[Row, Row, Decimal | None]] = []
    closed: set[int] = set()
    for closing in wanted:
        row = rows[closing.key]
        problem = closing_problem(row, closing.amount, caller.now, closed=closing.key in closed)
        outcomes.append(problem)
        if problem is None:
            closed.add(closing.key)
            done.append((owners[closing.key], row, closing.amount))
    await post_all(connection, caller, [_posting(*one, caller.now) for one in done if one[2]])
    crash.point("held money taken")
    ends = [(row["key"], outcome_of(taken), taken, caller.now) for _, row, taken in done]
    await _end(connection, caller.workspace, ends)
    await _hold_more(
        connection, caller.workspace, ((owner["ledger_account"], -row["amount"]) for owner, row, _ in done)
    )
    return outcomes


async def expire(connection: Connection, caller: Caller, limit: int) -> int:
    """Close holds whose time is over, at most so many; returns how many were looked at."""
    found = await connection.fetch(queries.due_wallet_holds, caller.workspace, caller.now, limit)
    owners, rows = await _open(connection, caller, [row["key"] for row in found])
    due = [row for row in rows.values() if row["status"] == "OPEN" and row["expires_at"] <= caller.now]
    await _end(connection, caller.workspace, [(row["key"], "EXPIRED", None, row["expires_at"]) for row in due])
    await _hold_more(
        connection, caller.workspace, ((owners[row["key"]]["ledger_account"], -row["amount"]) for row in due)
    )
    return len(found)


async def erase_descriptions(connection: Connection, caller: Caller, customer: str) -> None:
    """Forget what holds of a customer's money were described as, by its id."""
    await connection.execute(queries.erase_descriptions, caller.workspace, customer)


def outcome_of(taken: Decimal | None) -> Status:
    """What becomes of a hold out of which so much is taken; None: which is given back."""
    return "RELEASED" if taken is None else "SETTLED"


def closing_problem(row: Row, amount: Decimal | None, now: datetime, *, closed: bool) -> WrongState | None:
    """Why a hold, of money or of units, cannot be closed so; None: it can."""
    name, status = row["wire_id"], row["status"]
    if closed:
        return WrongState(f"hold {name!r} is closed already")
    if status == "OPEN" and row["expires_at"] <= now:
        status = "EXPIRED"
    if status != "OPEN":
        return WrongState(f"hold {name!r} is {status}")
    if amount is not None and amount > row["amount"]:
        return WrongState(f"hold {name!r} is of {row['amount'].normalize():f}, {amount:f} cannot be taken out of it")
    return None


async def _open(connection: Connection, caller: Caller, keys: list[int]) -> tuple[dict[int, Row], dict[int, Row]]:
    """Whose holds they are, and what they are once nobody else can change them; both by key."""
    if not keys:
        return {}, {}
    owners = {row["key"]: row for row in await connection.fetch(queries.wallets_of_holds, caller.workspace, keys)}
    held = {LedgerAccount(Kind.WALLET, r["currency"], r["account"]): r["ledger_account"] for r in owners.values()}
    await wallets.hold(connection, caller, held)
    rows = await connection.fetch(queries.wallet_holds, caller.workspace, keys)
    return owners, {row["key"]: row for row in rows}


def _posting(owner: Row, row: Row, taken: Decimal | None, now: datetime) -> Transaction:
    amount = taken or _NOTHING
    postings = (
        Posting(LedgerAccount(Kind.WALLET, owner["currency"], owner["account"]), amount),
        Posting(LedgerAccount(Kind.REVENUE, owner["currency"], detail=LINE), -amount),
    )
    # Not what it was described as: movements stay when people are erased.
    return Transaction(CAUSE, row["key"], local_date(now, owner["zone"]), f"hold {row['wire_id']}", postings)


async def _end(
    connection: Connection, workspace: int, ends: Sequence[tuple[int, Status, Decimal | None, datetime]]
) -> None:
    if ends:
        done = await connection.fetch(queries.close_wallet_holds, workspace, *map(list, zip(*ends, strict=True)))
        assert len(done) == len(ends), "a hold whose wallet was held has changed"


async def _hold_more(connection: Connection, workspace: int, changes: Iterable[tuple[int, Decimal]]) -> None:
    sums: defaultdict[int, Decimal] = defaultdict(Decimal)
    for key, amount in changes:
        sums[key] += amount
    if sums:
        await connection.execute(queries.hold_more, workspace, list(sums), list(sums.values()))
