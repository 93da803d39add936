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

from bursar.core import crash
from bursar.core.caller import Caller
from bursar.core.cycles import local_date
from bursar.core.errors import BursarError, WrongState
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries
from bursar.ledger import store, wallets
from bursar.ledger.model import Kind, LedgerAccount, Posting, Transaction
from bursar.ledger.service import post_all
from bursar.ledger.wallets import InsufficientFunds, WalletRefuses

queries = Queries("bursar.ledger", "holds.sql")

CAUSE = "hold"
LINE = "holds"
"""The line of revenue that settled holds are."""

Status = Literal["OPEN", "SETTLED", "RELEASED", "EXPIRED"]
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class NewHold:
    """Money to set aside: so much of the wallet of an account, by key, until an instant."""

    id: str
    account: int
    currency: str
    amount: Decimal
    until: datetime
    description: str | None


@dataclass(frozen=True, slots=True)
class Closing:
    """What is to become of a hold, by its key: so much of it is taken; None: it is given back whole."""

    key: int
    amount: Decimal | None


async def place(connection: Connection, caller: Caller, wanted: Sequence[NewHold]) -> list[WalletRefuses | None]:
    """Set money aside, one after the other, with as many statements as for one; None where it was.

    The accounts and their wallets may be used, the caller has seen to that.
    """
    names = [LedgerAccount(Kind.WALLET, new.currency, new.account) for new in wanted]
    keys = await store.find(connection, caller.workspace, list(dict.fromkeys(names)))
    purse = await wallets.hold(connection, caller, keys)
    outcomes: list[WalletRefuses | None] = []
    for name, new in zip(names, wanted, strict=True):
        try:
            if name not in purse.held:
                raise InsufficientFunds(new.account, _NOTHING, new.amount, _NOTHING)
            purse.reserve(name, new.amount)
            outcomes.append(None)
        except WalletRefuses as refused:
            outcomes.append(refused)
    placed = [(keys[name], new) for name, new, no in zip(names, wanted, outcomes, strict=True) if no is None]
    if placed:
        await connection.execute(
            queries.insert_wallet_holds,
            caller.workspace,
            caller.now,
            [new.id for _, new in placed],
            [key for key, _ in placed],
            [new.amount for _, new in placed],
            [new.description for _, new in placed],
            [new.until for _, new in placed],
        )
        crash.point("money held")
        await _hold_more(connection, caller.workspace, ((key, new.amount) for key, new in placed))
    return outcomes


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
