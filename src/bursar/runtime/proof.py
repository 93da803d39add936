"""Every invariant of every room, checked over all data."""

from bursar.db.database import Database
from bursar.db.verify import Check
from bursar.invoicing.verify import CHECKS as INVOICING
from bursar.ledger.verify import CHECKS as LEDGER
from bursar.runtime.output import progress
from bursar.usage.verify import CHECKS as USAGE

CHECKS: list[Check] = [*USAGE, *LEDGER, *INVOICING]


async def prove(db: Database, *, quiet: bool = False) -> dict[str, list[str]]:
    """What does not hold, by invariant and name; empty lists where all is well. Each check sees one snapshot."""
    result: dict[str, list[str]] = {}
    with progress("verify", len(CHECKS), quiet=quiet) as advance:
        for check in CHECKS:
            async with db.snapshot() as connection:
                result[f"{check.invariant} {check.name}"] = await check.run(connection)
            advance(1)
    return result
