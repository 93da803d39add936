"""Posting. A caller names the cause and the postings; nothing else ever writes the ledger."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

import msgspec

from bursar.core.caller import Caller
from bursar.db.database import Connection, Row
from bursar.ledger import store, wallets
from bursar.ledger.model import OF_CUSTOMERS, Kind, LedgerAccount, Transaction
from bursar.ledger.wallets import Change, Held, Purse, WalletRefuses


class Move(msgspec.Struct, frozen=True):
    """A transaction to post, and what it must leave in a wallet that it takes from; None: it may take any amount."""

    transaction: Transaction
    floor: Decimal | None = None


class Moved(msgspec.Struct, frozen=True):
    """A transaction that was posted."""

    key: int
    wallets: Mapping[LedgerAccount, Change]
    """The balances of the wallets that it moved, as customers see them."""


async def post(connection: Connection, caller: Caller, transaction: Transaction) -> int:
    """Append one transaction, in the database transaction of its cause. Returns its key."""
    return (await post_all(connection, caller, [transaction]))[0]


async def post_all(connection: Connection, caller: Caller, transactions: Sequence[Transaction]) -> list[int]:
    """Append many transactions with few statements; returns their keys in the same order.

    The audit row of their cause covers them. Raises `BalanceTooLarge`.
    """
    outcomes = await move_all(connection, caller, [Move(transaction) for transaction in transactions])
    return [_moved(outcome).key for outcome in outcomes]


async def move(connection: Connection, caller: Caller, transaction: Transaction, floor: Decimal | None = None) -> Moved:
    """Append one transaction; where it takes from a wallet, `floor` must be left. Raises `WalletRefuses`."""
    (outcome,) = await move_all(connection, caller, [Move(transaction, floor)])
    return _moved(outcome)


def _moved(outcome: Moved | WalletRefuses) -> Moved:
    if isinstance(outcome, WalletRefuses):
        raise outcome
    return outcome


async def move_all(connection: Connection, caller: Caller, moves: Sequence[Move]) -> list[Moved | WalletRefuses]:
    """Append transactions one after the other, with as many statements as for one; those that a wallet refuses are not.

    Each is decided on the balance that the ones before it left, and each is watched for thresholds: the outcome is that
    of as many calls. Wallets are held first, in the order of their keys, then the other balances in that of theirs.
    """
    if not moves:
        return []
    names = list(dict.fromkeys(p.ledger_account for m in moves for p in m.transaction.postings))
    keys, purse = await wallets.find_and_hold(connection, caller, names)
    decided = decide(purse, moves)
    accepted = [
        one.transaction for one, outcome in zip(moves, decided, strict=True) if not isinstance(outcome, WalletRefuses)
    ]
    posted: Iterator[int] = iter(())
    if accepted:
        posted = (row["key"] for row in await append(connection, caller, accepted, keys, purse))
    return [outcome if isinstance(outcome, WalletRefuses) else Moved(next(posted), outcome) for outcome in decided]


def decide(purse: Purse, moves: Sequence[Move]) -> list[dict[LedgerAccount, Change] | WalletRefuses]:
    """What becomes of movements of wallets that are held, each decided on the balance that the ones before it left."""
    decided: list[dict[LedgerAccount, Change] | WalletRefuses] = []
    for one in moves:
        try:
            decided.append(purse.move(one.transaction, one.floor))
        except WalletRefuses as refused:
            decided.append(refused)
    return decided


async def append(
    connection: Connection,
    caller: Caller,
    accepted: Sequence[Transaction],
    keys: Mapping[LedgerAccount, int],
    purse: Purse,
    statement: str = store.INSERT,
    *beside: object,
) -> list[Row]:
    """Append transactions that were decided, and tell of the thresholds that they pass; returns rows of `statement`.

    That one begins with `store.POSTING` and takes `beside` after the parameters of it.
    """
    changes = purse.changes()
    columns = store.columns(caller.workspace, caller.wall, accepted, keys, changes)
    rows = await connection.fetch(statement, *columns, *beside)
    assert rows[0]["changed"] == len(changes.keys), store.CHANGED
    await wallets.tell(connection, caller, purse)
    await store.add_to_balances(connection, caller.workspace, _others(accepted, keys))
    return rows


def _others(transactions: Sequence[Transaction], keys: Mapping[LedgerAccount, int]) -> dict[int, Decimal]:
    """By how much running balances change that are not those of wallets."""
    changes: defaultdict[int, Decimal] = defaultdict(Decimal)
    for transaction in transactions:
        for posting in transaction.postings:
            if posting.ledger_account.kind in OF_CUSTOMERS and posting.ledger_account.kind is not Kind.WALLET:
                changes[keys[posting.ledger_account]] += posting.amount
    return changes


async def balance_held(connection: Connection, caller: Caller, account: int, currency: str) -> Decimal:
    """What is in the wallet of an account, by key, which nobody else changes until the transaction ends."""
    return (await balances_held(connection, caller, {account: currency}))[account]


async def balances_held(connection: Connection, caller: Caller, currencies: Mapping[int, str]) -> dict[int, Decimal]:
    """`balance_held` of many accounts, given with their currencies."""
    return {wallet.account: wallet.balance for wallet in await _held(connection, caller, currencies)}


async def available_held(connection: Connection, caller: Caller, currencies: Mapping[int, str]) -> dict[int, Decimal]:
    """As `balances_held`, without what is set aside: what may be spent."""
    return {wallet.account: wallet.available for wallet in await _held(connection, caller, currencies)}


async def _held(connection: Connection, caller: Caller, currencies: Mapping[int, str]) -> Iterable[Held]:
    names = [LedgerAccount(Kind.WALLET, currency, account) for account, currency in currencies.items()]
    keys = await store.ledger_accounts(connection, caller, names)
    return (await wallets.hold(connection, caller, keys)).held.values()


async def reconsider(connection: Connection, caller: Caller, account: int) -> None:
    """Watch the wallet of an account, by key, after its thresholds were set; nothing where there is no such account."""
    row = await connection.fetchrow(store.queries.wallet_of_account, caller.workspace, account)
    if row is None:
        return
    name = LedgerAccount(Kind.WALLET, row["currency"], row["key"])
    keys = await store.ledger_accounts(connection, caller, [name])
    purse = await wallets.hold(connection, caller, keys)
    purse.look()
    await wallets.put_back(connection, caller, purse)
