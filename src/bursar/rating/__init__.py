"""Quantity times price: rated lines. Pure.

Owns: the two pricing models, the three price types, what pricing rules make of them, rounding of a line, commitment,
proration, the arithmetic in words.
Does not own: where quantities and prices come from, what becomes of an amount.
"""

OWNS: tuple[str, ...] = ()
