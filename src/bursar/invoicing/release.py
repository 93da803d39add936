"""Fees charged in advance become revenue as their time passes: at the end of each month and of their period."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from bursar.core.caller import Caller
from bursar.core.cycles import days_in, local_date, local_midnight
from bursar.core.decimals import divide
from bursar.core.period import Period
from bursar.db import audit
from bursar.db.database import Connection, Database
from bursar.invoicing.credit_lines import CREDIT_GRANT
from bursar.invoicing.document import Document, Line, frozen
from bursar.invoicing.model import in_advance, income, is_order
from bursar.invoicing.store import queries
from bursar.ledger.model import Kind, LedgerAccount, Posting, Transaction, side
from bursar.ledger.service import post_all

CAUSE = "release"
_BATCH = 200
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Deferred:
    """An issued invoice of fees in advance, with the instant at which the next part of it becomes revenue."""

    invoice: int
    account: int
    document: Document
    release_at: datetime


def release_points(period: Period, zone: str) -> Iterator[datetime]:
    """The instants at which parts of a period's fees become revenue, in order: each local month's end, and its own."""
    month = _next_month(local_date(period.start, zone))
    while (moment := local_midnight(month, zone)) < period.end:
        if moment > period.start:
            yield moment
        month = _next_month(month)
    yield period.end


def earned(amount: Decimal, period: Period, until: datetime, zone: str) -> Decimal:
    """How much of a period's fee has become revenue by one of its points: by the day, 12 decimals; in the end all."""
    if until >= period.end:
        return amount
    return divide(amount * days_in(Period(period.start, until), zone), Decimal(days_in(period, zone)))


def still_deferred(document: Document, entry: Line, release_at: datetime | None) -> Decimal:
    """What is still deferred of a line of a document whose next part becomes revenue at `release_at`; None: nothing.

    Nothing of credits: they are there at once.
    """
    if release_at is None or entry.type == CREDIT_GRANT:
        return Decimal(0)
    period = Period(document.start_date, document.end_date)
    passed = [point for point in release_points(period, document.timezone) if point < release_at]
    return entry.unrounded - (earned(entry.unrounded, period, passed[-1], document.timezone) if passed else 0)


def unearned(document: Document, release_at: datetime | None) -> Decimal:
    """What is still deferred of a document whose next part becomes revenue at `release_at`; None: nothing."""
    return sum((still_deferred(document, entry, release_at) for entry in document.lines), Decimal(0))


def releases(deferred: Deferred, now: datetime) -> tuple[list[Transaction], datetime | None]:
    """The movements from deferred to revenue that are due by `now`, and the point that comes after them."""
    document = deferred.document
    period, zone = Period(document.start_date, document.end_date), document.timezone
    done = period.start
    transactions: list[Transaction] = []
    for point in release_points(period, zone):
        if point >= deferred.release_at:
            if point > now:
                return transactions, point
            postings = _postings(deferred, done, point)
            if postings:
                day = local_date(point - _INSTANT, zone)
                text = f"revenue of invoice {document.id}"
                transactions.append(Transaction(CAUSE, deferred.invoice, day, text, postings))
        done = point
    return transactions, None


async def defer(connection: Connection, caller: Caller, issued: Sequence[tuple[int, Document]]) -> None:
    """Note when invoices `(key, document)` of fees in advance, issued just now, are to be released first.

    Those that are orders are not: see `begin`.
    """
    found = [
        (key, next(release_points(Period(document.start_date, document.end_date), document.timezone)))
        for key, document in issued
        if in_advance(document) and not is_order(document)
    ]
    if found:
        keys, points = [key for key, _ in found], [point for _, point in found]
        await connection.execute(queries.set_release_at, caller.workspace, keys, points)


async def begin(connection: Connection, caller: Caller, invoice: int, document: Document) -> None:
    """Let the fees of an order become revenue as their time passes, now that it has been carried out."""
    point = next(release_points(Period(document.start_date, document.end_date), document.timezone))
    await connection.execute(queries.set_release_at, caller.workspace, [invoice], [point])


async def release_due(db: Database, caller: Caller, now: datetime) -> int:
    """Move to revenue what was earned by `now`; returns of how many invoices. Safe to run twice and to race."""
    released = 0
    while count := await db.run(caller.workspace, lambda connection: _release_some(connection, caller, now)):
        released += count
    return released


async def _release_some(connection: Connection, caller: Caller, now: datetime) -> int:
    rows = await connection.fetch(queries.lock_releases, caller.workspace, now, _BATCH)
    if not rows:
        return 0
    transactions: list[Transaction] = []
    following: list[datetime | None] = []
    for row in rows:
        deferred = Deferred(row["key"], row["account"], frozen(row["content"]), row["release_at"])
        some, point = releases(deferred, now)
        transactions += some
        following.append(point)
    await post_all(connection, caller, transactions)
    await connection.execute(queries.set_release_at, caller.workspace, [row["key"] for row in rows], following)
    await audit.record(connection, caller, "release", "invoices", "", {"count": len(rows)})
    return len(rows)


def _postings(deferred: Deferred, since: datetime, until: datetime) -> tuple[Posting, ...]:
    document = deferred.document
    period = Period(document.start_date, document.end_date)
    postings: list[Posting] = []
    for line in document.lines:
        if line.type == CREDIT_GRANT:
            continue
        before = Decimal(0) if since == period.start else earned(line.unrounded, period, since, document.timezone)
        part = earned(line.unrounded, period, until, document.timezone) - before
        postings += side(LedgerAccount(Kind.DEFERRED, document.currency, deferred.account), part)
        postings += side(income(document.currency, line), -part)
    return tuple(postings)


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
