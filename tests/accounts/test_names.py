"""Aliases over time: the rules that decide, against slow obvious answers."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.accounts.model import (
    Account,
    Address,
    Alias,
    BillingInformation,
    Name,
    NewAlias,
    free_id,
    most_in_force,
    settle_aliases,
    tidy_tags,
)
from bursar.core.errors import Invalid, Taken
from bursar.core.period import FIRST, FOREVER

DAY = datetime(2026, 3, 1, tzinfo=UTC)
NOW = DAY + timedelta(days=10)


def day(number: int | None) -> datetime | None:
    return None if number is None else DAY + timedelta(days=number)


ACCOUNT = Account(
    key=1, id="mine", wire_id="account.x", customer_key=1, customer_id="c", customer_wire_id="customer.x", name="Mine",
    currency="USD", timezone=None, net_term_days=None, status="ACTIVE", primary_email="", address=Address(),
    billing_information=BillingInformation(), metadata={}, tags=[], closed_from=None, closed_until=None,
    created_at=DAY, updated_at=DAY,
)  # fmt: skip


def name(account: int | None, start: int | None, end: int | None, kind: str = "ALIAS") -> Name:
    return Name("desk", account, f"a{account}", kind, day(start), day(end))


def held(index: int, start: int | None = None, end: int | None = None) -> Alias:
    return Alias(index, f"alias.{index}", f"value{index}", day(start), day(end), DAY, DAY)


# What the value led to before; the start and end asked for; the start and end kept, or a word of the refusal.
SETTLED: list[tuple[list[Name], int | None, int | None, tuple[int | None, int | None] | str]] = [
    ([], None, None, (None, None)),
    ([], 3, 5, (3, 5)),
    ([], 5, 5, "end after"),
    ([], 5, 3, "end after"),
    ([name(2, None, None)], None, None, "a2"),
    ([name(2, None, None, "ID")], 3, 4, "id of account"),
    ([name(2, None, 5)], None, None, (5, None)),
    ([name(1, None, 5)], None, None, (5, None)),
    ([name(2, None, 5)], 4, None, "a2"),
    ([name(2, None, 5)], 5, None, (5, None)),
    ([name(2, None, 5)], None, 5, "end after"),
    ([name(2, None, 12)], None, None, "a2"),
    ([name(2, None, 12)], 12, None, (12, None)),
    ([name(2, 7, None)], 2, 7, (2, 7)),
    ([name(2, 7, None)], 2, 8, "a2"),
    ([name(1, 0, 5), name(2, 5, 8)], None, None, (8, None)),
    ([name(1, 7, None)], None, None, "already"),
    ([name(None, None, None)], None, None, (None, None)),
]


@pytest.mark.parametrize(("known", "start", "end", "expected"), SETTLED)
def test_an_alias_settles_where_its_value_is_free(
    known: list[Name], start: int | None, end: int | None, expected: tuple[int | None, int | None] | str
) -> None:
    asked = [NewAlias("desk", day(start), day(end), "aliases[0]")]
    if isinstance(expected, str):
        with pytest.raises(Invalid, match=expected) as caught:
            settle_aliases(ACCOUNT, asked, known, [], NOW)
        assert caught.value.field == "aliases[0]"
        return
    kept = settle_aliases(ACCOUNT, asked, known, [], NOW)
    assert [(alias.effective_from, alias.effective_until) for alias in kept] == [(day(expected[0]), day(expected[1]))]


def test_the_wire_s_first_and_last_instants_are_open_ends() -> None:
    (kept,) = settle_aliases(ACCOUNT, [NewAlias("desk", FIRST, FOREVER)], [], [], NOW)
    assert (kept.effective_from, kept.effective_until) == (None, None)
    for start, end in ((None, FIRST), (FOREVER, None)):
        with pytest.raises(Invalid, match="1970"):
            settle_aliases(ACCOUNT, [NewAlias("desk", start, end)], [], [], NOW)


def test_an_account_s_own_id_is_no_alias_and_a_value_may_come_once() -> None:
    assert settle_aliases(ACCOUNT, [NewAlias("mine")], [], [], NOW) == []
    with pytest.raises(Taken, match="already"):
        settle_aliases(ACCOUNT, [NewAlias("twice"), NewAlias("twice")], [], [], NOW)


def test_ten_aliases_at_a_time_and_any_number_one_after_the_other() -> None:
    nine = [held(index) for index in range(9)]
    assert len(settle_aliases(ACCOUNT, [NewAlias("ten")], [], nine, NOW)) == 1
    with pytest.raises(Invalid, match="at most 10"):
        settle_aliases(ACCOUNT, [NewAlias("ten"), NewAlias("eleven")], [], nine, NOW)
    relay = [NewAlias(f"relay{index}", day(20 + index), day(21 + index)) for index in range(15)]
    assert len(settle_aliases(ACCOUNT, relay, [], nine, NOW)) == 15
    past = [held(index, None, 9) for index in range(30)]
    assert len(settle_aliases(ACCOUNT, [NewAlias("ten")], [], past, NOW)) == 1


span = st.tuples(st.none() | st.integers(0, 12), st.none() | st.integers(0, 12)).filter(
    lambda pair: pair[0] is None or pair[1] is None or pair[0] < pair[1]
)


@given(st.lists(span, max_size=12), st.integers(0, 12))
def test_how_many_hold_at_once_equals_asking_every_day(spans: list[tuple[int | None, int | None]], since: int) -> None:
    days = range(since, 14)
    slow = max(sum((s is None or s <= at) and (e is None or at < e) for s, e in spans) for at in days)
    assert most_in_force([(day(s), day(e)) for s, e in spans], DAY + timedelta(days=since)) == slow


@given(st.lists(span, max_size=6), span, st.sampled_from([1, 2]))
def test_no_value_ever_leads_to_two_accounts(
    spans: list[tuple[int | None, int | None]], asked: tuple[int | None, int | None], owner: int
) -> None:
    known = [name(owner, *pair) for pair in spans]
    try:
        (kept,) = settle_aliases(ACCOUNT, [NewAlias("desk", day(asked[0]), day(asked[1]))], known, [], NOW)
    except Invalid:
        return
    for at in (DAY + timedelta(days=number) for number in range(-1, 14)):
        led = [n for n in known if (n.starts_at is None or n.starts_at <= at) and (n.ends_at is None or at < n.ends_at)]
        new = (kept.effective_from is None or kept.effective_from <= at) and (
            kept.effective_until is None or at < kept.effective_until
        )
        assert not (led and new)


def test_an_id_is_free_only_where_it_was_never_a_name() -> None:
    free_id("desk", [Name("other", 2, "a2", "ID", None, None)], "id")
    for known in (name(2, None, 5), name(None, None, None), name(2, None, None, "ID")):
        with pytest.raises(Taken, match="desk"):
            free_id("desk", [known], "id")


def test_tags_are_kept_in_lower_case_and_once() -> None:
    assert tidy_tags(["Blue", "RED", "blue"]) == ["blue", "red"]
