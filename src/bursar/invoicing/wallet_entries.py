"""The entries of a wallet: whatever moved it, at any door, and what it came to each time."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from bursar.core.decimals import NUMERAL, plain, show
from bursar.core.errors import Invalid
from bursar.core.ids import derive
from bursar.core.page import Page
from bursar.db.database import Connection
from bursar.db.queries import Queries
from bursar.ledger.account_wallets import Wallet

queries = Queries("bursar.invoicing", "wallet_entries.sql")

_LAST = (2**63 - 1, 2**31 - 1)
"""After every posting."""
_FOREIGN = "is not a bookmark of this list"


@dataclass(frozen=True, slots=True)
class WalletEntry:
    """One posting of a wallet."""

    id: str
    amount: Decimal
    """What the wallet went up by; below zero: down."""
    closing: Decimal
    """What was in it then."""
    description: str
    entity: str | None
    """Number or id of the payment, transaction or invoice that caused it; None: it was nothing that has one."""
    created_at: datetime


async def list_entries(
    connection: Connection, workspace: int, wallet: Wallet, after: str | None, limit: int
) -> Page[WalletEntry]:
    """A wallet's entries, newest first, `limit` of them after the bookmark `after`; wallet and entries of one instant.

    The bookmark holds what was in the wallet before its entry: postings never change, so that stays true, and a page
    costs the same wherever it is in the list. Raises `Invalid` for what is no bookmark of this wallet.
    """
    place, closing = (_LAST, wallet.posted) if after is None else _place(after)
    own = workspace, wallet.ledger_account
    if after is not None and not await connection.fetchval(queries.wallet_has, *own, *place):
        raise Invalid("nextToken", _FOREIGN)
    rows = await connection.fetch(queries.wallet_postings, *own, *place, limit + 1)
    entries = []
    for row in rows[:limit]:
        entries.append(
            WalletEntry(
                id=derive("wallet_entry", wallet.id, row["transaction"], row["line"]),
                amount=plain(row["amount"]),
                closing=plain(closing),
                description=row["description"],
                entity=row["entity"],
                created_at=row["recorded_at"],
            )
        )
        closing -= row["amount"]
    more = len(rows) > limit
    return Page(
        entries, f"{rows[limit - 1]['transaction']}/{rows[limit - 1]['line']}/{show(closing)}" if more else None
    )


def _place(after: str) -> tuple[tuple[int, int], Decimal]:
    """After which transaction and line to go on, and what was in the wallet before it."""
    transaction, line, closing = (*after.split("/", 2), "", "")[:3]
    numbers = transaction + line
    sound = numbers.isascii() and transaction.isdigit() and line.isdigit() and NUMERAL.fullmatch(closing)
    if not sound or len(transaction) > 18 or len(line) > 9:
        raise Invalid("nextToken", _FOREIGN)
    return (int(transaction), int(line)), Decimal(closing)
