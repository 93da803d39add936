"""What a statement may be, decided: windows, the next one, states."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.core.errors import Rejected, WrongState
from bursar.core.period import Period
from bursar.invoicing.statement_model import (
    Billed,
    State,
    may_approve,
    may_delete,
    next_window,
    window,
)

NOW = datetime(2023, 12, 1, tzinfo=UTC)
KYIV = Billed("Europe/Kyiv", automatic=False)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        ("2023-11-01", "2023-11-02", "2023-10-31T22:00Z", "2023-11-01T22:00Z"),
        ("2023-10-29", "2023-10-30", "2023-10-28T21:00Z", "2023-10-29T22:00Z"),  # the day on which summer time ends
        ("2023-11-01 10:30:00", "2023-11-01T12:00", "2023-11-01T08:30Z", "2023-11-01T10:00Z"),
        ("2023-11-01T10:30:00Z", "2023-11-01T10:30:00-01:00", "2023-11-01T10:30Z", "2023-11-01T11:30Z"),
        ("2023-11-01T00:00:00.000Z", "2023-11-30T23:59:59.999+0200", "2023-11-01T00:00Z", "2023-11-30T21:59:59.999Z"),
        (" 2023-11-01 ", "2023-12-01T02:00", "2023-10-31T22:00Z", "2023-12-01T00:00Z"),  # up to this very instant
    ],
)
def test_ends_are_read_in_the_account_s_zone(start: str, end: str, first: str, last: str) -> None:
    expected = Period(datetime.fromisoformat(first), datetime.fromisoformat(last))
    assert window(KYIV, start, end, NOW) == expected


BLANK, INVALID = "can't be blank", "is invalid"


@pytest.mark.parametrize(
    ("account", "start", "end", "problems"),
    [
        (None, None, None, [("account", BLANK), ("start_date", BLANK), ("end_date", BLANK)]),
        (None, "2023-11-01", "2023-11-02", [("account", BLANK)]),
        (KYIV, "", "  ", [("start_date", BLANK), ("end_date", BLANK)]),
        (KYIV, "yesterday", "2023-11-31", [("start_date", INVALID), ("end_date", INVALID)]),
        (KYIV, "20231101", "9999-12-31", [("start_date", INVALID), ("end_date", INVALID)]),
        (KYIV, "2023-11-02", "2023-11-01", [("end_date", "must be greater than start date")]),
        (KYIV, "2023-11-01", "2023-11-01", [("", "start_time must be less then end_time")]),
        (KYIV, "2023-11-01", "2023-12-01T02:00:00.001", [("", "end_time can't be in future")]),
        (KYIV, "2023-12-05", "2023-12-05", [("", "start_time must be less then end_time")]),
        (
            Billed("UTC", automatic=True), "2023-11-02", "2023-11-01",
            [("account", "have invoices auto generation enabled"), ("end_date", "must be greater than start date")],
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_window(
    account: Billed | None, start: str | None, end: str | None, problems: list[tuple[str, str]]
) -> None:
    with pytest.raises(Rejected) as told:
        window(account, start, end, NOW)
    assert list(told.value.problems) == problems


@given(st.lists(st.integers(-5, 8)), st.integers(1, 5))
def test_the_next_window_is_what_is_left_of_its_period(ends: list[int], days: int) -> None:
    period = Period(NOW, NOW + days * DAY)
    found = next_window(period, [NOW + n * DAY for n in ends])
    left = [n for n in range(days) if all(end <= n for end in ends)]
    if any(end >= days for end in ends):
        assert found is None
    else:
        assert found == Period(NOW + left[0] * DAY, NOW + (left[-1] + 1) * DAY)


def test_states() -> None:
    may_approve(State.PENDING)
    for state, message in [(State.NEW, "Invoice can't be approved"), (State.APPROVED, "Invoice already approved")]:
        with pytest.raises(WrongState, match=message):
            may_approve(state)
    may_delete(State.NEW)
    may_delete(State.PENDING)
    with pytest.raises(WrongState, match="approved"):
        may_delete(State.APPROVED)
