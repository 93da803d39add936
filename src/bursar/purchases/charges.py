"""What is charged to balances at once: for services and, at the carrier's door, by hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from bursar.core.caller import Caller
from bursar.core.cycles import local_date
from bursar.core.errors import Rejected
from bursar.db import audit
from bursar.db.database import Connection
from bursar.ledger.model import Kind, LedgerAccount, Posting, Transaction
from bursar.ledger.service import post_all
from bursar.ledger.wallets import BalanceTooLarge
from bursar.purchases.service_model import BLANK, DESCRIPTION_LIMIT, MUST_EXIST, Problem, length_problems
from bursar.purchases.service_store import queries

CAUSE = "charge"
BY_HAND = "transactions"


@dataclass(frozen=True, slots=True)
class NewCharge:
    """A charge to make: keys of the account and the service, and the number of the service's type."""

    account: int
    amount: Decimal
    """What the balance goes down by; negative: up."""
    description: str | None
    service: int | None = None
    service_type: int | None = None


@dataclass(frozen=True, slots=True)
class MakeTransaction:
    """Charge an account by hand. Account and service are numbers of the carrier's door."""

    account: int | None
    amount: Decimal | None
    description: str | None = None
    service: int | None = None


async def make_transaction(connection: Connection, caller: Caller, command: MakeTransaction) -> int:
    """Charge an account, whatever its balance; returns the number of the charge. Raises `Rejected`."""
    problems: list[Problem] = []
    account = await connection.fetchrow(queries.find_charged, caller.workspace, command.account)
    if account is None:
        problems.append(("account", MUST_EXIST))
    service = None
    if command.service is not None:
        service = await connection.fetchrow(queries.find_service_of_charge, caller.workspace, command.service)
        if service is None:
            problems.append(("service", MUST_EXIST))
        elif account is not None and service["account"] != account["key"]:
            problems.append(("service", "belongs to different account"))
    if command.amount is None:
        problems.append(("amount", BLANK))
    elif not command.amount:
        problems.append(("amount", "must be other than 0"))
    problems += length_problems("description", command.description, DESCRIPTION_LIMIT)
    if problems or account is None or command.amount is None:
        raise Rejected(problems)
    new = NewCharge(
        account["key"],
        command.amount,
        command.description,
        service["key"] if service else None,
        service["type_number"] if service else None,
    )
    number = (await charge_all(connection, caller, [new]))[0]
    await audit.record(connection, caller, "create", "transaction", str(number))
    return number


async def charge_all(connection: Connection, caller: Caller, charges: Sequence[NewCharge]) -> list[int]:
    """Charge accounts, each with its movement of money; returns the numbers of the charges in the same order.

    The caller has seen to it that the balances allow it, and leaves the audit row. Raises `Rejected` where a balance
    would be larger than any that can be kept; the transaction can only be rolled back then.
    """
    if not charges:
        return []
    try:
        return await _charge(connection, caller, charges)
    except BalanceTooLarge as error:
        raise Rejected([("", f"Unable to charge account: {error.message}")]) from None


async def _charge(connection: Connection, caller: Caller, charges: Sequence[NewCharge]) -> list[int]:
    rows = await connection.fetch(
        queries.insert_charges,
        caller.workspace,
        caller.now,
        [charge.account for charge in charges],
        [charge.service for charge in charges],
        [charge.amount for charge in charges],
        [charge.description for charge in charges],
    )
    await _move(
        connection, caller, [(row["key"], row["number"], charge) for row, charge in zip(rows, charges, strict=True)]
    )
    return [row["number"] for row in rows]


async def _move(connection: Connection, caller: Caller, charges: Sequence[tuple[int, int, NewCharge]]) -> None:
    """The movements of charges `(key, number, charge)`: from the wallet to revenue, or the other way round."""
    accounts = {charge.account for _, _, charge in charges}
    facts = {r["key"]: r for r in await connection.fetch(queries.charged_accounts, caller.workspace, list(accounts))}
    transactions = []
    for key, number, charge in charges:
        currency, zone = facts[charge.account]["currency"], facts[charge.account]["zone"]
        line = BY_HAND if charge.service_type is None else f"service type {charge.service_type}"
        postings = (
            Posting(LedgerAccount(Kind.WALLET, currency, charge.account), charge.amount),
            Posting(LedgerAccount(Kind.REVENUE, currency, detail=line), -charge.amount),
        )
        day = local_date(caller.now, zone)
        transactions.append(Transaction(CAUSE, key, day, f"transaction {number}", postings))
    await post_all(connection, caller, transactions)
