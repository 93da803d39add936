"""How Python looks for rubbish in processes that make much and keep little."""

import gc

WORTH = 300_000
"""New objects from which a look is worth it: more than there are while as many events wait as may."""


def settle() -> None:
    """Leave what is loaded alone, and look for cycles rarely.

    A flush or a batch of invoices makes tens of thousands of short-lived rows without cycles: looking through them
    again and again is waste, a tenth of a bill run's time. And events that wait in a full queue, three objects each,
    are looked through in 60 ms, in which nobody is answered.
    """
    gc.freeze()
    gc.set_threshold(WORTH, 20, 20)
