"""The money: balanced postings, never changed, and what they add up to.

Owns: ledger accounts, transactions with their postings, and the running balances of customer accounts.
Does not own: why money moves (the room above names a cause), prices, invoices, payments.
"""

OWNS: tuple[str, ...] = ("ledger_account", "ledger_balance", "ledger_transaction", "posting")
