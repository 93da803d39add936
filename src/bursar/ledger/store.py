"""Ledger accounts, transactions and balances as rows."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from bursar.accounts.service import fix_currencies
from bursar.core.caller import Caller
from bursar.db.database import Connection
from bursar.db.queries import Queries, numbers
from bursar.ledger.model import Kind, LedgerAccount, Transaction, TrialLine

queries = Queries("bursar.ledger")

FIXING = (Kind.WALLET, Kind.CREDIT)
"""Kinds of money that an account has in one currency for good."""


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


async def insert(
    connection: Connection,
    workspace: int,
    wall: datetime,
    transactions: Sequence[Transaction],
    accounts: dict[LedgerAccount, int],
) -> list[int]:
    """Add transactions with all their postings; returns their keys in the same order."""
    postings = [posting for transaction in transactions for posting in transaction.postings]
    currencies = list({posting.ledger_account.currency for posting in postings})
    place_of = {currency: place for place, currency in enumerate(currencies, 1)}
    rows = await connection.fetch(
        queries.insert_transactions,
        workspace,
        wall,
        [t.cause for t in transactions],
        numbers(t.cause_key for t in transactions),
        [t.description for t in transactions],
        [t.accounting_date for t in transactions],
        numbers(place for place, t in enumerate(transactions, 1) for _ in t.postings),
        numbers(line for t in transactions for line in range(1, len(t.postings) + 1)),
        numbers(accounts[posting.ledger_account] for posting in postings),
        numbers(place_of[posting.ledger_account.currency] for posting in postings),
        currencies,
        numbers(posting.amount for posting in postings),
    )
    return [row["key"] for row in rows]


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
