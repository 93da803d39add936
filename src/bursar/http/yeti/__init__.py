"""The Yeti dialect: a carrier's admin JSON:API and the door of its customers."""

OWNS: tuple[str, ...] = ()
