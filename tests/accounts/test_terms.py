"""Accounts of a carrier that are made together, and how many there are."""

import asyncio
import random
from contextlib import suppress
from typing import Any

from bursar.accounts.contractors import create_contractor
from bursar.accounts.terms import create_agreed, create_all_agreed, delete_agreed
from bursar.accounts.verify import CHECKS
from bursar.core.caller import Caller
from bursar.core.errors import BursarError, Rejected
from bursar.core.invoice_periods import InvoicePeriod
from bursar.db.database import Connection, Database
from bursar.db.listing import Listing
from bursar.ledger.accounts import list_accounts
from tests.conftest import new_workspace


class _Undone(Exception):
    """Ends a transaction whose effects are to be gone."""


NEVER = 999_999
"""No contractor has this number."""


async def _carrier(database: Database) -> tuple[Caller, int]:
    caller = (await new_workspace(database))[0]
    async with database.transaction(caller.workspace) as connection:
        return caller, await create_contractor(connection, caller, {"name": "Carrier", "vendor": True})


def _random(chance: random.Random, owner: int) -> dict[str, Any]:
    given: dict[str, Any] = {
        "name": chance.choice([None, "one", "two", "three", "four"]),
        "contractor": chance.choice([owner, owner, owner, NEVER]),
        "external_id": chance.choice([None, None, 1, 2]),
        "invoice_period_id": chance.choice([None, InvoicePeriod.MONTHLY]),
        "send_invoices_to": chance.choice([None, [3, 4], [5]]),
        "vat": chance.choice([20, 20, 20, 200]),
    }
    return {name: value for name, value in given.items() if value is not None}


def _shown(outcome: dict[str, Any] | BursarError) -> object:
    if isinstance(outcome, BursarError):
        assert isinstance(outcome, Rejected)
        return outcome.problems
    # Keys and uuids are drawn; refused ones took no number.
    return {name: value for name, value in outcome.items() if name not in ("key", "uuid")}


async def _one_by_one(connection: Connection, caller: Caller, wanted: list[dict[str, Any]]) -> list[object]:
    outcomes: list[object] = []
    for given in wanted:
        try:
            outcomes.append(_shown(await create_agreed(connection, caller, given)))
        except Rejected as error:
            outcomes.append(error.problems)
    return outcomes


async def test_accounts_made_together_are_as_those_made_one_after_the_other(database: Database) -> None:
    chance = random.Random(7)
    made = 0
    for _ in range(6):
        (first, one), (second, other) = await _carrier(database), await _carrier(database)
        assert one == other
        wanted = [_random(chance, one) for _ in range(12)]
        async with database.transaction(first.workspace) as connection:
            apart = await _one_by_one(connection, first, wanted)
        async with database.transaction(second.workspace) as connection:
            together = await create_all_agreed(connection, [(second, given) for given in wanted])
        assert [_shown(outcome) for outcome in together] == apart
        made += sum(isinstance(outcome, dict) for outcome in apart)
    assert made > 12


async def _total(database: Database, caller: Caller) -> tuple[int, int]:
    """How many accounts a list says there are, and how many there are."""
    async with database.transaction(caller.workspace) as connection:
        counted = (await list_accounts(connection, caller, Listing(limit=1))).total
        return counted, (await list_accounts(connection, caller, Listing(counted=False))).total


async def test_the_number_of_accounts_is_kept_by_many_at_once(database: Database) -> None:
    caller, owner = await _carrier(database)
    assert await _total(database, caller) == (0, 0)

    async def work(place: int) -> None:
        for number in range(4):
            async with database.transaction(caller.workspace) as connection:
                made = await create_agreed(connection, caller, {"name": f"{place} {number}", "contractor": owner})
                if number == 2:
                    await delete_agreed(connection, caller, made["id"])

    await asyncio.gather(*(work(place) for place in range(5)))
    assert await _total(database, caller) == (15, 15)
    check = next(check for check in CHECKS if "counted" in check.name)
    off = (
        "update account_count set accounts = accounts + 1 where workspace = $1 and part ="
        " (select min(part) from account_count where workspace = $1)"
    )
    with suppress(_Undone):
        async with database.transaction(None) as connection:
            assert await check.run(connection) == []
            await connection.execute(off, caller.workspace)
            (offender,) = await check.run(connection)
            assert offender == f"workspace {caller.workspace} has 15 accounts that a carrier sees, its counters say 16"
            raise _Undone
