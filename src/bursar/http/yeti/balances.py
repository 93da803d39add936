"""The balance of an account, put right by hand: to a value, or by one."""

from dataclasses import dataclass
from decimal import Decimal

from bursar.http.yeti.door import door
from bursar.http.yeti.jsonapi import DECIMAL, TEXT, Attribute, Resource, Turn, Values
from bursar.http.yeti.jsonapi_errors import foreign_key
from bursar.ledger import corrections
from bursar.ledger.corrections import Corrected


@dataclass(frozen=True, slots=True)
class _Balance:
    """What is shown under the external id."""

    id: int | None
    balance: Decimal


def _check_url(turn: Turn, key: object, *names: int | None) -> None:
    """The document says which account; the URL must not name another."""
    if turn.path["account_id"] not in [str(name) for name in names if name is not None]:
        raise foreign_key(key)


async def _set(turn: Turn, external_id: int, values: Values) -> _Balance:
    account = await corrections.by_external_id(turn.connection, turn.caller, external_id)
    _check_url(turn, external_id, account.id, account.external_id)
    if "balance" in values:
        account = await corrections.set_balance(turn.connection, turn.caller, account, values["balance"])
    return _Balance(account.external_id, account.balance)


async def _correct(turn: Turn, number: int, values: Values) -> Corrected:
    account = await corrections.by_number(turn.connection, turn.caller, number)
    _check_url(turn, number, account.id)
    if "correction" in turn.unread:
        return account
    return await corrections.correct_balance(turn.connection, turn.caller, account, values.get("correction"))


balances = door.add(
    Resource(
        "balances",
        attributes=(Attribute("balance", DECIMAL, "U"),),
        at="/accounts/{account_id}/balance",
        self_path="balances",
        update=_set,
    )
)
balance_corrections = door.add(
    Resource(
        "balance-correction",
        attributes=(
            Attribute("name", TEXT),
            Attribute("balance", DECIMAL),
            Attribute("correction", DECIMAL, "U", readable=False),
        ),
        at="/accounts/{account_id}/balance-correction",
        update=_correct,
    )
)
