"""Named places at which a test makes the process die, as a power cut would. Off, they cost one comparison each."""

import os
import signal
from pathlib import Path

POINTS: dict[str, str] = {
    "migration ran": "every statement of a migration was carried out, nothing is committed",
    "events judged": "a flush knows what its events become, nothing is written",
    "events stored": "a flush wrote events and rollups, not yet their bodies and counters",
    "events counted": "a flush wrote everything, nothing is committed",
    "events committed": "a flush is committed, nobody has been answered",
    "import marked": "an import has noted how far it came, the rows behind are not on disk",
    "key taken": "an idempotency key is taken, its effect has not begun",
    "key answered": "effect and answer are written, nothing is committed",
    "key committed": "effect and answer are committed, nobody has been answered",
    "repeatable done": "an effect that may be repeated is committed, its answer is not recorded",
    "clock moved": "a sandbox's clock is moved, what fell due has not been run",
    "cycles opened": "drafts are made, nothing is committed",
    "periods closed": "periods are closed to events, nothing is committed",
    "invoices posted": "the postings of invoices are made, they have no numbers",
    "invoices frozen": "documents are frozen, the invoices are still drafts",
    "invoices issued": "a batch is issued whole, nothing is committed",
    "invoices committed": "a batch is issued and committed, the next one has not begun",
    "statements made": "statements of accounts that were due are made, they are empty",
    "statements advanced": "statements are filled and their accounts moved on, nothing is committed",
    "statements committed": "a batch of statements is committed, the next one has not begun",
    "links made": "audit rows are linked, the head is the old one",
    "links committed": "a head is committed, the file beside the database is the old one",
    "heads written": "the new file of heads is whole, the old one still has its name",
    "job begun": "a job is in progress, none of its entries is done",
    "job entry done": "the work on one object is done and its entry settled, nothing is committed",
    "job finished": "a job has its last state, nothing is committed",
    "services renewed": "services are renewed and charged, nothing is committed",
    "purchase placed": "a purchase and its order are written, nothing is paid",
    "purchase fulfilled": "what was bought is granted, nothing is committed",
    "purchases expired": "purchases are expired and their orders voided, nothing is committed",
    "outbox entry done": "the deliveries of an entry of the outbox are made, nothing is committed",
    "delivery taken": "a worker has taken deliveries upon itself, nothing is sent",
    "delivery sent": "a receiver has a delivery, which is not recorded",
    "customer erased": "a customer's profile is overwritten, nothing is committed",
}
"""Every point, and how things stand there."""

_marks: Path | None = None


def arm(folder: str | None) -> None:
    """Die at each point that has no mark in `folder` yet; None leaves all of them off."""
    global _marks  # noqa: PLW0603 - one switch of the process, set once as it starts
    _marks = Path(folder) if folder else None


def point(name: str) -> None:
    """A place of `POINTS`."""
    if _marks is not None:
        _die(_marks / name)


def _die(mark: Path) -> None:
    """Leave a mark and die, once among all processes."""
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
