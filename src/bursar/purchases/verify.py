"""What must always hold of services, charges and grants."""

from decimal import Decimal

from bursar.catalog import plans
from bursar.db.database import Connection
from bursar.db.verify import Check
from bursar.purchases import grants, holds, licenses, orders
from bursar.purchases.order_model import grants_of
from bursar.purchases.service_store import queries

_PAGE = 200
_LIMIT = 20


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


async def _granted(connection: Connection) -> list[str]:
    rows = await connection.fetch(grants.queries.wrong_grants)
    return [
        f"grant {r['key']} of workspace {r['workspace']} holds {r['held']:f} and has used {r['used']:f} where its"
        f" entries say {r['entered']:f} and {r['drawn']:f}"
        for r in rows
    ]


async def _balanced(connection: Connection) -> list[str]:
    rows = await connection.fetch(grants.queries.wrong_feature_balances)
    return [
        f"feature balance {r['key']} of workspace {r['workspace']} shows {r['balance']:f} where its grants hold"
        f" {r['left_over']:f}"
        for r in rows
    ]


async def _drawn(connection: Connection) -> list[str]:
    rows = await connection.fetch(grants.queries.draws_without_event)
    return [
        f"entry {r['key']} of workspace {r['workspace']} is a draw for an event that its account does not have"
        for r in rows
    ]


async def _set_aside(connection: Connection) -> list[str]:
    grants_wrong = await connection.fetch(holds.queries.wrong_units_held)
    wrong = await connection.fetch(holds.queries.wrong_holds)
    return [
        *(
            f"grant {r['key']} of workspace {r['workspace']} has {r['held']:f} set aside where holds have"
            f" {r['amount']:f}"
            for r in grants_wrong
        ),
        *(
            f"hold {r['key']} of workspace {r['workspace']} of {r['amount']:f} has {r['parts']:f} set aside, and"
            f" entries of {r['entered']:f} where it was settled at {r['settled']:f}"
            for r in wrong
        ),
    ]


async def _bought(connection: Connection) -> list[str]:
    problems = [
        f"grant {r['wire_id']} of workspace {r['workspace']} is of no purchase that was carried out"
        for r in await connection.fetch(orders.queries.stray_grants)
    ]
    problems += [
        f"association {r['wire_id']} of workspace {r['workspace']} is {r['status']} and its schedule does not say so"
        for r in await connection.fetch(orders.queries.unassociated_purchases)
    ]
    last = 0
    while rows := await connection.fetch(orders.queries.page_granting, last, _PAGE):
        last = rows[-1]["key"]
        for row in rows:
            purchase = orders.purchase_of(row)
            assert purchase.version is not None
            plan = await plans.version(connection, row["workspace"], purchase.version)
            wanted = [
                (one.id, one.feature_id, one.units)
                for one in grants_of(purchase, plan.details, purchase.created_at, "UTC")
            ]
            found = [(name, feature, Decimal(units)) for name, feature, units in map(str.split, row["granted"])]
            if sorted(found) != sorted(wanted):
                problems.append(f"purchase {purchase.id} granted {found} where its plan gives {wanted}")
    return problems[:_LIMIT]


async def _licensed(connection: Connection) -> list[str]:
    wrong = await connection.fetch(licenses.queries.wrong_quantities)
    stray = await connection.fetch(licenses.queries.stray_licenses)
    return [
        *(
            f"license update {r['key']} of workspace {r['workspace']} shows {r['quantity']:f} where those up to it come"
            f" to {r['held']:f}"
            for r in wrong
        ),
        *(
            f"license update {r['key']} of workspace {r['workspace']} is of {r['wire_id']}, a {r['type']}"
            for r in stray
        ),
    ]


CHECKS: list[Check] = [
    Check("I3", "the number of licences is what their updates come to", _licensed),
    Check("I3", "every purchase gave exactly what its plan and quantities say, and nothing else did", _bought),
    Check("I3", "every charge took exactly its amount from its account's wallet", _posted),
    Check("I3", "charges and free minutes are of their services' accounts", _of_their_accounts),
    Check("I3", "every grant holds what its entries sum to", _granted),
    Check("I3", "every balance of a feature is what is left of its grants", _balanced),
    Check("I3", "units are drawn for events that were let in", _drawn),
    Check("I3", "grants have set aside what holds have of them, and gave what these were settled at", _set_aside),
]
