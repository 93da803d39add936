"""The document of an invoice: what is frozen, hashed and kept, and what a draft would freeze now.

It is a published format: the doors show its lines as they are. All amounts are exact numbers; `amount`, `subtotal` and
`total` have at most the decimals of the currency, everything else at most 12.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec
import zstandard

from bursar.accounts.model import Address
from bursar.invoicing.parts import CardBounds, CreditGrantTerms, FeatureTerms, LicenseTerms, Part, SlabLine

FORMAT = 1
_LEVEL = 3
"""Of compression. A level less costs as much and keeps more; five takes three times as long."""


class Filter(Part, frozen=True, kw_only=True):
    """A field that had to equal a value for an event to be measured."""

    field: str
    value: str


class Meter(Part, frozen=True, kw_only=True):
    """What was measured, and how."""

    id: str
    name: str
    version: int
    aggregation: str
    filters: list[Filter]
    matcher: str | None
    """jsonLogic that chose the events; none: all of the schema."""
    computation: str | None
    """jsonLogic that gave the quantity of an event."""


class PriceVersion(Part, frozen=True, kw_only=True):
    """Whose prices a line was rated with."""

    price_plan_id: str
    price_plan_name: str
    version: int
    id: str


class CommitmentTerms(Part, frozen=True, kw_only=True):
    """How a true-up came about."""

    rate: Decimal
    """Per whole cycle."""
    days: int
    of_days: int
    prorated: Decimal
    subtotal: Decimal
    """What the lines of the rate cards came to, as rounded."""


class FeeTerms(Part, frozen=True, kw_only=True):
    """How a fixed fee came about."""

    add_on_id: str
    type: Literal["ONE_TIME", "RECURRING"]
    invoice_timing: Literal["IN_ADVANCE", "IN_ARREARS"]
    rate: Decimal
    """Per whole cycle."""
    prorated: bool
    cycle: int
    """Number of the cycle in the association, from 0."""
    days: int
    of_days: int


class RuleRun(Part, frozen=True, kw_only=True):
    """What a pricing rule read and did when the lines were drawn up. Amounts are before rounding."""

    rule_id: str
    name: str
    version: int
    order: int
    invoice_timing: Literal["IN_ADVANCE", "IN_ARREARS"]
    condition: str | None
    computation: str
    """Both jsonLogic."""
    target: str | None
    """The figure that it changes; none: it adds a line."""
    key: str
    """`urc.<meter>`, `ff.<add-on>`, or the id of the line that it adds."""
    metadata: dict[str, str]
    type: str
    """CONDITION_TRUE, CONDITION_FALSE, CONDITION_ERROR or COMPUTATION_ERROR: all but the first change nothing."""
    variables: dict[str, Decimal]
    """The figures that it names, as the rules before it left them."""
    old_usage: Decimal | None
    new_usage: Decimal | None
    """Of a rule about a usage rate card."""
    old_revenue: Decimal
    new_revenue: Decimal
    error: str | None


class OrderTerms(Part, frozen=True, kw_only=True):
    """How often a line of an order was bought."""

    billable_id: str | None
    """The feature, the add-on or, of units paid ahead, the meter; none: money."""
    times: Decimal
    price: Decimal
    """Of one, before rounding."""


class ChargeTerms(Part, frozen=True, kw_only=True):
    """How an amount came about that was set by hand: as such, by rate and quantity, or by logic over other lines."""

    id: str | None
    billable_id: str | None
    """What it is about, where that was said."""
    rate: Decimal | None
    quantity: Decimal | None
    value: str | None
    """A number, or jsonLogic; none: rate times quantity."""
    variables: dict[str, Decimal]
    """The amounts of lines that the logic read, by their ids."""
    revenue: bool
    """Whether it counts as revenue."""
    error: str | None
    """Why it charges nothing, where it could not be computed."""


class AdjustedUsage(Part, frozen=True, kw_only=True):
    """What a correction added to what a meter had measured in a period, or took away where it is below zero."""

    meter_id: str
    name: str
    quantity: Decimal


class AdjustmentTerms(Part, frozen=True, kw_only=True):
    """Which correction of which event changed what an earlier invoice should have come to."""

    id: str
    invoice_id: str
    """The invoice of the event's period."""
    invoice_sequence_id: str
    start_date: datetime
    end_date: datetime
    event_id: str
    event_reference: str
    action: str
    """UNDO, REDO, REDO_EVENT, or REPLAY for an event that had been refused."""
    usage: list[AdjustedUsage]
    before: Decimal
    """What was charged for the period, with the adjustments before this one."""
    after: Decimal
    """What the corrected usage of the period comes to."""
    amount: Decimal
    """The whole adjustment; a line may take a part of it."""


class MergedTerms(Part, frozen=True, kw_only=True):
    """An invoice that is part of a composite."""

    id: str
    sequence_id: str
    invoice_type: str
    account_id: str


LineType = Literal[
    "USAGE_RATE_CARD",
    "FIXED_FEE_RATE_CARD",
    "LICENSE_RATE_CARD",
    "BILLING_ENTITLEMENT_RATE_CARD",
    "ENTITLEMENT_OVERAGE_RATE_CARD",
    "CREDIT_GRANT_RATE_CARD",
    "PRICING_RULE_ADDITION",
    "TRUE_UP",
    "WALLET_TOPUP",
    "PREPAID",
    "MISCELLANEOUS_CHARGE",
    "CUSTOM_AMOUNT",
    "MERGED_INVOICE",
    "ADJUSTMENT",
]


class Line(Part, frozen=True, kw_only=True):
    """One line of an invoice with everything that explains it."""

    number: int
    type: LineType
    name: str
    """The plan's name of the line."""
    description: str
    tag: str | None
    meter: Meter | None
    pricing_model: Literal["TIERED", "VOLUME"] | None
    quantity: Decimal | None
    slabs: list[SlabLine]
    bounds: CardBounds | None
    """Of a usage card that has any."""
    fee: FeeTerms | None
    commitment: CommitmentTerms | None
    price_version: PriceVersion | None
    """None on a line that no price plan made."""
    formula: str
    unrounded: Decimal
    amount: Decimal
    """Net, rounded toward zero to the currency's decimals."""
    rounding: Decimal
    """What the rounding took away: unrounded minus amount."""
    tax_rate: Decimal
    tax: Decimal
    license: LicenseTerms | msgspec.UnsetType = msgspec.UNSET
    """Of a line for licences."""
    feature: FeatureTerms | msgspec.UnsetType = msgspec.UNSET
    """Of a line for units of a feature, unless they were ordered."""
    credit_grant: CreditGrantTerms | msgspec.UnsetType = msgspec.UNSET
    """Of a line for credits, unless they were ordered; what was granted is its quantity."""
    rules: list[RuleRun] | msgspec.UnsetType = msgspec.UNSET
    """The pricing rules that changed or made it, in their order; left out where there are none."""
    order: OrderTerms | msgspec.UnsetType = msgspec.UNSET
    """Of a line of an order, unless that is for an association."""
    charge: ChargeTerms | msgspec.UnsetType = msgspec.UNSET
    """Of an amount that was set by hand."""
    invoice: MergedTerms | msgspec.UnsetType = msgspec.UNSET
    """Of a composite: the invoice that the line is."""
    adjustment: AdjustmentTerms | msgspec.UnsetType = msgspec.UNSET
    """Of a line that adjusts an earlier invoice."""


class CreditedLines(Part, frozen=True, kw_only=True):
    """What a credit pays of one line."""

    number: int
    """Of the line."""
    amount: Decimal


class CreditUse(Part, frozen=True, kw_only=True):
    """What an invoice uses of a credit."""

    id: str
    purpose: str
    priority: int
    lines: list[CreditedLines]
    amount: Decimal


class Party(Part, frozen=True, kw_only=True):
    """A name and where to reach it."""

    id: str
    name: str
    primary_email: str
    address: Address


class GroupTerms(Part, frozen=True, kw_only=True):
    """To which group of accounts an invoice is; `customer` and `account` of the document tell of the group then."""

    id: str
    daily_invoice_consolidation: bool


class Seller(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Who issues the invoice."""

    business_name: str = ""
    primary_email: str = ""
    address: Address = msgspec.field(default_factory=Address)


class Document(Part, frozen=True, kw_only=True):
    """An invoice."""

    format: int
    id: str
    sequence_id: str | None
    """Series and number; none on a draft."""
    invoice_type: str
    invoice_class: str
    start_date: datetime
    end_date: datetime
    timezone: str
    invoice_date: datetime
    due_date: datetime
    net_term_days: int
    currency: str
    decimals: int
    schedule_id: str | None
    """None on an invoice of no association, as its price plan."""
    invoice_group: GroupTerms | msgspec.UnsetType = msgspec.UNSET
    seller: Seller
    customer: Party
    account: Party
    price_plan_id: str | None
    price_plan_name: str | None
    lines: list[Line]
    subtotal: Decimal
    """Of the lines of rate cards."""
    tax: Decimal
    total: Decimal
    """What is left to be paid in money: lines and taxes less credits."""
    rules: list[RuleRun] | msgspec.UnsetType = msgspec.UNSET
    """What became of each of the plan's pricing rules for such an invoice; left out where there are none."""
    credits: list[CreditUse] | msgspec.UnsetType = msgspec.UNSET
    """What credits pay, in their order; left out where there are none."""


_encoder = msgspec.json.Encoder(decimal_format="number", order="deterministic")
_decoder = msgspec.json.Decoder(Document)


def to_text(document: Document) -> bytes:
    """The canonical JSON text in UTF-8: one document has one text."""
    return _encoder.encode(document)


def from_text(text: bytes) -> Document:
    """The document of a text that `to_text` made."""
    return _decoder.decode(text)


def digest(text: bytes, parties: bytes) -> bytes:
    """SHA-256 of the sealed parties behind their length in eight bytes, and of the text."""
    return hashlib.sha256(len(parties).to_bytes(8, "big") + parties + text).digest()


def pack(texts: Iterable[bytes]) -> list[bytes]:
    """Texts as they are kept: an eighth of their size, most of an explanation being the same from line to line."""
    compressor = zstandard.ZstdCompressor(level=_LEVEL)
    return [compressor.compress(text) for text in texts]


def unpack(content: bytes) -> bytes:
    """The text of what is kept. Raises `zstandard.ZstdError` for what `pack` did not make."""
    return zstandard.ZstdDecompressor().decompress(content)


def readable(content: bytes) -> Document | None:
    """The document of what is kept; None where somebody has spoilt it."""
    try:
        return frozen(content)
    except (zstandard.ZstdError, msgspec.MsgspecError):
        return None


def frozen(content: bytes) -> Document:
    """The document of what is kept."""
    return from_text(unpack(content))
