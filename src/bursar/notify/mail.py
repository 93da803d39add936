"""Deliveries by e-mail: one real SMTP conversation each, encrypted where the server offers it."""

from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime

import aiosmtplib

from bursar.db.database import Database
from bursar.notify.model import Delivery, Failed
from bursar.notify.smtp_connections import SmtpConnection, connection_at

SECONDS = 10
"""For each step of the conversation; the whole has three times as long at most."""
TLS_PORT = 465


class MailSender:
    """Sends e-mails over the SMTP connections of their workspaces."""

    def __init__(self, db: Database, *, seconds: int = SECONDS) -> None:
        self._db = db
        self._seconds = seconds

    async def __call__(self, delivery: Delivery, wall: datetime) -> Failed | None:
        """Try once."""
        async with self._db.transaction(delivery.workspace) as connection:
            sender = await connection_at(connection, delivery.workspace, delivery.message.sender)
        if sender is None:
            return Failed("the SMTP connection is gone, and there is none for everybody", final=True)
        try:
            message = compose(delivery, sender, wall)
        except ValueError as error:
            return Failed(str(error), final=True)
        client = aiosmtplib.SMTP(
            hostname=sender.host,
            port=sender.port,
            use_tls=sender.port == TLS_PORT,
            timeout=self._seconds,
        )
        try:
            async with client:
                if sender.auth_user:
                    await client.login(sender.auth_user, sender.auth_password or "")
                await client.send_message(message, recipients=[delivery.message.receiver])
        except (aiosmtplib.SMTPRecipientsRefused, aiosmtplib.SMTPResponseException) as error:
            return _refused(error)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            return Failed(str(error) or type(error).__name__)
        return None


def compose(delivery: Delivery, sender: SmtpConnection, wall: datetime) -> EmailMessage:
    """The e-mail of a delivery; its `Message-ID` stays the same however often it is sent.

    Raises `ValueError` for a receiver that is not one address: contacts may have any text for one.
    """
    message = EmailMessage()
    message["From"] = sender.from_address
    message["To"] = delivery.message.receiver
    addresses = message["To"].addresses
    if len(addresses) != 1 or addresses[0].addr_spec != delivery.message.receiver or not addresses[0].domain:
        raise ValueError("the contact's e-mail is not an address")
    message["Subject"] = delivery.message.subject
    message["Date"] = format_datetime(wall)
    message["Message-ID"] = f"<{delivery.id}@{sender.from_address.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(delivery.message.body)
    return message


def _refused(error: aiosmtplib.SMTPRecipientsRefused | aiosmtplib.SMTPResponseException) -> Failed:
    """A server that refuses an address for good will not take it tomorrow; all else may pass."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        first = error.recipients[0]
        return Failed(f"{first.code} {first.message}", final=500 <= first.code < 600)
    return Failed(f"{error.code} {error.message}")
