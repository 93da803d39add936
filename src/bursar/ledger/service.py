"""Posting. A caller names the cause and the postings; nothing else ever writes the ledger."""

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal

from bursar.core.caller import Caller
from bursar.db.database import Connection
from bursar.ledger import store
from bursar.ledger.model import OF_CUSTOMERS, Transaction


async def post(connection: Connection, caller: Caller, transaction: Transaction) -> int:
    """Append one transaction, in the database transaction of its cause. Returns its key."""
    return (await post_all(connection, caller, [transaction]))[0]


async def post_all(connection: Connection, caller: Caller, transactions: Sequence[Transaction]) -> list[int]:
    """Append many transactions with few statements; returns their keys in the same order.

    The audit row of their cause covers them.
    """
    if not transactions:
        return []
    wanted = list(dict.fromkeys(p.ledger_account for t in transactions for p in t.postings))
    keys = await store.ledger_accounts(connection, caller.workspace, wanted)
    posted = await store.insert(connection, caller.workspace, caller.wall, transactions, keys)
    changes: defaultdict[int, Decimal] = defaultdict(Decimal)
    for transaction in transactions:
        for posting in transaction.postings:
            if posting.ledger_account.kind in OF_CUSTOMERS:
                changes[keys[posting.ledger_account]] += posting.amount
    await store.add_to_balances(connection, caller.workspace, changes)
    return posted
