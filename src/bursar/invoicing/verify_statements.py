"""What must always hold of statements."""

from bursar.db.database import Connection
from bursar.db.verify import Check
from bursar.invoicing.statements import queries


async def _totals(connection: Connection) -> list[str]:
    rows = await connection.fetch(queries.wrong_totals)
    return [f"the totals of statement {r['yeti_id']} of workspace {r['workspace']} are not its breakdown" for r in rows]


async def _networks(connection: Connection) -> list[str]:
    rows = await connection.fetch(queries.wrong_networks)
    return [f"statement {r['yeti_id']} of workspace {r['workspace']} has other calls by network" for r in rows]


async def _charges(connection: Connection) -> list[str]:
    rows = await connection.fetch(queries.wrong_services)
    return [
        f"the services of statement {r['yeti_id']} of workspace {r['workspace']} are not what was charged in its window"
        for r in rows
    ]


async def _apart(connection: Connection) -> list[str]:
    overlapping = await connection.fetch(queries.overlapping_statements)
    ahead = await connection.fetch(queries.statements_ahead)
    return [
        *(f"statement {r['yeti_id']} of workspace {r['workspace']} overlaps one before it" for r in overlapping),
        *(f"account {r['yeti_id']} of workspace {r['workspace']} would get a period twice" for r in ahead),
    ]


CHECKS: list[Check] = [
    Check("I6", "a statement's totals are those of its breakdown", _totals),
    Check("I6", "a statement has the same calls by network as by destination", _networks),
    Check("I6", "a statement's services are what was charged in its window", _charges),
    Check("I5", "statements of an account do not overlap", _apart),
]
