"""Ledger accounts, transactions and balances as rows."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from bursar.accounts.service import fix_currencies
from bursar.core.caller import Caller
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries, numbers, texts
from bursar.ledger.model import Kind, LedgerAccount, Transaction, TrialLine

queries = Queries("bursar.ledger")

POSTING = queries.posting.replace("{change_wallets}", queries.change_wallets)
"""How a statement of another room begins that posts, in its round trip; `columns` are its first parameters.

Each of its rows has `changed`, the number of rows of `changed`.
"""
HOLDING = queries.holding
"""What a statement of another room has after `named`, in whose round trip wallets are held; $1 is the workspace."""
_FIND_AND_HOLD = queries.find_and_hold.replace("{holding}", HOLDING)
INSERT = queries.insert_transactions.replace("{posting}", POSTING)
CHANGED = "a wallet that was held has changed"

FIXING = (Kind.WALLET, Kind.CREDIT)
"""Kinds of money that an account has in one currency for good."""


class WalletChanges(msgspec.Struct, frozen=True):
    """What is to become of wallets that are held, in the order of their keys."""

    keys: Sequence[int]
    """Of their ledger accounts."""
    found: Sequence[Decimal]
    """The balances in the rows."""
    amounts: Sequence[Decimal]
    """By how much these change."""
    states: Sequence[int]
    """What is told of them from now on."""

    def columns(self) -> tuple[str, str, str, str]:
        """As a statement takes them."""
        return numbers(self.keys), numbers(self.found), numbers(self.amounts), numbers(self.states)


async def ledger_accounts(
    connection: Connection, caller: Caller, wanted: Sequence[LedgerAccount]
) -> dict[LedgerAccount, int]:
    """The keys of ledger accounts; those that do not exist yet are made.

    Wallets and credits fix their account's currency.
    """
    found = await find(connection, caller.workspace, wanted)
    missing = sorted((name for name in wanted if name not in found), key=LedgerAccount.order)
    if missing:
        opened = {name.account: name.currency for name in missing if name.account and name.kind in FIXING}
        if opened:
            await fix_currencies(connection, caller, opened)
        await connection.execute(queries.insert_ledger_accounts, caller.workspace, *_columns(missing))
        found |= await find(connection, caller.workspace, missing)
    return found


async def find(connection: Connection, workspace: int, wanted: Sequence[LedgerAccount]) -> dict[LedgerAccount, int]:
    """The keys of those ledger accounts that exist."""
    rows = await connection.fetch(queries.find_ledger_accounts, workspace, *_columns(wanted))
    return {wanted[row["place"] - 1]: row["key"] for row in rows}


def _columns(names: Sequence[LedgerAccount]) -> tuple[list[str], list[int | None], list[str], list[str]]:
    return (
        [name.kind for name in names],
        [name.account for name in names],
        [name.detail for name in names],
        [name.currency for name in names],
    )


async def find_and_hold(
    connection: Connection, workspace: int, wanted: Sequence[LedgerAccount]
) -> dict[LedgerAccount, Row]:
    """Those ledger accounts that exist, with `key`; wallets, where all exist, also with what is in them and agreed.

    Then nobody else changes these wallets until the transaction ends.
    """
    kinds, accounts, details, currencies = _columns(wanted)
    rows = await connection.fetch(
        _FIND_AND_HOLD, workspace, texts(kinds), numbers(accounts), texts(details), texts(currencies)
    )
    return {wanted[row["place"] - 1]: row for row in rows}


def columns(
    workspace: int,
    wall: datetime,
    transactions: Sequence[Transaction],
    accounts: Mapping[LedgerAccount, int],
    changes: WalletChanges,
) -> tuple[object, ...]:
    """Transactions with all their postings, and what changes of wallets, as `POSTING` takes them."""
    postings = [posting for transaction in transactions for posting in transaction.postings]
    currencies = list({posting.ledger_account.currency for posting in postings})
    place_of = {currency: place for place, currency in enumerate(currencies, 1)}
    return (
        workspace,
        *changes.columns(),
        texts(t.cause for t in transactions),
        numbers(t.cause_key for t in transactions),
        texts(t.description for t in transactions),
        texts(t.accounting_date.isoformat() for t in transactions),
        numbers(place for place, t in enumerate(transactions, 1) for _ in t.postings),
        numbers(line for t in transactions for line in range(1, len(t.postings) + 1)),
        numbers(accounts[posting.ledger_account] for posting in postings),
        numbers(place_of[posting.ledger_account.currency] for posting in postings),
        currencies,
        numbers(posting.amount for posting in postings),
        wall,
    )


async def change_wallets(connection: Connection, workspace: int, changes: WalletChanges) -> None:
    """Change wallets that are held."""
    if changes.keys:
        done = await connection.fetch(queries.change_wallets, workspace, *changes.columns())
        assert len(done) == len(changes.keys), CHANGED


async def add_to_balances(connection: Connection, workspace: int, changes: dict[int, Decimal]) -> None:
    """Change running balances by key of the ledger account, in key order."""
    ordered = sorted(changes.items())
    if ordered:
        await connection.execute(
            queries.add_to_balances, workspace, [key for key, _ in ordered], [amount for _, amount in ordered]
        )


async def balance(connection: Connection, workspace: int, name: LedgerAccount) -> Decimal:
    """The running balance of a kind of a customer's account, over all details; zero where nothing was posted."""
    total: Decimal = await connection.fetchval(queries.balance_of, workspace, name.account, name.kind, name.currency)
    return total


async def trial_balance(connection: Connection, workspace: int) -> list[TrialLine]:
    """One line per kind and currency, ordered by currency and kind."""
    rows = await connection.fetch(queries.trial_balance, workspace)
    return [TrialLine(Kind(row["kind"]), row["currency"], row["debits"], row["credits"]) for row in rows]
