"""Payments: money from a customer, or back to one, that moves its wallet at once."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import msgspec

from bursar.core import decimals
from bursar.core.caller import Caller
from bursar.core.cycles import local_date
from bursar.core.errors import BursarError, NotFound, Rejected, WrongState
from bursar.db import audit
from bursar.db.database import Connection, Row
from bursar.db.grouping import Grouped
from bursar.db.listing import BIGINT, MOMENT, NUMERIC, TEXT, Column, Lister, Listing, Slice
from bursar.db.listing import UUID as IDENTITY
from bursar.db.queries import Queries, numbers, texts
from bursar.ledger.model import Kind, LedgerAccount, Posting, Transaction
from bursar.ledger.service import Move, append, decide, post
from bursar.ledger.store import HOLDING, POSTING
from bursar.ledger.wallets import Purse, WalletRefuses, find_and_hold, held_so

queries = Queries("bursar.invoicing", "payments.sql")

CAUSE = "payment"
ROLLBACK = "payment_rollback"
NOTES_LIMIT = 10_000
_PAYING = queries.paying_accounts.replace("{holding}", HOLDING)
_INSERT = queries.insert_payments.replace("{posting}", POSTING).replace("{audit}", audit.ROWS)

_LISTER = Lister(
    queries,
    "list_payments",
    {
        "id": Column("p.yeti_id", BIGINT),
        "uuid": Column("p.uuid", IDENTITY),
        "amount": Column("p.amount", NUMERIC),
        "created_at": Column("p.created_at", MOMENT),
        "rolledback_at": Column("p.rolled_back_at", MOMENT),
        "notes": Column("p.notes", TEXT),
        "private_notes": Column("p.private_notes", TEXT),
        "status": Column("p.status", TEXT),
        "type_name": Column("p.type", TEXT),
        "account_id": Column("a.yeti_id", BIGINT),
        "account_uuid": Column("t.uuid", IDENTITY),
        "customer": Column("a.customer", BIGINT),
    },
)

BLANK = "can't be blank"
MUST_EXIST = "must exist"


class Pay(msgspec.Struct, frozen=True):
    """Money has come in, or has gone out."""

    account: int | None
    """Number of the account at the carrier's door."""
    amount: Decimal | None
    """What the balance goes up by; negative: a payout."""
    notes: str | None = None
    private_notes: str | None = None


class Payment(msgspec.Struct, frozen=True):
    """A payment that was made."""

    id: int
    """Its number at the carrier's door."""
    uuid: UUID
    account_id: int
    account_uuid: UUID
    """Number of the account."""
    amount: Decimal
    currency: str
    notes: str | None
    private_notes: str | None
    status: str
    type_name: str
    balance_before_payment: Decimal | None
    created_at: datetime
    rolledback_at: datetime | None


async def pay(connection: Connection, caller: Caller, wanted: Pay) -> Payment:
    """Take one payment, whatever the balance and its limits. Raises `Rejected`."""
    (outcome,) = await pay_all(connection, [(caller, wanted)])
    if isinstance(outcome, BursarError):
        raise outcome
    return outcome


async def pay_all(connection: Connection, wanted: Sequence[tuple[Caller, Pay]]) -> list[Payment | BursarError]:
    """Take payments of one workspace, one after the other, with as many statements as for one.

    Each has its outcome: a payment, or `Rejected`.
    """
    caller = wanted[0][0]
    asked = numbers(sorted({one.account for _, one in wanted if one.account is not None}))
    rows = await connection.fetch(_PAYING, caller.workspace, asked, len(wanted))
    accounts = {row["yeti_id"]: row for row in rows if row["reserved"] is None}
    keys = [row["reserved"] for row in rows if row["reserved"] is not None]
    outcomes: list[Payment | BursarError | None] = [_refusal(one, accounts.get(one.account)) for _, one in wanted]
    sound = [place for place, refusal in enumerate(outcomes) if refusal is None]
    if sound:
        takings = [
            _Taking(key, *wanted[place], accounts[wanted[place][1].account])
            for key, place in zip(keys, sound, strict=False)
        ]
        for place, outcome in zip(sound, await _take(connection, caller, takings), strict=True):
            outcomes[place] = outcome
    return [outcome for outcome in outcomes if outcome is not None]


def _refusal(wanted: Pay, account: Row | None) -> Rejected | None:
    problems: list[tuple[str, str]] = []
    if wanted.amount is None:
        problems.append(("amount", BLANK))
    elif not decimals.fits(wanted.amount):
        problems.append(("amount", "must have at most 26 digits before and 12 after the point"))
    elif not wanted.amount:
        problems.append(("amount", "must be other than 0"))
    problems += [
        (field, f"is too long (maximum is {NOTES_LIMIT} characters)")
        for field, text in (("notes", wanted.notes), ("private_notes", wanted.private_notes))
        if len(text or "") > NOTES_LIMIT
    ]
    if account is None:
        # The currency is the account's; without one there is none either.
        problems += [("account", MUST_EXIST), ("currency", MUST_EXIST), ("currency_id", BLANK)]
    return Rejected(problems) if problems else None


class _Taking(msgspec.Struct, frozen=True):
    """A payment that may be made, under its key."""

    key: int
    caller: Caller
    wanted: Pay
    account: Row

    @property
    def amount(self) -> Decimal:
        assert self.wanted.amount is not None
        return self.wanted.amount

    def movement(self) -> Transaction:
        """Cash comes in, and we owe the customer as much more; for a payout the other way round."""
        account = self.account
        zone = account["zone"]
        return _between(CAUSE, self.key, self.amount, account["currency"], account["account"], self.caller, zone)


async def _take(connection: Connection, caller: Caller, takings: Sequence[_Taking]) -> list[Payment | BursarError]:
    keys, purse = await _held(connection, caller, takings)
    moves = [Move(taking.movement()) for taking in takings]
    decided = decide(purse, moves)
    taken: dict[int, tuple[_Taking, Decimal]] = {}
    accepted: list[Transaction] = []
    for taking, one, outcome in zip(takings, moves, decided, strict=True):
        if not isinstance(outcome, WalletRefuses):
            (change,) = outcome.values()
            taken[taking.key] = (taking, change.old)
            accepted.append(one.transaction)
    rows: list[Row] = []
    if accepted:
        columns = _columns(list(taken.values()))
        rows = await append(connection, caller, accepted, keys, purse, _INSERT, *columns)
    made = {row["key"]: _made(*taken[row["key"]], row["yeti_id"], row["uuid"]) for row in rows}
    return [
        Rejected([("", outcome.message)]) if isinstance(outcome, WalletRefuses) else made[taking.key]
        for taking, outcome in zip(takings, decided, strict=True)
    ]


async def _held(
    connection: Connection, caller: Caller, takings: Sequence[_Taking]
) -> tuple[Mapping[LedgerAccount, int], Purse]:
    """The ledger accounts that payments move, with their wallets held; those that are missing are made."""
    accounts = {taking.account["account"]: taking.account for taking in takings}
    rows = {LedgerAccount(Kind.WALLET, row["currency"], key): row for key, row in accounts.items()}
    keys = {name: row["key"] for name, row in rows.items()}
    keys |= {LedgerAccount(Kind.CASH, row["currency"]): row["cash"] for row in accounts.values()}
    purse = await held_so(connection, caller, keys, rows)
    return await find_and_hold(connection, caller, list(keys)) if purse is None else (keys, purse)


def _columns(taken: Sequence[tuple[_Taking, Decimal]]) -> tuple[str, ...]:
    """Payments `(taking, balance before)` as rows."""
    return (
        numbers(one.key for one, _ in taken),
        numbers(one.account["account"] for one, _ in taken),
        numbers(one.amount for one, _ in taken),
        texts(one.account["currency"] for one, _ in taken),
        texts(one.wanted.notes for one, _ in taken),
        texts(one.wanted.private_notes for one, _ in taken),
        numbers(before for _, before in taken),
        texts(one.caller.now.isoformat() for one, _ in taken),
        texts(one.caller.actor for one, _ in taken),
        texts(f'{{"amount":"{decimals.show(one.amount)}"}}' for one, _ in taken),
    )


def _made(taking: _Taking, before: Decimal, number: int, uuid: UUID) -> Payment:
    return Payment(
        id=number,
        uuid=uuid,
        account_id=taking.account["yeti_id"],
        account_uuid=taking.account["uuid"],
        amount=taking.amount,
        currency=taking.account["currency"],
        notes=taking.wanted.notes,
        private_notes=taking.wanted.private_notes,
        status="completed",
        type_name="manual",
        balance_before_payment=before,
        created_at=taking.caller.now,
        rolledback_at=None,
    )


def _between(
    cause: str, key: int, amount: Decimal, currency: str, account: int, caller: Caller, zone: str
) -> Transaction:
    postings = (
        Posting(LedgerAccount(Kind.CASH, currency), amount),
        Posting(LedgerAccount(Kind.WALLET, currency, account), -amount),
    )
    return Transaction(cause, key, local_date(caller.now, zone), cause.replace("_", " "), postings)


async def roll_back(connection: Connection, caller: Caller, number: int) -> Payment:
    """Take a completed payment back: it never was, as far as the balance goes. Raises `NotFound`, `WrongState`."""
    row = await connection.fetchrow(queries.lock_payment, caller.workspace, number)
    if row is None:
        raise NotFound("payment", str(number))
    if row["status"] != "completed":
        raise WrongState("Status of payment should be completed")
    transaction = _between(ROLLBACK, row["key"], -row["amount"], row["currency"], row["account"], caller, row["zone"])
    await post(connection, caller, transaction)
    await connection.execute(queries.roll_back_payment, caller.workspace, row["key"], caller.now)
    await audit.record(connection, caller, "roll_back", "payment", str(number))
    changed = await connection.fetchrow(queries.lock_payment, caller.workspace, number)
    assert changed is not None
    return payment_of(changed)


async def erase_notes(connection: Connection, caller: Caller, customer: str) -> None:
    """Forget what was noted of the payments of a customer, by id."""
    await connection.execute(queries.erase_notes, caller.workspace, customer)


def payment_of(row: Row) -> Payment:
    """The payment of a row."""
    return Payment(
        id=row["id"],
        uuid=row["uuid"],
        account_id=row["account_id"],
        account_uuid=row["account_uuid"],
        amount=row["amount"],
        currency=row["currency"],
        notes=row["notes"],
        private_notes=row["private_notes"],
        status=row["status"],
        type_name=row["type_name"],
        balance_before_payment=row["balance_before_payment"],
        created_at=row["created_at"],
        rolledback_at=row["rolledback_at"],
    )


async def list_payments(connection: Connection, workspace: int, listing: Listing) -> Slice[Payment]:
    """The payments that a listing asks for."""
    found = await _LISTER.fetch(connection, listing, workspace)
    return Slice([payment_of(row) for row in found.rows], found.total)


class Payments(Grouped[Pay, Payment]):
    """The payments of one process, those that come at once in one transaction."""

    def __init__(self) -> None:
        super().__init__(pay_all)
