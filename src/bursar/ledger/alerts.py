"""What there is to say of a threshold that a wallet has passed, and who may hear it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from bursar.db.database import Connection
from bursar.ledger.store import queries
from bursar.ledger.watch import Crossing

ADDRESS_LIMIT = 320
"""Characters of the longest e-mail address that there can be."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A threshold that was passed, with the account as it is now; balance and thresholds are those of then."""

    crossing: Crossing
    balance: Decimal
    low: Decimal | None
    high: Decimal | None
    occurred_at: datetime
    id: int
    """Number of the account at the carrier's door."""
    name: str
    currency: str
    timezone: str
    uuid: UUID
    external_id: int | None
    min_balance: Decimal
    max_balance: Decimal
    vat: Decimal
    destination_rate_limit: Decimal | None
    max_call_duration: int | None
    origination_capacity: int | None
    termination_capacity: int | None
    total_capacity: int | None
    invoice_period: int | None
    next_invoice_at: datetime | None
    next_invoice_type: int | None
    send_invoices_to: list[int] | None
    send_balance_notifications_to: list[int] | None
    customer: int
    """Internal key of the customer."""
    contractor: int
    """Number of the customer."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """A contact who can be written to."""

    number: int
    email: str
    customer: int
    """Internal key of the customer whose contact it is."""
    sender: int | None
    """Number of the SMTP connection that mail to it goes over; None: there is none."""


async def alert_at(connection: Connection, workspace: int, notification: int) -> Alert:
    """What there is to say of a threshold that was passed, by its key."""
    row = await connection.fetchrow(queries.notification_at, workspace, notification)
    assert row is not None, "thresholds that were passed are never forgotten"
    return Alert(crossing=Crossing(row["event"]), **{name: value for name, value in row.items() if name != "event"})


async def recipients(connection: Connection, workspace: int, numbers: Sequence[int]) -> list[Recipient]:
    """The contacts of numbers, as far as they exist and have what may be an address."""
    rows = await connection.fetch(queries.recipients, workspace, list(numbers))
    return [
        Recipient(row["yeti_id"], row["email"], row["customer"], row["sender"])
        for row in rows
        if 0 < len(row["email"]) <= ADDRESS_LIMIT
    ]
