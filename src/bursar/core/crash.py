"""Named places at which a test makes the process die, as a power cut would. Off, they cost one comparison each."""

import os
import signal
from pathlib import Path

POINTS: dict[str, str] = {
    "migration ran": "every statement of a migration was carried out, nothing is committed",
    "events judged": "a flush knows what its events become, nothing is written",
    "events stored": "a flush wrote what was sent and, where they are many, its events, not yet rollups and counters",
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
    "proposal answered": "a proposal is approved, it has no order yet",
    "invoices paid": "money for invoices is posted and noted, what they are orders of is not granted",
    "purchase paid ahead": "what was paid ahead has become credits, its purchase still waits",
    "purchase associated": "a plan that was bought is associated, its purchase still waits",
    "purchase withdrawn": "a purchase has failed, its order is not taken back yet",
    "licenses updated": "an account has another number of licences, nothing is committed",
    "units granted": "units of features are granted, what for is not noted",
    "grant changed": "a grant has another number of units, its balance has not",
    "grant voided": "a grant is void, its units are still in the balance",
    "units drawn": "units are drawn for events that are not stored yet",
    "money held": "holds of money are written, nothing is committed",
    "held money taken": "money is taken out of holds that are still open",
    "units held": "holds of units are written, nothing is committed",
    "held units returned": "what holds had of grants is returned, what was used of it is not counted",
    "holds expired": "holds whose time was over are closed, nothing is committed",
    "group committed": "a group of commands is committed, none of those who sent them has been answered",
    "wallet topped up": "a top-up is posted, nothing is committed",
    "wallets settled": "invoices are paid out of wallets that have money by now, the next batch has not begun",
    "payment posted": "each part of a payment is posted, the payment is not recorded",
    "refund paid out": "money has gone out, the refund does not know of it",
    "invoice credited": "an invoice has its credit note, and still the state that it had",
    "invoice written off": "what is open of an invoice is written off, or taken up again; its state is the old one",
    "credit granted": "a credit is posted, its entry is not written",
    "credit added to": "more is posted to a credit, its entry is not written",
    "credits used": "credits are used for invoices that are not issued",
    "credits given back": "credits have again what an invoice used of them, it is not taken back yet",
    "credits bought": "the credits of what was bought are given, the purchase still waits",
    "credits of cycles given": "the credits of cycles that have begun are given, nothing is committed",
    "credit voided": "a credit is void, what is left of it is not posted",
    "credits expired": "what is left of credits is posted to breakage, their entries are not written",
    "custom invoice issued": "a custom invoice is issued, nothing is committed",
    "invoices merged": "invoices are part of a composite that is not made yet",
    "composite frozen": "a composite is frozen, nothing is committed",
    "units of events returned": "units that events drew are returned, the events still count",
    "events corrected": "events and rollups are as corrected, nothing is committed",
    "backup written": "a backup is whole on the disk, it does not have its name yet",
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
