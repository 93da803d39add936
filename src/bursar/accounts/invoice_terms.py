"""When an account gets its next statement by itself, and what statements of it look like.

Setting the period, or the time zone while there is one, puts the next statement at the end of the period that is under
way in that zone; clearing it leaves none. Each statement that was made moves it on by a period.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bursar.core.caller import Caller
from bursar.core.invoice_periods import InvoicePeriod, InvoiceType, period_at, type_of
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries

queries = Queries("bursar.accounts", "invoice_terms.sql")

CALL_SECONDS = 7200
"""How long a call may last where its account does not say: so long after its end a period's calls may still come in."""
REFERENCE = "$id"
"""The reference of a statement where no setting gives another template."""


@dataclass(frozen=True, slots=True)
class NextInvoice:
    """The automatic statement that an account gets next."""

    at: datetime
    """Where its period ends, exclusive."""
    type: InvoiceType


@dataclass(frozen=True, slots=True)
class InvoiceTerms:
    """When an account is invoiced."""

    account: int
    kind: InvoicePeriod | None
    next: NextInvoice | None
    zone: str
    currency: str


@dataclass(frozen=True, slots=True)
class StatementSettings:
    """The settings `reference` and `autoApprove` of the namespace STATEMENT, as they hold for one account."""

    reference: str = REFERENCE
    """The reference of a statement, in which `$id` stands for its number."""
    auto_approve: bool = False
    """Whether an automatic statement is approved as it is made."""


def next_invoice(kind: InvoicePeriod, zone: str, instant: datetime) -> NextInvoice:
    """The statement of the period that holds `instant`."""
    return NextInvoice(period_at(kind, instant, zone).end, type_of(kind, instant, zone))


async def lock_invoice_terms(connection: Connection, workspace: int, accounts: Sequence[int]) -> list[InvoiceTerms]:
    """The terms of accounts by key, kept from changing until the transaction ends. Charges wait for it meanwhile."""
    return [_terms(row) for row in await connection.fetch(queries.invoice_terms, workspace, list(accounts))]


async def take_due(
    connection: Connection, caller: Caller, without: Sequence[int], limit: int
) -> list[tuple[InvoiceTerms, InvoicePeriod, NextInvoice]]:
    """Accounts whose next statement is due, the longest due first, locked as by `lock_invoice_terms`.

    It is due once the longest call that may have begun in its period has ended. `without` are keys to leave out;
    accounts that another transaction holds are passed over.
    """
    rows = await connection.fetch(
        queries.take_due_invoice_terms, caller.workspace, caller.now, CALL_SECONDS, list(without), limit
    )
    found = [_terms(row) for row in rows]
    return [(terms, terms.kind, terms.next) for terms in found if terms.kind and terms.next]


async def advance(connection: Connection, workspace: int, made: Sequence[InvoiceTerms]) -> None:
    """Move accounts on to the statement after the one that they had coming."""
    following = [
        (terms.account, next_invoice(terms.kind, terms.zone, terms.next.at))
        for terms in made
        if terms.kind and terms.next
    ]
    await connection.execute(
        queries.advance_invoices,
        workspace,
        [account for account, _ in following],
        [after.at for _, after in following],
        [after.type for _, after in following],
    )


async def state_accounts(connection: Connection, workspace: int, until: Sequence[tuple[int, datetime]]) -> None:
    """Keep that statements of accounts `(key, instant)` are filled up to there.

    A charge that is made afterwards is dated no earlier, so that no statement misses it.
    """
    await connection.execute(
        queries.state_accounts, workspace, [account for account, _ in until], [moment for _, moment in until]
    )


async def statement_settings(
    connection: Connection, workspace: int, accounts: Sequence[int]
) -> Mapping[int, StatementSettings]:
    """What holds for statements of accounts, by key."""
    values: dict[int, dict[str, str]] = {account: {} for account in accounts}
    for row in await connection.fetch(queries.statement_settings, workspace, list(accounts)):
        values[row["account"]][row["setting_id"]] = row["value"]
    return {
        account: StatementSettings(
            found.get("reference") or REFERENCE, found.get("autoApprove", "").strip().lower() == "true"
        )
        for account, found in values.items()
    }


def _terms(row: Row) -> InvoiceTerms:
    at = row["next_invoice_at"]
    return InvoiceTerms(
        account=row["account"],
        kind=None if row["invoice_period"] is None else InvoicePeriod(row["invoice_period"]),
        next=None if at is None else NextInvoice(at, InvoiceType(row["next_invoice_type"])),
        zone=row["zone"],
        currency=row["currency"],
    )
