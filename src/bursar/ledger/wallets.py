"""Wallets as they are held, moved and watched within one transaction.

A wallet is money that we owe the customer: its balance, as customers see it, is what the ledger shows with the sign
turned. `ledger.service` is the only caller of this module's writing part.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec

from bursar.core import decimals
from bursar.core.caller import Caller
from bursar.core.errors import BursarError
from bursar.db.database import Connection, Row
from bursar.ledger import store
from bursar.ledger.model import Kind, LedgerAccount, Transaction
from bursar.ledger.watch import Crossing, State, Thresholds, step
from bursar.notify import outbox

PASSED = "balance"
"""Topic of the outbox: a wallet has passed a threshold; `{notification}` is its key."""


_NONE = Thresholds()
_ZERO = Decimal(0)


class WalletRefuses(BursarError):
    """A wallet cannot move so."""


class BalanceTooLarge(WalletRefuses):
    """The balance would have more than 26 digits before the point."""


class InsufficientFunds(WalletRefuses):
    """A wallet does not hold what is to be taken from it."""

    def __init__(self, account: int, balance: Decimal, needed: Decimal, floor: Decimal) -> None:
        self.account = account
        """Internal key of the account."""
        self.balance = balance
        self.needed = needed
        self.floor = floor
        """What must be left."""
        has, wanted, left = decimals.show(balance), decimals.show(needed), decimals.show(floor)
        super().__init__(f"the balance of {has} does not allow {wanted} to be taken: {left} must be left")


class Change(msgspec.Struct, frozen=True):
    """A balance before and after a movement, as the customer sees it."""

    old: Decimal
    new: Decimal


@dataclass(slots=True)
class Held:
    """A wallet whose row is locked until the transaction ends."""

    key: int
    account: int
    found: Decimal
    """The balance in the row."""
    bounds: Thresholds
    was: State
    reserved: Decimal
    """What of the balance is set aside by holds whose time is not over."""
    balance: Decimal = field(init=False)
    state: State = field(init=False)

    def __post_init__(self) -> None:
        self.balance, self.state = self.found, self.was

    @property
    def available(self) -> Decimal:
        """What may be spent."""
        return self.balance - self.reserved


@dataclass(frozen=True, slots=True)
class Passed:
    """A threshold that a wallet has passed."""

    held: Held
    crossing: Crossing
    balance: Decimal


@dataclass(slots=True)
class Purse:
    """Wallets that are held by one transaction, and what has come over them in it."""

    held: Mapping[LedgerAccount, Held]
    passed: list[Passed] = field(default_factory=list)

    def move(self, transaction: Transaction, floor: Decimal | None) -> dict[LedgerAccount, Change]:
        """Let the wallets that a transaction names change by it, and watch them.

        Raises `InsufficientFunds` where it takes from one and less than `floor` would be left beside what is set aside,
        `BalanceTooLarge` where more would be there than can be written; then nothing changes.
        """
        changes: dict[LedgerAccount, Change] = {}
        for posting in transaction.postings:
            name = posting.ledger_account
            if name.kind is Kind.WALLET:
                old = changes[name].old if name in changes else self.held[name].balance
                new = changes[name].new if name in changes else old
                changes[name] = Change(old, new - posting.amount)
        for name, change in changes.items():
            if not decimals.fits(change.new):
                raise BalanceTooLarge
            held = self.held[name]
            if floor is not None and change.new < change.old and change.new - held.reserved < floor:
                raise InsufficientFunds(held.account, change.old - held.reserved, change.old - change.new, floor)
        for name, change in changes.items():
            self._come_to(self.held[name], change.new)
        return changes

    def look(self) -> None:
        """Watch wallets where they are: their thresholds may have changed."""
        for held in self.held.values():
            self._come_to(held, held.balance)

    def changes(self) -> store.WalletChanges:
        """What is to be stored of what has come over the wallets."""
        changed = sorted(
            (held for held in self.held.values() if held.balance != held.found or held.state is not held.was),
            key=lambda held: held.key,
        )
        return store.WalletChanges(
            [held.key for held in changed],
            [-held.found for held in changed],
            [held.found - held.balance for held in changed],
            [int(held.state) for held in changed],
        )

    def _come_to(self, held: Held, balance: Decimal) -> None:
        held.balance = balance
        held.state, crossings = step(held.state, balance, held.bounds)
        self.passed += [Passed(held, crossing, balance) for crossing in crossings]


async def find_and_hold(
    connection: Connection, caller: Caller, names: Sequence[LedgerAccount]
) -> tuple[Mapping[LedgerAccount, int], Purse]:
    """The keys of ledger accounts, which are made where they do not exist yet, and the wallets among them, held."""
    rows = await store.find_and_hold(connection, caller.workspace, names)
    keys = {name: row["key"] for name, row in rows.items()}
    purse = await held_so(connection, caller, keys, rows) if len(rows) == len(names) else None
    if purse is None:
        keys = await store.ledger_accounts(connection, caller, names)
        purse = await hold(connection, caller, {name: key for name, key in keys.items() if name.kind is Kind.WALLET})
    return keys, purse


async def held_so(
    connection: Connection, caller: Caller, keys: Mapping[LedgerAccount, int], rows: Mapping[LedgerAccount, Row]
) -> Purse | None:
    """The wallets among ledger accounts, as rows of `held` say that they are held; None where one is not."""
    wallets = {name: key for name, key in keys.items() if name.kind is Kind.WALLET}
    if any(rows[name]["balance"] is None for name in wallets):
        return None
    found = {key: rows[name] for name, key in wallets.items()}
    return await _purse(connection, caller, wallets, found, found)


async def hold(connection: Connection, caller: Caller, wallets: Mapping[LedgerAccount, int]) -> Purse:
    """Hold wallets, by name and key, until the transaction ends. Those of many are taken in the order of their keys.

    Their thresholds are asked for by a statement after the one that held them: it sees those that were set while that
    one waited for the rows.
    """
    workspace = caller.workspace
    keys = list(wallets.values())
    if not keys:
        return Purse({})
    found = {row["ledger_account"]: row for row in await connection.fetch(store.queries.hold_wallets, workspace, keys)}
    if len(found) < len(wallets):
        await connection.execute(store.queries.open_wallets, workspace, [key for key in keys if key not in found])
        rows = await connection.fetch(store.queries.hold_wallets, workspace, keys)
        found = {row["ledger_account"]: row for row in rows}
    agreed = await connection.fetch(store.queries.thresholds_of, workspace, keys)
    return await _purse(connection, caller, wallets, found, {row["ledger_account"]: row for row in agreed})


async def available(connection: Connection, caller: Caller, keys: Collection[int]) -> dict[int | None, Decimal]:
    """What may be spent of wallets, by key, which are held until the transaction ends; only where there was ever money.

    As `hold`, for what does not change balances: their thresholds are not looked at.
    """
    rows = await connection.fetch(store.queries.hold_wallets, caller.workspace, list(keys)) if keys else ()
    over = await _over(connection, caller, [row["ledger_account"] for row in rows if row["held"]])
    return {
        row["ledger_account"]: over.get(row["ledger_account"], _ZERO) - row["balance"] - row["held"] for row in rows
    }


async def _purse(
    connection: Connection,
    caller: Caller,
    wallets: Mapping[LedgerAccount, int],
    found: Mapping[int, Row],
    bounds: Mapping[int, Row],
) -> Purse:
    """Wallets that are held, `found` so, with the thresholds that are in force."""
    over = await _over(connection, caller, [key for key in wallets.values() if found[key]["held"]])
    return Purse({
        name: Held(
            key,
            name.account or 0,
            -found[key]["balance"] + 0,
            _bounds(bounds.get(key)),
            State(found[key]["watch"]),
            found[key]["held"] - over.get(key, _ZERO),
        )
        for name, key in wallets.items()
    })  # fmt: skip


def _bounds(row: Row | None) -> Thresholds:
    if row is None or (row["low"] is None and row["high"] is None):
        return _NONE
    return Thresholds(row["low"], row["high"])


async def _over(connection: Connection, caller: Caller, keys: list[int]) -> dict[int, Decimal]:
    """What holds of wallets have whose time is over: it counts as returned, whether or not they are closed already."""
    rows = await connection.fetch(store.queries.overdue_holds, caller.workspace, keys, caller.now) if keys else ()
    return {row["ledger_account"]: row["amount"] for row in rows}


async def put_back(connection: Connection, caller: Caller, purse: Purse) -> None:
    """Store what has come over wallets, and leave in the outbox what is to be told of them."""
    await store.change_wallets(connection, caller.workspace, purse.changes())
    await tell(connection, caller, purse)


async def tell(connection: Connection, caller: Caller, purse: Purse) -> None:
    """Leave in the outbox what is to be told of wallets."""
    entries = purse.passed
    if not entries:
        return
    rows = await connection.fetch(
        store.queries.insert_notifications,
        caller.workspace,
        caller.now,
        [one.held.account for one in entries],
        [int(one.crossing) for one in entries],
        [one.balance for one in entries],
        [one.held.bounds.low for one in entries],
        [one.held.bounds.high for one in entries],
    )
    told = [(PASSED, {"notification": row["key"]}) for row in sorted(rows, key=lambda row: int(row["key"]))]
    await outbox.add(connection, caller.workspace, caller.wall, told)
