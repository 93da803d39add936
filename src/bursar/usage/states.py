"""The state of every event that got an answer, and the one table that sums states up.

received = metered + unmetered + duplicate + rejected + pending + reverted, per workspace, at any instant.
"""

from enum import IntEnum, StrEnum


class Term(StrEnum):
    """A term of the balance of events."""

    METERED = "metered"
    UNMETERED = "unmetered"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    PENDING = "pending"
    REVERTED = "reverted"


class State(IntEnum):
    """What became of an event. Numbers are stored; negative ones are refusals, which an index keeps at hand."""

    COMPLETED_EVENT_METERED = 1
    COMPLETED_EVENT_NOT_METERED = 2
    COMPLETED_NO_MATCHING_METERS = 3
    IN_PROGRESS = 4
    REVERTED = 5
    FAILED = -1
    FAILED_SCHEMA_NOT_DEFINED = -2
    FAILED_UNITS_INVALID = -3
    FAILED_ENRICHMENT_FAILED = -4
    FAILED_PAST_GRACE_PERIOD = -5
    FAILED_ACCOUNT_NOT_FOUND = -6
    FAILED_NO_EVENT_ID = -7
    FAILED_INVALID_NAMED_LICENSE_EVENT = -8
    FAILED_INSUFFICIENT_CREDITS = -9
    FAILED_DUPLICATE_EVENT = -10

    # That of its number: an enumeration's own is written in Python, and is asked for with every event.
    __hash__ = int.__hash__


TERM: dict[State, Term] = {
    State.COMPLETED_EVENT_METERED: Term.METERED,
    State.COMPLETED_EVENT_NOT_METERED: Term.UNMETERED,
    State.COMPLETED_NO_MATCHING_METERS: Term.UNMETERED,
    State.IN_PROGRESS: Term.PENDING,
    State.REVERTED: Term.REVERTED,
    State.FAILED: Term.REJECTED,
    State.FAILED_SCHEMA_NOT_DEFINED: Term.REJECTED,
    State.FAILED_UNITS_INVALID: Term.REJECTED,
    State.FAILED_ENRICHMENT_FAILED: Term.REJECTED,
    State.FAILED_PAST_GRACE_PERIOD: Term.REJECTED,
    State.FAILED_ACCOUNT_NOT_FOUND: Term.REJECTED,
    State.FAILED_NO_EVENT_ID: Term.REJECTED,
    State.FAILED_INVALID_NAMED_LICENSE_EVENT: Term.REJECTED,
    State.FAILED_INSUFFICIENT_CREDITS: Term.REJECTED,
    State.FAILED_DUPLICATE_EVENT: Term.DUPLICATE,
}
"""Each state is one term of the balance."""

MENDABLE = frozenset(
    {
        State.FAILED,
        State.FAILED_SCHEMA_NOT_DEFINED,
        State.FAILED_UNITS_INVALID,
        State.FAILED_ENRICHMENT_FAILED,
        State.FAILED_PAST_GRACE_PERIOD,
        State.FAILED_ACCOUNT_NOT_FOUND,
    }
)
"""Refusals whose cause can be removed: the same id may be sent again and is judged anew."""

MEANING: dict[State, str] = {
    State.COMPLETED_EVENT_METERED: "The event was measured by at least one usage meter",
    State.COMPLETED_EVENT_NOT_METERED: "The filters and matchers of the schema's usage meters leave the event out",
    State.COMPLETED_NO_MATCHING_METERS: "No usage meter is active for the event's schema",
    State.IN_PROGRESS: "The event is being processed",
    State.REVERTED: "The event was undone",
    State.FAILED: "The event does not fit its schema",
    State.FAILED_SCHEMA_NOT_DEFINED: "No active event schema has this name",
    State.FAILED_UNITS_INVALID: "The usage meter could not compute a quantity",
    State.FAILED_ENRICHMENT_FAILED: "An enriched field could not be computed",
    State.FAILED_PAST_GRACE_PERIOD: "The event's period no longer takes events",
    State.FAILED_ACCOUNT_NOT_FOUND: "No account has this id or alias at the event's time",
    State.FAILED_NO_EVENT_ID: "The event carries no id",
    State.FAILED_INVALID_NAMED_LICENSE_EVENT: "The event is not a valid change of a named licence",
    State.FAILED_INSUFFICIENT_CREDITS: "The account has not enough credits",
    State.FAILED_DUPLICATE_EVENT: "An event with this id was already received",
}
