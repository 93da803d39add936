"""A bill run over accounts with ten lines each, and the machine's ceiling in the same run.

The drafts are open already, as the worker opens them when a cycle begins; measured is what `bursar bill` then does:
close the periods, rate, post, number, freeze. The ceiling is COPY of what it wrote (documents and postings as they are)
into bare tables with a primary key.
"""

import statistics
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from benchmarks.world import BILLED_AT, CARDS, fill, say
from bursar.core.caller import Caller
from bursar.db.database import Database
from bursar.invoicing.billing import bill
from bursar.invoicing.opening import open_cycles
from bursar.runtime import collector
from bursar.runtime.hands import hands

ACCOUNTS = 10_000


async def measure(dsn: str, rounds: int, accounts: int = ACCOUNTS) -> dict[str, Any]:
    """Medians of `rounds`: invoices/s issued and posted, of the ceiling, their ratio; cycles/s opened before."""
    collector.settle()
    db = await Database.open(dsn, size=4, timeout=300)
    opened, issued, ceiling = [], [], []
    try:
        for number in range(rounds):
            say(f"bill run {number + 1} of {rounds}: {accounts} accounts")
            caller = replace(await fill(db, f"billing-{number}", accounts, wall=datetime.now(UTC)), now=BILLED_AT)
            began = time.perf_counter()
            cycles = await open_cycles(db, caller, BILLED_AT)
            opened.append(cycles / (time.perf_counter() - began))
            began = time.perf_counter()
            report = await bill(db, caller, hands=hands)
            issued.append(accounts / (time.perf_counter() - began))
            assert report.issued == accounts
            ceiling.append(await _ceiling(db, caller))
            say(f"{issued[-1]:.0f} invoices/s, ceiling {ceiling[-1]:.0f}")
    finally:
        await db.close()
    return {
        "accounts": accounts,
        "lines": CARDS,
        "invoices_per_second": round(statistics.median(issued)),
        "rounds": [round(value) for value in issued],
        "ceiling_invoices_per_second": round(statistics.median(ceiling)),
        "ratio": round(statistics.median(issued) / statistics.median(ceiling), 3),
        "cycles_opened_per_second": round(statistics.median(opened)),
    }


async def _ceiling(db: Database, caller: Caller) -> float:
    """Invoices/s whose documents and postings COPY writes, 200 invoices to a transaction."""
    async with db.transaction(None) as connection:
        documents: list[Any] = await connection.fetch(
            "select invoice, number, total, content, hash from invoice_document where workspace = $1", caller.workspace
        )
        postings: list[Any] = await connection.fetch(
            "select transaction, line, ledger_account, currency, amount from posting where workspace = $1",
            caller.workspace,
        )
        await connection.execute(
            "create table bench_document (invoice bigint primary key, number bigint, total numeric, content bytea,"
            " hash bytea);"
            "create table bench_posting (transaction bigint, line int, ledger_account bigint, currency text,"
            " amount numeric, primary key (transaction, line))"
        )
    share = -(-len(postings) * 200 // len(documents))
    began = time.perf_counter()
    for batch in range(-(-len(documents) // 200)):
        async with db.transaction(None) as connection:
            some = documents[batch * 200 : (batch + 1) * 200]
            await connection.copy_records_to_table("bench_document", records=some)
            lines = postings[batch * share : (batch + 1) * share]
            await connection.copy_records_to_table("bench_posting", records=lines)
    rate = len(documents) / (time.perf_counter() - began)
    async with db.transaction(None) as connection:
        await connection.execute("drop table bench_document; drop table bench_posting")
    return rate
