"""Credit notes: documents that take an issued invoice back. Frozen and hashed as invoices are."""

from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

from bursar.invoicing.crediting import charged
from bursar.invoicing.document import Document, Party, Seller
from bursar.invoicing.parts import Part

FORMAT = 1

Reason = Literal["VOID", "REFUND"]


class CreditedLine(Part, frozen=True, kw_only=True):
    """What is taken back of a line of the invoice."""

    number: int
    """Of the invoice's line."""
    description: str
    amount: Decimal
    tax_rate: Decimal
    tax: Decimal


class CreditNote(Part, frozen=True, kw_only=True):
    """What an invoice is reduced by, and why. Amounts are positive."""

    format: int
    id: str
    sequence_id: str
    invoice_id: str
    invoice_sequence_id: str | None
    reason: Reason
    issued_at: datetime
    currency: str
    decimals: int
    seller: Seller
    customer: Party
    account: Party
    lines: list[CreditedLine]
    tax: Decimal
    credits: Decimal
    """What credits had paid, and have again."""
    total: Decimal


_encoder = msgspec.json.Encoder(decimal_format="number", order="deterministic")
_decoder = msgspec.json.Decoder(CreditNote)


def of_invoice(document: Document, identifier: str, sequence_id: str, now: datetime, reason: Reason) -> CreditNote:
    """The credit note that takes back the whole of an invoice."""
    return CreditNote(
        format=FORMAT,
        id=identifier,
        sequence_id=sequence_id,
        invoice_id=document.id,
        invoice_sequence_id=document.sequence_id,
        reason=reason,
        issued_at=now,
        currency=document.currency,
        decimals=document.decimals,
        seller=document.seller,
        customer=document.customer,
        account=document.account,
        lines=[
            CreditedLine(
                number=entry.number,
                description=entry.description,
                amount=entry.amount,
                tax_rate=entry.tax_rate,
                tax=entry.tax,
            )
            for entry in document.lines
        ],
        tax=document.tax,
        credits=charged(document) - document.total,
        total=document.total,
    )


def to_text(note: CreditNote) -> bytes:
    """The canonical JSON text in UTF-8: one note has one text."""
    return _encoder.encode(note)


def from_text(text: str | bytes) -> CreditNote:
    """The note of a text that `to_text` made."""
    return _decoder.decode(text)
