"""The wallet that every account has, as the customer's side sees it: what is in it, and whether it may be used."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from bursar.accounts.model import Account, may_change
from bursar.accounts.store import get_account, lock_account
from bursar.core import crash
from bursar.core.caller import Caller
from bursar.core.cycles import local_date
from bursar.core.decimals import plain, round_line, show
from bursar.core.errors import Invalid, WrongState
from bursar.db import audit
from bursar.db.database import Connection
from bursar.db.queries import Queries
from bursar.ledger.model import Kind, LedgerAccount, Posting, Transaction
from bursar.ledger.service import available_held, post

queries = Queries("bursar.ledger", "account_wallets.sql")

CAUSE = "wallet_topup"
ACTIVE = "ACTIVE"
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Wallet:
    """An account's money with us, in its currency. There always is one; its id is its account's by another prefix."""

    account: Account
    ledger_account: int | None
    """Key of its account in the ledger; None: nothing was ever posted to it."""
    posted: Decimal
    """What the postings say; may be below zero. It is what a carrier calls the balance."""
    status: str
    effective_from: datetime | None
    """Before then it cannot be used; None: there is no such time."""
    updated_at: datetime
    held: Decimal = _NOTHING
    """What of it is set aside for invoices to come and for reservations: never posted."""

    @property
    def id(self) -> str:
        """Its id on the wire."""
        return f"wallet.{self.account.wire_id.partition('.')[2]}"

    @property
    def available(self) -> Decimal:
        """What may be spent."""
        return self.posted - self.held


def check_usable(wallet: Wallet, now: datetime) -> None:
    """Raise `WrongState` for a wallet that nothing may be put into nor spent from."""
    may_change("account", wallet.account.id, wallet.account.status)
    if wallet.status != ACTIVE:
        raise WrongState(f"wallet {wallet.id!r} of account {wallet.account.id!r} is {wallet.status}")
    if wallet.effective_from is not None and now < wallet.effective_from:
        start = wallet.effective_from.isoformat()
        raise WrongState(f"wallet {wallet.id!r} of account {wallet.account.id!r} is effective from {start} on")


async def get_wallet(connection: Connection, caller: Caller, identifier: str) -> Wallet:
    """The wallet of an account, by the account's id. Raises `NotFound`."""
    return await _wallet(connection, await get_account(connection, caller.workspace, identifier), caller)


async def update_wallet(
    connection: Connection,
    caller: Caller,
    identifier: str,
    *,
    status: str | None = None,
    effective_from: datetime | None = None,
) -> Wallet:
    """Set whether the wallet of an account may be used, and from when; None leaves it as it is.

    Raises `NotFound`, and `WrongState` for an archived account.
    """
    account = await lock_account(connection, caller.workspace, identifier)
    may_change("account", identifier, account.status)
    if status is not None or effective_from is not None:
        await connection.execute(queries.set_wallet, caller.workspace, account.key, status, effective_from, caller.wall)
    wallet = await _wallet(connection, account, caller)
    detail = {"status": status, "effective_from": effective_from and effective_from.isoformat()}
    await audit.record(connection, caller, "update", "wallet", wallet.id, detail)
    return wallet


async def top_up(connection: Connection, caller: Caller, identifier: str, amount: Decimal) -> Wallet:
    """Put money that has come in into the wallet of an account; returns the wallet as it is then.

    Raises `NotFound`, `Invalid` for an amount that is not above zero or finer than the currency, `WrongState` for a
    wallet that cannot be used, `BalanceTooLarge`.
    """
    account = await lock_account(connection, caller.workspace, identifier)
    wallet = await _wallet(connection, account, caller)
    check_usable(wallet, caller.now)
    await _check_amount(connection, caller, account.currency, amount)
    postings = (
        Posting(LedgerAccount(Kind.CASH, account.currency), amount),
        Posting(LedgerAccount(Kind.WALLET, account.currency, account.key), -amount),
    )
    day = local_date(caller.now, account.timezone or caller.timezone)
    await post(connection, caller, Transaction(CAUSE, account.key, day, "top-up", postings))
    crash.point("wallet topped up")
    after = await _wallet(connection, account, caller)
    detail = {"amount": show(amount), "balance": show(after.posted)}
    await audit.record(connection, caller, "top_up", "wallet", wallet.id, detail)
    return after


async def spendable(connection: Connection, caller: Caller, accounts: Mapping[int, str]) -> dict[int, Decimal]:
    """What the wallets of accounts, by key with their currencies, can pay, held until the transaction ends.

    Only those that may be used now and have something above zero.
    """
    if not accounts:
        return {}
    keys = list(accounts)
    rows = await connection.fetch(
        queries.wallets_with_money, caller.workspace, keys, [accounts[key] for key in keys], caller.now
    )
    found = {row["account"]: accounts[row["account"]] for row in rows}
    balances = await available_held(connection, caller, found) if found else {}
    return {account: balance for account, balance in balances.items() if balance > 0}


async def _check_amount(connection: Connection, caller: Caller, currency: str, amount: Decimal) -> None:
    if amount <= 0:
        raise Invalid("topupAmount", "must be above 0")
    exponent: int = await connection.fetchval(queries.decimals_of_currency, caller.workspace, currency)
    if amount != round_line(amount, exponent):
        raise Invalid("topupAmount", f"must have at most {exponent} decimals, as {currency} has")


async def _wallet(connection: Connection, account: Account, caller: Caller) -> Wallet:
    row = await connection.fetchrow(queries.wallet, caller.workspace, account.key, account.currency, caller.now)
    assert row is not None, "the statement always has a row"
    return Wallet(
        account=account,
        ledger_account=row["ledger_account"],
        posted=plain(row["balance"]),
        status=row["status"] or ACTIVE,
        effective_from=row["effective_from"],
        updated_at=row["updated_at"] or account.created_at,
        held=plain(row["held"]),
    )
