"""What a movement of money is, and when it is one: its postings sum to zero in every currency."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

import msgspec

from bursar.core import decimals


class Kind(StrEnum):
    """The kinds of ledger accounts. The first four belong to a customer's account, the others to the workspace."""

    WALLET = "wallet"
    RECEIVABLE = "receivable"
    DEFERRED = "deferred"
    CREDIT = "credit"
    CASH = "cash"
    REVENUE = "revenue"
    TAX = "tax"
    DISCOUNT = "discount"
    ROUNDING = "rounding"
    BREAKAGE = "breakage"
    WRITE_OFF = "write_off"
    PAYABLE = "payable"
    ADJUSTMENT = "adjustment"


OF_CUSTOMERS = frozenset({Kind.WALLET, Kind.RECEIVABLE, Kind.DEFERRED, Kind.CREDIT})
"""Kinds with a running balance."""

DETAIL_LIMIT = 200


class LedgerAccount(msgspec.Struct, frozen=True, gc=False):
    """The name of a ledger account within its workspace. It comes into being when it is first needed."""

    kind: Kind
    currency: str
    """ISO 4217."""
    account: int | None = None
    """Internal key of the customer's account; None for an account of the workspace."""
    detail: str = ""
    """What sets apart accounts of one kind: the plan line of revenue, the grant of credit; else empty."""

    def __post_init__(self) -> None:
        if (self.account is not None) != (self.kind in OF_CUSTOMERS):
            raise ValueError(
                f"a {self.kind} account belongs to the {'customer' if self.account is None else 'workspace'}"
            )
        if len(self.detail) > DETAIL_LIMIT:
            raise ValueError(f"the detail of a ledger account has more than {DETAIL_LIMIT} characters")

    def order(self) -> tuple[str, int, str, str]:
        """The fixed order in which ledger accounts are made, so that concurrent writers cannot deadlock."""
        return (self.kind, self.account or 0, self.detail, self.currency)


class Posting(msgspec.Struct, frozen=True, gc=False):
    """One side of a movement: debit positive, credit negative, at most 12 decimals, never zero."""

    ledger_account: LedgerAccount
    amount: Decimal

    def __post_init__(self) -> None:
        if not self.amount or not decimals.fits(self.amount):
            raise ValueError(f"{self.amount} cannot be posted")


class Transaction(msgspec.Struct, frozen=True):
    """A movement of money: two postings or more that sum to zero in each currency. Raises `ValueError` otherwise."""

    cause: str
    """What made it: `invoice`, `payment` ..."""
    cause_key: int | None
    """Internal key of that object."""
    accounting_date: date
    """The day that the books show, in the account's time zone."""
    description: str
    postings: tuple[Posting, ...]

    def __post_init__(self) -> None:
        left = imbalance(self.postings)
        if not self.postings or left:
            raise ValueError(f"postings of '{self.description}' do not balance: {left or 'there are none'}")


def imbalance(postings: Iterable[Posting]) -> dict[str, Decimal]:
    """What is left over per currency; empty where the postings balance."""
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for posting in postings:
        sums[posting.ledger_account.currency] += posting.amount
    return {currency: total for currency, total in sums.items() if total}


def side(ledger_account: LedgerAccount, amount: Decimal) -> tuple[Posting, ...]:
    """A posting of `amount`, or none where there is nothing to post."""
    return (Posting(ledger_account, amount),) if amount else ()


@dataclass(frozen=True, slots=True)
class TrialLine:
    """All ledger accounts of one kind and currency taken together."""

    kind: Kind
    currency: str
    debits: Decimal
    credits: Decimal
    """Both as sums without sign."""

    @property
    def balance(self) -> Decimal:
        """Debits minus credits; over all kinds of a currency these sum to zero."""
        return self.debits - self.credits
