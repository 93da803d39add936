"""What must always hold of services and charges."""

from bursar.db.database import Connection
from bursar.db.verify import Check
from bursar.purchases.service_store import queries


async def _posted(connection: Connection) -> list[str]:
    wrong = await connection.fetch(queries.charges_without_posting)
    lone = await connection.fetch(queries.postings_without_charge)
    return [
        *(f"transaction {r['yeti_id']} of workspace {r['workspace']} is of {r['amount']:f}, its wallet went down by"
          f" {r['posted']}" for r in wrong),
        *(f"movement {r['key']} of workspace {r['workspace']} belongs to no transaction" for r in lone),
    ]  # fmt: skip


async def _of_their_accounts(connection: Connection) -> list[str]:
    charges = await connection.fetch(queries.stray_charges)
    counters = await connection.fetch(queries.stray_counters)
    return [
        *(
            f"transaction {r['yeti_id']} of workspace {r['workspace']} is for another account's service"
            for r in charges
        ),
        *(f"package counter {r['yeti_id']} of workspace {r['workspace']} is not its service's" for r in counters),
    ]


CHECKS: list[Check] = [
    Check("I3", "every charge took exactly its amount from its account's wallet", _posted),
    Check("I3", "charges and free minutes are of their services' accounts", _of_their_accounts),
]
