"""Money for issued invoices: what is posted for them makes them PARTIALLY_PAID and PAID, whatever way it came.

Whoever pays holds the invoices first, in the order of their keys, then wallets, then other balances.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

from bursar.core import crash
from bursar.core.caller import Caller
from bursar.core.cycles import local_date
from bursar.core.decimals import show
from bursar.core.errors import WrongState
from bursar.db import audit
from bursar.db.database import Connection, Database
from bursar.db.queries import Queries
from bursar.invoicing import orders
from bursar.invoicing.model import ORDER
from bursar.ledger import account_wallets
from bursar.ledger.model import Kind, LedgerAccount, Posting, Transaction
from bursar.ledger.service import Move, move_all
from bursar.ledger.wallets import WalletRefuses

queries = Queries("bursar.invoicing", "settlement.sql")

CAUSE = "settlement"
OPEN = {
    "DUE": Kind.RECEIVABLE,
    "PARTIALLY_PAID": Kind.RECEIVABLE,
    "UN_COLLECTIBLE": Kind.WRITE_OFF,
}
"""The states of invoices that can be paid, and where what is open of them stands."""

_BATCH = 200
_ZERO = Decimal(0)
_FIRST = datetime(1, 1, 1, tzinfo=UTC)


class Source(StrEnum):
    """Where the money for an invoice comes from."""

    WALLET = "WALLET"
    """The account's wallet."""
    PAYMENT = "PAYMENT"
    """A payment that was told with its reference."""
    OUTSIDE = "OUTSIDE"
    """Somewhere else: the invoice was only said to be paid."""


@dataclass(frozen=True, slots=True)
class Standing:
    """An issued invoice that is held, with what is paid of it."""

    key: int
    id: str
    account: int
    invoice_class: str
    status: str
    total: Decimal
    paid: Decimal
    currency: str
    zone: str

    @property
    def open(self) -> Decimal:
        """What can still be paid; nothing where its state does not allow it."""
        return self.total - self.paid if self.status in OPEN else _ZERO


@dataclass(frozen=True, slots=True)
class Paying:
    """An amount, above zero, towards an invoice by internal key."""

    invoice: int
    amount: Decimal
    source: Source


@dataclass(frozen=True, slots=True)
class Paid:
    """An amount that was paid, or given back where it is below zero."""

    source: Source
    amount: Decimal
    paid_at: datetime
    payment: str | None
    """Id of the payment that it was part of."""


def paid(standing: Standing, amount: Decimal) -> Standing:
    """An invoice after so much of it was paid. Raises `WrongState` where that is not open."""
    if not _ZERO < amount <= standing.open:
        left = show(standing.open)
        raise WrongState(f"invoice {standing.id!r} is {standing.status} and has {left} left to pay, not {show(amount)}")
    after = standing.paid + amount
    status = "PAID" if after == standing.total else "PARTIALLY_PAID"
    if standing.status == "UN_COLLECTIBLE" and status != "PAID":
        status = standing.status
    return replace(standing, status=status, paid=after)


async def hold(connection: Connection, workspace: int, keys: Sequence[int]) -> dict[int, Standing]:
    """Issued invoices by key, which nobody else pays or moves until the transaction ends; drafts are left out."""
    rows = await connection.fetch(queries.hold_invoices, workspace, list(keys))
    return {
        row["key"]: Standing(
            key=row["key"],
            id=row["wire_id"],
            account=row["account"],
            invoice_class=row["class"],
            status=row["status"],
            total=row["total"],
            paid=row["paid_amount"],
            currency=row["currency"],
            zone=row["zone"],
        )
        for row in rows
    }


async def pay(
    connection: Connection, caller: Caller, wanted: Sequence[Paying]
) -> tuple[dict[int, Standing], list[int]]:
    """Post money towards invoices, in order, and move them to the states that follow.

    Returns the invoices as they are then, and the keys of the movements, one for each of `wanted`. What leaves a wallet
    must be in it; what was ordered is granted with the last of its price. Raises `WrongState` for more than is open of
    an invoice, `InsufficientFunds`; then nothing may stay.
    """
    standings = await hold(connection, caller.workspace, [one.invoice for one in wanted])
    ordered = [one.key for one in standings.values() if one.invoice_class == ORDER]
    await orders.prepare(connection, caller, ordered)
    transactions: list[Transaction] = []
    for one in wanted:
        before = standings[one.invoice]
        standings[one.invoice] = paid(before, one.amount)
        transactions.append(_movement(before, one, caller))
    keys = await _post(connection, caller, wanted, transactions)
    entries = [(one.invoice, one.source, one.amount, key) for one, key in zip(wanted, keys, strict=True)]
    await note(connection, caller, list(standings.values()), entries)
    crash.point("invoices paid")
    details = [
        (caller, "pay", "invoice", standings[one.invoice].id, {"amount": show(one.amount), "source": str(one.source)})
        for one in wanted
    ]
    await audit.record_all(connection, details)
    await orders.paid(connection, caller, [key for key in ordered if standings[key].status == "PAID"])
    return standings, keys


async def note(
    connection: Connection,
    caller: Caller,
    standings: Sequence[Standing],
    entries: Sequence[tuple[int, Source, Decimal, int]],
) -> None:
    """Store the states of invoices, and what was paid of them as `(invoice, source, amount, movement)`."""
    await connection.execute(
        queries.settle_invoices,
        caller.workspace,
        caller.wall,
        [one.key for one in standings],
        [one.status for one in standings],
        [one.paid for one in standings],
    )
    await connection.execute(
        queries.insert_invoice_payments,
        caller.workspace,
        caller.now,
        [entry[0] for entry in entries],
        [entry[1] for entry in entries],
        [entry[2] for entry in entries],
        [entry[3] for entry in entries],
    )


async def pay_from_wallets(
    connection: Connection, caller: Caller, invoices: Sequence[int], *, whole: bool = False
) -> dict[int, Standing]:
    """Pay what is open of invoices, in order, out of their accounts' wallets, as far as these reach.

    `whole`: an invoice that its wallet does not cover is left alone. Returns the invoices that something was paid of.
    """
    standings = await hold(connection, caller.workspace, invoices)
    wanted = {one.account: one.currency for one in standings.values() if one.open}
    funds = await account_wallets.spendable(connection, caller, wanted)
    payings: list[Paying] = []
    for key in invoices:
        one = standings.get(key)
        amount = _ZERO if one is None else min(one.open, funds.get(one.account, _ZERO))
        if one is not None and amount > 0 and not (whole and amount < one.open):
            funds[one.account] -= amount
            payings.append(Paying(key, amount, Source.WALLET))
    return (await pay(connection, caller, payings))[0] if payings else {}


async def settle_due(db: Database, caller: Caller) -> int:
    """Pay invoices that are due out of wallets that have money by now, the oldest first; returns how many were.

    Safe to run twice and to race.
    """
    settled, place = 0, (_FIRST, 0)
    while True:

        async def once(connection: Connection, after: tuple[datetime, int] = place) -> tuple[int, tuple[datetime, int]]:
            rows = await connection.fetch(queries.invoices_for_wallets, caller.workspace, caller.now, *after, _BATCH)
            if not rows:
                return 0, after
            # Held in the order of their keys; paid in the order of their dates.
            done = await pay_from_wallets(connection, caller, [row["key"] for row in rows])
            return len(done), (rows[-1]["due_at"], rows[-1]["key"])

        count, following = await db.run(caller.workspace, once)
        if following == place:
            return settled
        settled, place = settled + count, following
        crash.point("wallets settled")


async def payments_of(connection: Connection, workspace: int, invoice: int) -> list[Paid]:
    """What was paid of an invoice, and given back, in order."""
    rows = await connection.fetch(queries.payments_of, workspace, [invoice])
    return [Paid(Source(row["source"]), row["amount"], row["paid_at"], row["payment"]) for row in rows]


async def _post(
    connection: Connection, caller: Caller, wanted: Sequence[Paying], transactions: Sequence[Transaction]
) -> list[int]:
    moves = [
        Move(transaction, _ZERO if one.source is Source.WALLET else None)
        for one, transaction in zip(wanted, transactions, strict=True)
    ]
    keys = []
    for outcome in await move_all(connection, caller, moves):
        if isinstance(outcome, WalletRefuses):
            raise outcome
        keys.append(outcome.key)
    return keys


def _movement(standing: Standing, one: Paying, caller: Caller) -> Transaction:
    currency, account = standing.currency, standing.account
    if one.source is Source.WALLET:
        debit = LedgerAccount(Kind.WALLET, currency, account)
    else:
        debit = LedgerAccount(Kind.CASH, currency)
    where = OPEN[standing.status]
    credit = LedgerAccount(where, currency, account if where is Kind.RECEIVABLE else None)
    postings = (Posting(debit, one.amount), Posting(credit, -one.amount))
    day = local_date(caller.now, standing.zone)
    return Transaction(CAUSE, standing.key, day, f"invoice {standing.id}", postings)
