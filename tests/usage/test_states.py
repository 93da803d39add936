"""Every state counts once."""

from bursar.usage.states import MEANING, MENDABLE, TERM, State, Term


def test_every_state_is_one_term_and_has_a_meaning() -> None:
    assert set(TERM) == set(State)
    assert set(TERM.values()) == set(Term)
    assert set(MEANING) == set(State)
    assert all(0 < len(text) <= 250 for text in MEANING.values())


def test_refusals_are_negative_and_only_those_can_be_mended() -> None:
    for state in State:
        assert (TERM[state] in (Term.REJECTED, Term.DUPLICATE)) == (state < 0)
    assert all(TERM[state] is Term.REJECTED for state in MENDABLE)
