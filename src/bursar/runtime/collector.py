"""How Python looks for rubbish in processes that make much and keep little."""

import gc


def settle() -> None:
    """Leave what is loaded alone, and look for cycles rarely.

    A flush or a batch of invoices makes tens of thousands of short-lived rows without cycles: looking through them
    again and again is waste, a tenth of a bill run's time.
    """
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
