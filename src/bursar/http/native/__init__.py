"""Bursar's own API under `/bursar/v1`, for what no other dialect can say. Errors are RFC 9457 problems."""

OWNS: tuple[str, ...] = ()
