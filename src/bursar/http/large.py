"""Large bodies of events: decoded in turns of a part of a millisecond, once it is known that their events find room."""

from collections.abc import Iterator
from typing import Protocol

from bursar.core.heavy import in_turns
from bursar.usage.event import BATCH_LIMIT, Parsed
from bursar.usage.pipeline import Pipeline

HEAVY = 20_000
"""Bytes that take a part of a millisecond to decode; more are for a turn of their own."""
_SAMPLE = 4096
"""Bytes of a body in which its events are counted."""


class Parsing(Protocol):
    """A body that is being decoded."""

    def steps(self) -> Iterator[None]:
        """Do the work, until the last step is done."""
        ...

    def parsed(self) -> Parsed:
        """What was found."""
        ...


async def decoded(pipeline: Pipeline, body: bytes, each: bytes, parsing: Parsing) -> Parsed:
    """The events of a large body; `each`: what every event has, so that there are hardly more than it stands there.

    Raises `Unavailable` where there is no room for them, and what `parsing` raises.
    """
    with pipeline.expecting(about(body, each)):
        await in_turns(parsing.steps())
        return parsing.parsed()


def about(body: bytes, each: bytes) -> int:
    """How many events a body has, about: to count them would take a tenth of what it takes to decode them."""
    seen = body.count(each, 0, _SAMPLE) * len(body) // _SAMPLE or body.count(each)
    return min(seen, BATCH_LIMIT)
