"""How Python looks for rubbish in processes that make much and keep little."""

import gc

WORTH = 500_000
"""New objects from which a look is worth it: more than there are while as many events wait as may.

There were 325,648 at most in a minute of a flood: those that wait, those of two flushes, and what is being freed.
"""


def settle() -> None:
    """Leave what is loaded alone, and look for cycles rarely.

    A flush or a batch of invoices makes tens of thousands of short-lived rows without cycles: looking through them
    again and again is waste, a tenth of a bill run's time. And events that wait in a full queue, with those of two
    flushes, are looked through in 80 ms, in which nobody is answered.
    """
    gc.freeze()
    gc.set_threshold(WORTH, 20, 20)
