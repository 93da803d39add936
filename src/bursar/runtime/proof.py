"""Every invariant of every room, checked over all data."""

from collections.abc import Mapping

from bursar.accounts.verify import CHECKS as ACCOUNTS
from bursar.accounts.workspaces import list_workspaces
from bursar.db.database import Connection, Database
from bursar.db.seal import CHECKS as SEAL
from bursar.db.seal import Head, seal_rest, unreached
from bursar.db.verify import Check
from bursar.invoicing.verify import CHECKS as INVOICING
from bursar.invoicing.verify_orders import CHECKS as ORDERS
from bursar.invoicing.verify_statements import CHECKS as STATEMENTS
from bursar.ledger.verify import CHECKS as LEDGER
from bursar.purchases.verify import CHECKS as PURCHASES
from bursar.runtime.output import progress
from bursar.usage.verify import CHECKS as USAGE

CHECKS: list[Check] = [*ACCOUNTS, *USAGE, *LEDGER, *PURCHASES, *INVOICING, *ORDERS, *STATEMENTS, *SEAL]


async def prove(db: Database, *, kept: Mapping[str, Head] | None = None, quiet: bool = False) -> dict[str, list[str]]:
    """What does not hold, by invariant and name; empty lists where all is well. Each check sees one snapshot.

    `kept` are heads of the audit chains that were kept outside the database, by name of workspace. Audit rows that are
    not sealed yet are sealed first.
    """
    await seal_rest(db)
    checks = [*CHECKS, _reaching(kept or {})]
    result: dict[str, list[str]] = {}
    with progress("verify", len(checks), quiet=quiet) as advance:
        for check in checks:
            async with db.snapshot() as connection:
                result[f"{check.invariant} {check.name}"] = await check.run(connection)
            advance(1)
    return result


def _reaching(kept: Mapping[str, Head]) -> Check:
    async def run(connection: Connection) -> list[str]:
        keys = {workspace.name: workspace.key for workspace in await list_workspaces(connection)}
        problems = []
        for name, head in kept.items():
            problem = await unreached(connection, keys[name], head) if name in keys else "the workspace is gone"
            if problem:
                problems.append(f"workspace {name!r}: {problem}")
        return problems

    return Check("I11", "the audit trail goes through every head that was kept", run)
