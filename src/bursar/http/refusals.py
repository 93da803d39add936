"""Refusals one after the other: who is refused for want of room comes again at once, and all of them together.

A refusal takes 0.2 ms, a body of 200 kB with it. Told as soon as they come, a hundred senders who do not wait as they
are asked to come two thousand times a second, and leave half of a processor to the events for which there is room.
"""

EVERY = 0.008
"""Seconds between two refusals, so that they take a fortieth of a processor, unless more than sixty wait."""
LONGEST = 0.5
"""Seconds after which a request is refused at the latest, however many there are."""


class Spacing:
    """When the refusals of one process go out."""

    def __init__(self) -> None:
        self._free = 0.0
        """The moment of the next one, on the clock of whoever asks."""

    def wait(self, now: float) -> float:
        """For how many seconds the refusal of a request is to wait that came at `now`."""
        due = min(max(now, self._free), now + LONGEST)
        self._free = due + EVERY
        return due - now
