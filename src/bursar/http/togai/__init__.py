"""The Togai dialect: its REST API at the root path. Translates bytes to commands and results to bytes."""

OWNS: tuple[str, ...] = ()
