"""Double entry: every movement of money is a set of postings that sum to zero.

Owns: ledger accounts, transactions, postings, the running balances of customers' accounts, wallets and what is set of
them, credits, holds of a wallet's money, the watch over them and the record of thresholds that they passed.
Does not own: why money moves (the rooms that post), prices, invoices, thresholds (accounts), telling of it (notify).
"""

OWNS: tuple[str, ...] = (
    "ledger_account",
    "ledger_balance",
    "ledger_transaction",
    "posting",
    "wallet",
    "wallet_hold",
    "credit",
    "credit_entry",
    "balance_notification",
)
