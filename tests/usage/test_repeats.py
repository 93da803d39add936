"""Which event takes an id: within one flush, and against what is stored."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.usage.admission import Verdict
from bursar.usage.event import Event, body_digest, id_digest, number_of_digest
from bursar.usage.repeats import Settled, Stored, settle
from bursar.usage.rows import EventRow
from bursar.usage.states import MENDABLE, State

AT = datetime(2024, 5, 10, 12, tzinfo=UTC)
METERED, LATE, NO_ACCOUNT = (
    State.COMPLETED_EVENT_METERED,
    State.FAILED_PAST_GRACE_PERIOD,
    State.FAILED_ACCOUNT_NOT_FOUND,
)


def row(place: int, event_id: str, state: State = METERED, says: str = "a", submission: int = 0) -> EventRow:
    event = Event("call", AT, says, [], {}, event_id)
    return EventRow(
        1, id_digest(1, event_id), body_digest(event), 0, 1, 1, place, submission, place, event, Verdict(state)
    )


def places(settled: Settled) -> dict[str, list[int]]:
    return {
        "fresh": sorted(found.place for found in settled.fresh.values()),
        "revived": [found.place for found in settled.revived.values()],
        "replaced": [entry.place for entry in settled.replaced if isinstance(entry, EventRow)],
        "repeats": [found.place for found, _ in settled.repeats],
        "known": [found.place for found in settled.known],
    }


def stored(like: EventRow, state: State) -> dict[bytes, Stored]:
    return {like.id_digest: Stored(state, number_of_digest(like.body_digest), None)}


NOTHING: dict[str, list[int]] = {"fresh": [], "revived": [], "replaced": [], "repeats": [], "known": []}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], {}),
        ([row(0, "x"), row(1, "y")], {"fresh": [0, 1]}),
        ([row(0, "x"), row(1, "x")], {"fresh": [0], "repeats": [1]}),
        ([row(0, "x"), row(1, "x", LATE)], {"fresh": [0], "repeats": [1]}),
        ([row(0, "x", LATE), row(1, "x", NO_ACCOUNT)], {"fresh": [0], "repeats": [1]}),
        ([row(0, "x", LATE), row(1, "x")], {"fresh": [1], "replaced": [0]}),
        ([row(0, "x", LATE), row(1, "x"), row(2, "x")], {"fresh": [1], "replaced": [0], "repeats": [2]}),
        ([row(0, "x", State.FAILED_NO_EVENT_ID), row(1, "x")], {"fresh": [0], "repeats": [1]}),
    ],
)
def test_within_one_flush(rows: list[EventRow], expected: dict[str, list[int]]) -> None:
    assert places(settle(rows, {}, set())) == {**NOTHING, **expected}


@pytest.mark.parametrize("before", State)
def test_against_what_is_stored(before: State) -> None:
    passing, refused = row(0, "x"), row(1, "x", LATE)
    expected = {"revived": [0], "repeats": [1]} if before in MENDABLE else {"repeats": [0, 1]}
    settled = settle([passing, refused], stored(passing, before), set())
    assert places(settled) == {**NOTHING, **expected}
    assert len(settled.replaced) == (1 if before in MENDABLE else 0)


def test_a_second_attempt_that_passed_is_not_replaced_again() -> None:
    first, second = row(0, "x"), row(1, "x", says="b")
    settled = settle([first, second], stored(first, LATE), set())
    assert places(settled) == {**NOTHING, "revived": [0], "repeats": [1]}
    assert [conflict for _, conflict in settled.repeats] == [True]


def test_a_repeat_that_says_something_else_is_a_conflict() -> None:
    same, other = row(0, "x"), row(1, "x", says="b")
    assert [conflict for _, conflict in settle([same, other], stored(same, METERED), set()).repeats] == [False, True]


def test_imports_skip_exact_repeats_alone() -> None:
    first, again, other = row(0, "x"), row(1, "x", submission=1), row(2, "x", says="b", submission=1)
    settled = settle([first, again, other], {}, {1})
    assert places(settled) == {**NOTHING, "fresh": [0], "known": [1], "repeats": [2]}


@pytest.mark.parametrize("before", State)
@pytest.mark.parametrize("now", [METERED, LATE])
def test_imports_tell_what_stays_refused(before: State, now: State) -> None:
    """Of an exact repeat; one that is let in by now takes its id, where that may be."""
    again = row(0, "x", now)
    settled = settle([again], stored(again, before), {0})
    if before in MENDABLE and now is METERED:
        assert places(settled) == {**NOTHING, "revived": [0]}
    else:
        assert places(settled) == {**NOTHING, "known": [0]}
    stays = [] if before > 0 or settled.revived else [(0, LATE if now is LATE else before)]
    assert [(found.place, state) for found, state in settled.refused] == stays


@given(
    sent=st.lists(st.tuples(st.sampled_from("uvwxyz"), st.sampled_from(State), st.sampled_from("ab")), max_size=12),
    before=st.dictionaries(st.sampled_from("uvwxyz"), st.sampled_from(State), max_size=3),
    skip=st.sets(st.integers(0, 2)),
    size=st.integers(1, 12),
)
def test_part_by_part_as_all_at_once(
    sent: list[tuple[str, State, str]], before: dict[str, State], skip: set[int], size: int
) -> None:
    """However a flush is divided so that others have their turn in between."""
    rows = [row(place, name, state, says, place % 3) for place, (name, state, says) in enumerate(sent)]
    taken = {place: entry for name, state in before.items() for place, entry in stored(row(0, name), state).items()}
    settled = Settled()
    for at in range(0, len(rows), size):
        settle(rows[at : at + size], taken, skip, settled)
    assert settled == settle(rows, taken, skip)
