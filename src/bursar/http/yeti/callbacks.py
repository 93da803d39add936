"""What a carrier's scripts are told when a balance passes a threshold: the bytes of requests and e-mails."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from bursar.core.decimals import show
from bursar.ledger.alerts import Alert, Recipient
from bursar.ledger.watch import Crossing
from bursar.notify.model import Channel, Message
from bursar.notify.subscriptions import Event, Subscription

EVENTS = {
    Crossing.LOW_REACHED: Event.LOW_REACHED,
    Crossing.HIGH_REACHED: Event.HIGH_REACHED,
    Crossing.LOW_CLEARED: Event.LOW_CLEARED,
    Crossing.HIGH_CLEARED: Event.HIGH_CLEARED,
}
SUBJECTS = {
    Crossing.LOW_REACHED: "low balance",
    Crossing.HIGH_REACHED: "high balance",
    Crossing.LOW_CLEARED: "low balance cleared",
    Crossing.HIGH_CLEARED: "high balance cleared",
}
REFERENCE = "$id"
"""How invoices of an account are called: by their number, for every account alike."""


def messages(alert: Alert, subscription: Subscription, contacts: Sequence[Recipient]) -> list[Message]:
    """The request to the subscriber, where it has a URL, and one e-mail to each address of the contacts.

    `contacts` are those of the subscription and of the account; those whom no SMTP connection reaches are passed over.
    """
    of_account = set(alert.send_balance_notifications_to or ())
    told = [one for one in contacts if one.number in of_account]
    data = event_data(alert, [one.email for one in told])
    about = (alert.customer, *(one.customer for one in told))
    subject = f"Account with id {alert.id} {SUBJECTS[alert.crossing]}"
    mails = [
        Message(Channel.MAIL, one.email, subject, _json(data), (*about, one.customer), one.sender)
        for one in _once(contacts)
        if one.sender is not None
    ]
    if not subscription.url:
        return mails
    event = EVENTS[alert.crossing]
    body = {"event_type": event, "event_data": data, "event_time": _moment(alert.occurred_at)}
    return [Message(Channel.HTTP, subscription.url, event, _json(body), about), *mails]


def event_data(alert: Alert, emails: Sequence[str]) -> dict[str, Any]:
    """The account's columns by the names that receivers know, its thresholds, and who hears of them."""
    return {
        "id": alert.id,
        "name": alert.name,
        "balance": _number(alert.balance),
        "min_balance": _number(alert.min_balance),
        "max_balance": _number(alert.max_balance),
        "vat": _number(alert.vat),
        "contractor_id": alert.contractor,
        "external_id": alert.external_id,
        "uuid": str(alert.uuid),
        "currency": alert.currency,
        "timezone": alert.timezone,
        "origination_capacity": alert.origination_capacity,
        "termination_capacity": alert.termination_capacity,
        "total_capacity": alert.total_capacity,
        "destination_rate_limit": _number(alert.destination_rate_limit),
        "max_call_duration": alert.max_call_duration,
        "invoice_period_id": alert.invoice_period,
        "invoice_ref_template": REFERENCE,
        "next_invoice_at": None if alert.next_invoice_at is None else _moment(alert.next_invoice_at),
        "next_invoice_type_id": alert.next_invoice_type,
        "send_invoices_to": alert.send_invoices_to,
        "balance_low_threshold": _number(alert.low),
        "balance_high_threshold": _number(alert.high),
        "send_balance_notifications_to": list(dict.fromkeys(emails)),
    }


def _once(contacts: Iterable[Recipient]) -> list[Recipient]:
    """One for each address."""
    return list({one.email: one for one in reversed(list(contacts))}.values())[::-1]


def _number(value: Decimal | None) -> str | None:
    """A decimal as every answer of this door has it: text, with one digit after the point at least."""
    if value is None:
        return None
    text = show(value)
    return text if "." in text else f"{text}.0"


def _moment(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
