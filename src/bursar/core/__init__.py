"""The words every room shares: exact numbers, periods, cycles, ids, pages, the caller and the errors.

Owns: value types and the base of all business errors. Standard library only.
Does not own: anything that knows of a table, a wire format or a clock on the wall.
"""

from bursar.core import decimals

OWNS: tuple[str, ...] = ()

decimals.install()
