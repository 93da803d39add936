"""What must always hold of customers, accounts and settings."""

from bursar.accounts.settings import queries
from bursar.accounts.terms import queries as terms
from bursar.db.database import Connection
from bursar.db.verify import Check


async def _settings(connection: Connection) -> list[str]:
    return [
        f"setting {r['namespace']}.{r['setting_id']} of {r['entity_type']} {r['entity_id']!r} in workspace"
        f" {r['workspace']} does not say what its newest version says"
        for r in await connection.fetch(queries.wrong_settings)
    ]


async def _whole(connection: Connection) -> list[str]:
    return [
        f"{r['kind']} {r['togai_id']!r} of workspace {r['workspace']} lacks its profile or terms"
        for r in await connection.fetch(queries.without_profile)
    ]


async def _counted(connection: Connection) -> list[str]:
    return [
        f"workspace {r['workspace']} has {r['accounts']} accounts that a carrier sees, its counters say {r['counted']}"
        for r in await connection.fetch(terms.wrong_counts)
    ]


async def _named(connection: Connection) -> list[str]:
    return [
        f"the name {r['value']!r} of workspace {r['workspace']} leads to two accounts at one time"
        for r in await connection.fetch(terms.shared_names)
    ]


CHECKS: list[Check] = [
    Check("I12", "every setting says what its newest version says", _settings),
    Check("I10", "every customer and account has its profile and terms", _whole),
    Check("I10", "as many accounts are seen as are counted", _counted),
    Check("I10", "no name leads to two accounts at one time", _named),
]
