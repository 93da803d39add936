"""The books as a whole: the trial balance."""

from decimal import Decimal

from bursar.http.door import Answer, Call
from bursar.http.encode import number
from bursar.http.native.door import door
from bursar.ledger.store import trial_balance


class TrialBalanceLine(Answer, kw_only=True):
    """Ledger accounts of one kind and currency. `balance` is debits less credits: of a currency they sum to zero."""

    kind: str
    currency: str
    debits: Decimal
    credits: Decimal
    balance: Decimal


class TrialBalance(Answer, kw_only=True):
    """The workspace's ledger, by currency and kind."""

    lines: list[TrialBalanceLine]


@door.operation(
    "GET", "/bursar/v1/ledger/trial_balance", id="getTrialBalance", tag="Ledger",
    summary="Sum up the ledger's debits and credits", answer=TrialBalance,
)  # fmt: skip
async def get_trial_balance(call: Call) -> TrialBalance:
    """Sum up."""
    async with call.db.reading(call.caller.workspace) as connection:
        lines = await trial_balance(connection, call.caller.workspace)
    return TrialBalance(
        lines=[
            TrialBalanceLine(
                kind=line.kind.value,
                currency=line.currency,
                debits=number(line.debits),
                credits=number(line.credits),
                balance=number(line.balance),
            )
            for line in lines
        ]
    )
