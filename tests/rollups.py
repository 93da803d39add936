"""What was measured: rollups, and what is not folded into them yet."""

from decimal import Decimal

from bursar.db.database import Database
from tests.conftest import Server, Tenant

WHOLE = """(
    select workspace, account, meter_version, bucket, events, quantity from usage_rollup
    union all
    select workspace, account, meter_version, bucket, events, quantity from usage_delta_sum
)"""


def measured(server: Server, tenant: Tenant) -> list[tuple[Decimal, int]]:
    """Quantity and events of a workspace by quarter of an hour, for each account and meter; empty ones left out."""

    async def read(db: Database) -> list[tuple[Decimal, int]]:
        async with db.transaction(None) as connection:
            rows = await connection.fetch(
                f"select sum(quantity) as quantity, sum(events)::bigint as events from {WHOLE} s where workspace = $1"
                " group by account, meter_version, bucket having sum(events) > 0 order by bucket",
                tenant.caller.workspace,
            )
            return [(row["quantity"], row["events"]) for row in rows]

    found: list[tuple[Decimal, int]] = server.run(read)
    return found
