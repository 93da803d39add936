"""For how long the tokens of people who log in work."""

from dataclasses import dataclass

SECONDS = 600
LONGEST = 10 * 366 * 86_400


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """In seconds; 0: for ever."""

    admin: int = SECONDS
    customer: int = SECONDS
