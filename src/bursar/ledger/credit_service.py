"""Credits: granted, used, given back, expired and voided, each with its entry and its postings.

Whoever changes credits holds their rows first, in the order of their keys, then wallets, then other balances.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from bursar.accounts.model import ERASED, Account, may_change
from bursar.accounts.store import lock_account
from bursar.core import crash, ids
from bursar.core.caller import Caller
from bursar.core.cycles import local_date, local_midnight
from bursar.core.decimals import LIMIT, round_line, show
from bursar.core.errors import Invalid, NotFound, Taken
from bursar.db import audit
from bursar.db.database import Connection
from bursar.ledger import account_wallets
from bursar.ledger.credit_model import Credit, check_voidable, voided_shares
from bursar.ledger.credit_store import EntryKind, credits_at, entries_of, get_credit, hold, queries
from bursar.ledger.model import Kind, LedgerAccount, Posting, Transaction, side
from bursar.ledger.service import post_all

CAUSE = "credit"
EXPIRY = "credit_expiry"
VOIDING = "credit_voiding"
FOREVER = date(9999, 1, 1)
PURPOSE_LIMIT = 255
"""Characters."""
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class NewCredit:
    """A credit to grant."""

    account_id: str
    purpose: str
    amount: Decimal
    effective_from: date
    effective_until: date | None = None
    priority: int = 0
    entities: tuple[str, ...] = ()
    grantor_id: str | None = None
    idempotency_key: str | None = None
    paid: bool = False
    """Whether cash has come in for it; else it is given, at the cost of discounts."""
    price: Decimal | None = None
    """Of one that is paid: how much of it was paid for, at most all of it, which None is; the rest is given."""
    source: LedgerAccount | None = None
    """Where its money stands already, of one that is paid; None: it is cash."""
    field: str = ""
    """Where it stands in the command, for messages: ends with a dot."""

    @property
    def bought(self) -> Decimal:
        """How much of it was paid for."""
        if not self.paid:
            return _ZERO
        return self.amount if self.price is None else self.price


@dataclass(frozen=True, slots=True)
class Use:
    """An amount of a credit for an invoice, by its wire id."""

    credit: int
    amount: Decimal
    invoice_id: str


@dataclass(frozen=True, slots=True)
class _Change:
    """By how much a credit's figures change, with the entry of it."""

    credit: int
    kind: EntryKind
    amount: Decimal
    granted: Decimal = _ZERO
    paid: Decimal = _ZERO
    consumed: Decimal = _ZERO
    lapsed: Decimal = _ZERO
    invoice_id: str | None = None


async def grant_all(connection: Connection, caller: Caller, wanted: Sequence[NewCredit]) -> list[Credit]:
    """Grant credits, all or none. One whose account has its idempotency key already is returned as it is now.

    Raises `Invalid` for what cannot be, an unknown account among it, `Taken` for a key of another credit, `WrongState`
    for an archived account.
    """
    keys = []
    for new in wanted:
        try:
            account = await lock_account(connection, caller.workspace, new.account_id)
        except NotFound as missing:
            raise Invalid(f"{new.field}accountId", missing.message) from None
        may_change("account", account.id, account.status)
        zone = account.timezone or caller.timezone
        await _check(connection, caller, new, account.currency, zone)
        key = await _insert(connection, caller, new, account.key, account.currency, zone)
        if key is None:
            keys.append(await _repeated(connection, caller, new, account.key))
        else:
            keys.append(key)
            await _post_grants(connection, caller, {key: new})
    found = {credit.key: credit for credit in await credits_at(connection, caller.workspace, keys)}
    return [found[key] for key in keys]


async def grant_to(connection: Connection, caller: Caller, wanted: Sequence[tuple[Account, NewCredit]]) -> list[int]:
    """Grant accounts credits that something else has decided on, also for time that is over; returns their keys.

    The accounts' currencies are settled, amounts above 0 and rounded to them, and there are no idempotency keys.
    """
    keys = []
    for account, new in wanted:
        zone = account.timezone or caller.timezone
        key = await _insert(connection, caller, new, account.key, account.currency, zone)
        assert key is not None, "what decides on credits grants each once"
        keys.append(key)
    await _post_grants(connection, caller, {key: new for key, (_, new) in zip(keys, wanted, strict=True)})
    return keys


async def add(connection: Connection, caller: Caller, key: int, amount: Decimal) -> int:
    """Put money that has come in into an active credit, by key; returns the movement's key. Raises `WrongState`."""
    (credit,) = await hold(connection, caller.workspace, [key])
    check_voidable(credit, caller.now)
    postings = (
        Posting(LedgerAccount(Kind.CASH, credit.currency), amount),
        Posting(credit.ledger_account, -amount),
    )
    day = local_date(caller.now, credit.zone)
    (posted,) = await post_all(connection, caller, [Transaction(CAUSE, key, day, f"credit {credit.id}", postings)])
    crash.point("credit added to")
    await _change(connection, caller, [_Change(key, "CREDITED", amount, granted=amount, paid=amount)])
    await audit.record(connection, caller, "add", "credit", credit.id, {"amount": show(amount)})
    return posted


async def use(connection: Connection, caller: Caller, uses: Sequence[Use]) -> None:
    """Note what was used of credits that are held; the invoices' own movements post it."""
    changes = [
        _Change(one.credit, "DEBITED", one.amount, consumed=one.amount, invoice_id=one.invoice_id) for one in uses
    ]
    await _change(connection, caller, changes)


async def give_back(connection: Connection, caller: Caller, invoice_id: str) -> None:
    """Let credits have again what an invoice used of them; the reversal of the invoice posts it.

    What a voided one gets is voided with it. One whose range is over expires again.
    """
    rows = await connection.fetch(queries.used_for_invoice, caller.workspace, invoice_id)
    amounts = {row["credit"]: row["amount"] for row in rows if row["amount"]}
    held = await hold(connection, caller.workspace, list(amounts)) if amounts else []
    await _change(
        connection,
        caller,
        [
            _Change(credit.key, "CREDITED", amounts[credit.key], consumed=-amounts[credit.key], invoice_id=invoice_id)
            for credit in held
        ],
    )
    if held:
        crash.point("credits given back")
    again = [credit.key for credit in held if credit.voided]
    for credit in await credits_at(connection, caller.workspace, again) if again else ():
        await _void(connection, caller, credit)


async def void_credit(connection: Connection, caller: Caller, identifier: str) -> Credit:
    """Take back what is left of a credit; what was paid for goes to the wallet.

    Raises `NotFound`, `WrongState` unless it is active.
    """
    key = (await get_credit(connection, caller.workspace, identifier)).key
    (credit,) = await hold(connection, caller.workspace, [key])
    check_voidable(credit, caller.now)
    await connection.execute(queries.void_credit, caller.workspace, key, caller.now)
    crash.point("credit voided")
    await _void(connection, caller, credit)
    await audit.record(connection, caller, "void", "credit", identifier, {"amount": show(credit.left)})
    return (await credits_at(connection, caller.workspace, [key]))[0]


async def take_back(connection: Connection, caller: Caller, keys: Sequence[int]) -> None:
    """Void what is left of credits, by key, that were given for what is not to be; those that are void stay so."""
    for credit in await hold(connection, caller.workspace, keys):
        if credit.left and not credit.voided:
            await connection.execute(queries.void_credit, caller.workspace, credit.key, caller.now)
            await _void(connection, caller, credit)
            await audit.record(connection, caller, "void", "credit", credit.id, {"amount": show(credit.left)})


async def expire(connection: Connection, caller: Caller, keys: Sequence[int]) -> int:
    """Post what is left of credits whose range is over to breakage, on the day on which it ended.

    Returns of how many.
    """
    held = [
        credit
        for credit in await hold(connection, caller.workspace, keys)
        if credit.left and not credit.voided and credit.ends_at is not None and credit.ends_at <= caller.now
    ]
    transactions = [
        Transaction(
            EXPIRY,
            credit.key,
            credit.effective_until or FOREVER,
            f"credit {credit.id} expired",
            (
                Posting(credit.ledger_account, credit.left),
                Posting(LedgerAccount(Kind.BREAKAGE, credit.currency), -credit.left),
            ),
        )
        for credit in held
    ]
    await post_all(connection, caller, transactions)
    if held:
        crash.point("credits expired")
    await _change(connection, caller, [_Change(one.key, "EXPIRED", one.left, lapsed=one.left) for one in held])
    details = [(caller, "expire", "credit", one.id, {"amount": show(one.left)}) for one in held]
    await audit.record_all(connection, details)
    return len(held)


async def _void(connection: Connection, caller: Caller, credit: Credit) -> None:
    owed, given = voided_shares(credit)
    postings = (
        Posting(credit.ledger_account, credit.left),
        *side(LedgerAccount(Kind.WALLET, credit.currency, credit.account), -owed),
        *side(LedgerAccount(Kind.DISCOUNT, credit.currency, detail="credits"), -given),
    )
    day = local_date(caller.now, credit.zone)
    await post_all(connection, caller, [Transaction(VOIDING, credit.key, day, f"credit {credit.id} voided", postings)])
    await _change(connection, caller, [_Change(credit.key, "VOIDED", credit.left, lapsed=credit.left)])


async def _post_grants(connection: Connection, caller: Caller, made: Mapping[int, NewCredit]) -> None:
    """Post credits that were made just now, by key, and note them."""
    found = await credits_at(connection, caller.workspace, list(made))
    transactions = []
    for credit in found:
        new = made[credit.key]
        given = LedgerAccount(Kind.DISCOUNT, credit.currency, detail="credits")
        postings = (
            *side(new.source or LedgerAccount(Kind.CASH, credit.currency), new.bought),
            *side(given, new.amount - new.bought),
            Posting(credit.ledger_account, -new.amount),
        )
        day = local_date(caller.now, credit.zone)
        transactions.append(Transaction(CAUSE, credit.key, day, f"credit {credit.id}", postings))
    await post_all(connection, caller, transactions)
    crash.point("credit granted")
    await _change(connection, caller, [_Change(key, "CREDITED", new.amount) for key, new in made.items()])
    details = [(caller, "grant", "credit", one.id, {"amount": show(made[one.key].amount)}) for one in found]
    await audit.record_all(connection, details)


async def _change(connection: Connection, caller: Caller, changes: Sequence[_Change]) -> None:
    """Change held credits, each with its entry; several changes of one credit add up."""
    if not changes:
        return
    sums: dict[int, list[Decimal]] = {}
    for one in changes:
        figures = (one.granted, one.paid, one.consumed, one.lapsed)
        sums[one.credit] = [a + b for a, b in zip(sums.get(one.credit, [_ZERO] * 4), figures, strict=True)]
    columns = [[figures[place] for figures in sums.values()] for place in range(4)]
    await connection.execute(queries.change_credits, caller.workspace, caller.wall, list(sums), *columns)
    await connection.execute(
        queries.insert_credit_entries,
        caller.workspace,
        caller.wall,
        [one.credit for one in changes],
        [one.kind for one in changes],
        [one.amount for one in changes],
        [one.invoice_id for one in changes],
    )


async def erase_purposes(connection: Connection, caller: Caller, customer: str) -> None:
    """Forget what the credits of a customer were said to be for, by its id. Documents keep what they say of them."""
    await connection.execute(queries.erase_purposes, caller.workspace, customer, ERASED)


async def _check(connection: Connection, caller: Caller, new: NewCredit, currency: str, zone: str) -> None:
    exponent: int = await connection.fetchval(account_wallets.queries.decimals_of_currency, caller.workspace, currency)
    if not _ZERO < new.amount < LIMIT:
        raise Invalid(f"{new.field}creditAmount", "must be above 0 and below 10^26")
    if new.amount != round_line(new.amount, exponent):
        rule = f"must have at most {exponent} decimals, as {currency} has"
        raise Invalid(f"{new.field}creditAmount", rule)
    if new.effective_until is not None:
        if new.effective_until <= new.effective_from:
            raise Invalid(f"{new.field}effectiveUntil", "must be after effectiveFrom")
        if new.effective_until < FOREVER and local_midnight(new.effective_until, zone) <= caller.now:
            raise Invalid(f"{new.field}effectiveUntil", "must lie ahead")


async def _insert(
    connection: Connection, caller: Caller, new: NewCredit, account: int, currency: str, zone: str
) -> int | None:
    until = None if new.effective_until is None or new.effective_until >= FOREVER else new.effective_until
    key: int | None = await connection.fetchval(
        queries.insert_credit,
        caller.workspace,
        ids.draw("cred"),
        account,
        currency,
        new.purpose,
        list(new.entities),
        new.priority,
        new.effective_from,
        until,
        local_midnight(new.effective_from, zone),
        None if until is None else local_midnight(until, zone),
        new.grantor_id,
        new.idempotency_key,
        new.amount,
        new.bought,
        caller.wall,
    )
    return key


async def _repeated(connection: Connection, caller: Caller, new: NewCredit, account: int) -> int:
    """The key of the credit that was granted under an idempotency key. Raises `Taken` where it is another one."""
    key: int = await connection.fetchval(queries.find_repeated_credit, caller.workspace, account, new.idempotency_key)
    (known,) = await credits_at(connection, caller.workspace, [key])
    entries = await entries_of(connection, caller.workspace, known)
    told = (new.purpose, new.amount, new.effective_from, new.priority, new.entities, new.grantor_id)
    same = (known.purpose, entries[0].amount, known.effective_from, known.priority, known.entities, known.grantor_id)
    until = None if new.effective_until is None or new.effective_until >= FOREVER else new.effective_until
    if told != same or until != known.effective_until:
        raise Taken(f"{new.field}idempotencyKey", f"{new.idempotency_key!r} belongs to another credit of the account")
    return key
