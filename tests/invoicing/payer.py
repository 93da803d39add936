"""Payments by a process of its own: `python -m tests.invoicing.payer DSN WORKSPACE SEED COUNT ACCOUNT...`.

Prints `ready`, waits for a line, then a line for each payment that is done: its number, account and amount.
"""

import asyncio
import random
import sys
from datetime import UTC, datetime
from decimal import Decimal

from bursar.accounts.workspaces import caller_of, workspace_at
from bursar.db.database import Database
from bursar.invoicing.payments import Pay, Payments

AT_ONCE = 4


async def main(dsn: str, workspace: int, seed: int, count: int, accounts: list[int]) -> None:
    """Pay so often, four at a time."""
    db = await Database.open(dsn, size=2)
    async with db.transaction(None) as connection:
        caller = caller_of(await workspace_at(connection, workspace), datetime.now(UTC), "test")
    payments, draw = Payments(), random.Random(seed)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)

    async def pay() -> None:
        for _ in range(count // AT_ONCE):
            account, amount = draw.choice(accounts), Decimal(draw.randint(-40, 40) or 1) / 4
            made = await payments.submit(db, caller, Pay(account, amount, f"by {seed}"))
            # One write: without a buffer (PYTHONUNBUFFERED) print writes each word, and a kill comes between them.
            print(f"{made.id} {account} {amount}\n", end="", flush=True)

    await asyncio.gather(*(pay() for _ in range(AT_ONCE)))
    await db.close()


if __name__ == "__main__":
    dsn, workspace, seed, count, *accounts = sys.argv[1:]
    asyncio.run(main(dsn, int(workspace), int(seed), int(count), [int(account) for account in accounts]))
