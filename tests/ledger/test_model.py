"""What may be posted at all."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.ledger.model import OF_CUSTOMERS, Kind, LedgerAccount, Posting, Transaction, TrialLine, imbalance, side

CASH = LedgerAccount(Kind.CASH, "USD")
OWED = LedgerAccount(Kind.RECEIVABLE, "USD", 7)
EUROS = LedgerAccount(Kind.CASH, "EUR")


def transaction(*postings: tuple[LedgerAccount, str]) -> Transaction:
    made = tuple(Posting(account, Decimal(amount)) for account, amount in postings)
    return Transaction("test", None, date(2024, 1, 1), "a test", made)


@pytest.mark.parametrize(
    "postings",
    [
        [(CASH, "1"), (OWED, "-1")],
        [(CASH, "0.000000000001"), (OWED, "-0.000000000001")],
        [(CASH, "1"), (OWED, "-0.5"), (OWED, "-0.5")],
        [(CASH, "99999999999999999999999999.999999999999"), (OWED, "-99999999999999999999999999.999999999999")],
    ],
)
def test_balanced(postings: list[tuple[LedgerAccount, str]]) -> None:
    assert len(transaction(*postings).postings) == len(postings)


@pytest.mark.parametrize(
    "postings",
    [
        [],
        [(CASH, "1")],
        [(CASH, "1"), (OWED, "-1.000000000001")],
        [(CASH, "1"), (EUROS, "-1")],
        [(CASH, "0"), (OWED, "0")],
        [(CASH, "1E-13"), (OWED, "-1E-13")],
        [(CASH, "1E26"), (OWED, "-1E26")],
        [(CASH, "NaN"), (OWED, "-NaN")],
        [(CASH, "Infinity"), (OWED, "-Infinity")],
    ],
)
def test_refused(postings: list[tuple[LedgerAccount, str]]) -> None:
    with pytest.raises(ValueError, match=r"balance|posted"):
        transaction(*postings)


@pytest.mark.parametrize("kind", list(Kind))
def test_an_account_belongs_to_a_customer_or_to_the_workspace(kind: Kind) -> None:
    with pytest.raises(ValueError, match="belongs"):
        LedgerAccount(kind, "USD", None if kind in OF_CUSTOMERS else 7)
    LedgerAccount(kind, "USD", 7 if kind in OF_CUSTOMERS else None)


def test_details_are_bounded() -> None:
    with pytest.raises(ValueError, match="200"):
        LedgerAccount(Kind.REVENUE, "USD", detail="x" * 201)


@given(st.lists(st.tuples(st.sampled_from([CASH, OWED, EUROS]), st.integers(-99, 99).filter(bool))))
def test_imbalance_is_the_sum_per_currency(entries: list[tuple[LedgerAccount, int]]) -> None:
    left = imbalance(Posting(account, Decimal(amount)) for account, amount in entries)
    for currency in ("USD", "EUR"):
        assert left.get(currency, 0) == sum(amount for account, amount in entries if account.currency == currency)


def test_a_side_of_nothing_is_no_posting() -> None:
    assert side(CASH, Decimal("0.00")) == ()
    assert side(CASH, Decimal(3)) == (Posting(CASH, Decimal(3)),)


def test_a_trial_line_balances_debits_with_credits() -> None:
    assert TrialLine(Kind.CASH, "USD", Decimal(5), Decimal(7)).balance == -2
