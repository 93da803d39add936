"""What must always hold of the ledger."""

from bursar.db.database import Connection
from bursar.db.verify import Check
from bursar.ledger import credit_store, holds
from bursar.ledger.store import queries
from bursar.ledger.watch import State


async def _balanced(connection: Connection) -> list[str]:
    rows = await connection.fetch(queries.unbalanced_transactions)
    empty = await connection.fetch(queries.empty_transactions)
    return [
        *(f"transaction {r['transaction']} is off by {r['left_over'].normalize():f} {r['currency']}" for r in rows),
        *(f"transaction {r['key']} has no postings" for r in empty),
    ]


async def _balances(connection: Connection) -> list[str]:
    rows = await connection.fetch(queries.wrong_balances)
    return [
        f"the {r['kind']} account {r['key']} of workspace {r['workspace']} shows {r['balance']:f}"
        f" where its postings sum to {r['posted']:f}"
        for r in rows
    ]


async def _places(connection: Connection) -> list[str]:
    rows = await connection.fetch(queries.stray_postings)
    return [f"line {r['line']} of transaction {r['transaction']} is in a wrong workspace or currency" for r in rows]


async def _watched(connection: Connection) -> list[str]:
    wrong = await connection.fetch(queries.wrong_watches)
    unnoted = await connection.fetch(queries.unnoted_watches)
    return [
        *(
            f"the wallet of account {r['account']} is watched as {State(r['watch']).name} at {r['balance']:f} where its"
            f" thresholds are {r['low']} and {r['high']}"
            for r in wrong
        ),
        *(
            f"the wallet of account {r['account']} is watched as {State(r['watch']).name}, which was not told last"
            for r in unnoted
        ),
    ]


async def _set_aside(connection: Connection) -> list[str]:
    held = await connection.fetch(holds.queries.wrong_held)
    settled = await connection.fetch(holds.queries.wrong_settled)
    return [
        *(
            f"wallet {r['ledger_account']} of workspace {r['workspace']} has {r['held']:f} set aside where its holds"
            f" come to {r['amount']:f}"
            for r in held
        ),
        *(
            f"hold {r['key']} of workspace {r['workspace']} was settled at {r['settled']:f}, its wallet went down by"
            f" {r['posted']:f}"
            for r in settled
        ),
    ]


async def _credited(connection: Connection) -> list[str]:
    rows = await connection.fetch(credit_store.queries.wrong_credits)
    return [
        f"credit {r['wire_id']} has granted {r['granted']:f}, used {r['consumed']:f} and lost {r['lapsed']:f} where its"
        f" entries say {r['entered']:f}, {r['used']:f} and {r['lost']:f}, and holds {r['posted']:f} in the ledger"
        for r in rows
    ]


CHECKS: list[Check] = [
    Check("I3", "the postings of every transaction sum to zero per currency", _balanced),
    Check("I3", "every running balance is the sum of its postings", _balances),
    Check("I3", "what is left of every credit is what its entries and its postings say", _credited),
    Check("I3", "every posting has the workspace and currency of its ledger account", _places),
    Check("I3", "the state of every wallet follows from its balance and thresholds, and was told", _watched),
    Check("I3", "wallets have set aside what their holds come to, and gave what these were settled at", _set_aside),
]
