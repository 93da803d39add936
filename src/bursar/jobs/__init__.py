"""Work that is asked for now and done by the worker: what is to be done, to which objects, and how far it got.

Owns: jobs, their entries, the states of both, and running the entries of a job one by one, each exactly once.
Does not own: the work itself, which belongs to the room of its subject; what falls due as time passes (runtime).
"""

OWNS: tuple[str, ...] = ("job", "job_entry")
"""A job is one request; an entry is one object that it is about."""
