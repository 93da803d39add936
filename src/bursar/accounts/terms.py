"""Accounts as a carrier makes them: with limits of their balance, capacities, and when they are invoiced.

The same rows as the accounts of `service`. A carrier deletes an account by hiding it: gone at its door, archived at the
other; no posting, event or document goes.
"""

import uuid
import zlib
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from bursar.accounts import gate, service
from bursar.accounts.api_accesses import forget_account
from bursar.accounts.terms_rules import DEFAULTS, TAKEN, Facts, check_terms, next_invoice
from bursar.core.caller import Caller
from bursar.core.errors import BursarError, NotFound, Rejected, Unavailable
from bursar.core.ids import draw
from bursar.db import audit
from bursar.db.database import Connection, Row
from bursar.db.grouping import Grouped
from bursar.db.queries import Queries, numbers, texts
from bursar.notify import outbox

queries = Queries("bursar.accounts", "terms.sql")

THRESHOLDS = "thresholds"
"""Topic of the outbox: the thresholds of an account were set; `{account}` is its key."""
_UNIQUE = ("name", "external_id", "uuid")
_STORED = (
    "external_id", "min_balance", "max_balance", "vat", "balance_low_threshold", "balance_high_threshold",
    "send_balance_notifications_to", "destination_rate_limit", "max_call_duration", "origination_capacity",
    "termination_capacity", "total_capacity", "send_invoices_to", "invoice_period_id",
)  # fmt: skip
"""What the table of terms holds, in the order of its columns, beside its uuid and what follows from the period."""
_COLUMNS = ("id", "key", *DEFAULTS)
_INSERT = queries.insert_agreed.replace("{audit}", audit.ROWS)
_LISTS = ("send_balance_notifications_to", "send_invoices_to")


_HALF = 2**31
"""What takes a checksum of 32 bits to where the integers of a lock are."""

Agreed = dict[str, Any]
"""All values of an account, with `id`, its number, and `key`."""


async def create_agreed(connection: Connection, caller: Caller, given: Mapping[str, Any]) -> Agreed:
    """A new account of the values `given`; its id at the other door is the text of its number.

    Without a currency it has the workspace's. Raises `Rejected`.
    """
    (outcome,) = await create_all_agreed(connection, [(caller, given)])
    if isinstance(outcome, BursarError):
        raise outcome
    return outcome


async def create_all_agreed(
    connection: Connection, wanted: Sequence[tuple[Caller, Mapping[str, Any]]]
) -> list[Agreed | BursarError]:
    """New accounts of one workspace, one after the other, with as many statements as for one.

    Each has its outcome: an account, or `Rejected`. Raises what undoes all of them: of one alone `Rejected` or
    `Unavailable`.
    """
    holding = _holding(wanted)
    if holding:
        await connection.execute(holding)
    return await _create_held(connection, wanted)


async def _create_held(
    connection: Connection, wanted: Sequence[tuple[Caller, Mapping[str, Any]]]
) -> list[Agreed | BursarError]:
    """As `create_all_agreed`, where the values that must be unique are held already."""
    caller = wanted[0][0]
    every = [{**DEFAULTS, "currency": one.currency, **given} for one, given in wanted]
    rows = await _facts(connection, caller, every, None)
    seen: dict[str, set[Any]] = {field: set() for field in _UNIQUE}
    outcomes: list[Agreed | BursarError | None] = []
    new: list[_New] = []
    for (one, _), values, row in zip(wanted, every, rows, strict=True):
        problems = check_terms(values, _known(row, values, seen), None)
        outcomes.append(Rejected(problems) if problems else None)
        if not problems:
            number = None if row["number_taken"] else row["number"]
            new.append(_New(one, values, row["contractor"], row["key"], number))
            for field in _UNIQUE:
                seen[field] |= {values[field]} - {None}
    if new:
        try:
            made = iter(await _insert(connection, caller, new))
        except (asyncpg.UniqueViolationError, asyncpg.ExclusionViolationError) as error:
            if len(wanted) > 1:
                raise
            raise _clash(error) from None
        outcomes = [next(made) if outcome is None else outcome for outcome in outcomes]
    return [outcome for outcome in outcomes if outcome is not None]


@dataclass(frozen=True, slots=True)
class _New:
    """An account that may be made: who asked, its values, keys of its customer and itself, its number if it has one."""

    caller: Caller
    values: Mapping[str, Any]
    customer: int
    key: int
    number: int | None


async def _insert(connection: Connection, caller: Caller, new: Sequence[_New]) -> list[Agreed]:
    """Accounts as rows, with what is to be looked at and their audit rows."""
    spare = iter(await _numbers(connection, caller, sum(one.number is None for one in new)))
    made = [
        {
            **one.values,
            "id": next(spare) if one.number is None else one.number,
            "key": one.key,
            "uuid": one.values["uuid"] or uuid.uuid4(),
        }
        for one in new
    ]
    following = [next_invoice(one.values, None, one.caller.now) for one in new]
    columns = {field: [agreed[field] for agreed in made] for field in _COLUMNS}
    kinds = (None if kind is None else int(kind) for _, kind in following)
    await connection.execute(
        _INSERT, caller.workspace, caller.wall, numbers(one.customer for one in new), numbers(columns["id"]),
        texts(draw("account") for _ in new), texts(columns["currency"]), texts(columns["timezone"]),
        texts(columns["name"]), texts(draw("alias") for _ in new), numbers(columns["uuid"]),
        *(_array(field, columns[field]) for field in _STORED), texts(_moment(at) for at, _ in following),
        numbers(kinds), numbers(columns["invoice_template"]), texts(one.caller.actor for one in new),
        numbers(columns["key"]),
    )  # fmt: skip
    await _look_at(connection, caller, [agreed["key"] for agreed in made if _differ(agreed, DEFAULTS)])
    return made


def _array(field: str, values: Sequence[Any]) -> str:
    """A column as the statement takes it: numbers, or lists of numbers each in a text of its own."""
    if field in _LISTS:
        return texts(None if value is None else numbers(value) for value in values)
    return numbers(values)


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


class NewAccounts(Grouped[Mapping[str, Any], Agreed]):
    """The accounts that one process makes, those that come at once in one transaction."""

    def __init__(self) -> None:
        super().__init__(_create_held, first=_holding)


async def update_agreed(
    connection: Connection, caller: Caller, number: int, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Change an account; returns what was agreed before. Raises `NotFound` or `Rejected`."""
    if "contractor" in given:
        # Admission must see it: settings of the customer hold for its accounts. The gate comes before any row.
        await gate.change(
            connection, caller.workspace, "account", (await find_agreed(connection, caller, number))["key"]
        )
    row = await connection.fetchrow(queries.lock_agreed, caller.workspace, number, caller.timezone)
    if row is None:
        raise NotFound("account", str(number))
    before = dict(row)
    values = {**{field: before[field] for field in DEFAULTS}, **given}
    changed = {field: value for field, value in values.items() if value != before[field]}
    holding = _holding([(caller, changed)])
    if holding:
        await connection.execute(holding)
    (facts,) = await _facts(connection, caller, [values], before)
    problems = check_terms(values, _known(facts, values, {}), before)
    if problems:
        raise Rejected(problems)
    next_at, next_type = next_invoice(values, before, caller.now)
    try:
        await connection.execute(
            queries.update_agreed, caller.workspace, before["key"], facts["contractor"] or before["customer"],
            values["timezone"], caller.wall, values["name"], values["uuid"], *(values[field] for field in _STORED),
            next_at, next_type, values["invoice_template"],
        )  # fmt: skip
    except (asyncpg.UniqueViolationError, asyncpg.ExclusionViolationError) as error:
        raise _clash(error) from None
    if _differ(values, before):
        await _look_at(connection, caller, [before["key"]])
    await audit.record(connection, caller, "update", "account", before["togai_id"])
    return before


async def delete_agreed(connection: Connection, caller: Caller, number: int) -> None:
    """Hide an account from the carrier and archive it at the other door. Raises `NotFound`."""
    found = await find_agreed(connection, caller, number)
    if not found["archived"]:
        await service.archive_account(connection, caller, found["togai_id"])
    await connection.execute(queries.hide_agreed, caller.workspace, found["key"], caller.wall)
    await forget_account(connection, caller, number)
    await audit.record(connection, caller, "delete", "account", found["togai_id"])


async def find_agreed(connection: Connection, caller: Caller, number: int) -> Row:
    """The `key`, `togai_id`, `customer` (key) and `archived` of an account, by its number. Raises `NotFound`."""
    row = await connection.fetchrow(queries.account_key, caller.workspace, number)
    if row is None:
        raise NotFound("account", str(number))
    return row


def _holding(wanted: Iterable[tuple[Caller, Mapping[str, Any]]]) -> str:
    """The statement that keeps values that must be unique from others until the transaction ends; or nothing."""
    held = {
        zlib.crc32(f"{caller.workspace} {field} {values[field]}".encode()) - _HALF
        for caller, values in wanted
        for field in _UNIQUE
        if values.get(field) is not None
    }
    return queries.hold_terms.replace("{places}", numbers(sorted(held))) if held else ""


async def _facts(
    connection: Connection, caller: Caller, every: Sequence[Mapping[str, Any]], before: Mapping[str, Any] | None
) -> list[Row]:
    """What decides on values, for each, by a statement after `_holding`: it sees what was done while that waited.

    A contractor that is as `before` decides nothing and is not looked up, nor kept.
    """
    stays = None if before is None else before["contractor"]
    return await connection.fetch(
        queries.facts_of_terms, caller.workspace,
        numbers(None if values["contractor"] == stays else values["contractor"] for values in every),
        texts(values["name"] for values in every), numbers(values["external_id"] for values in every),
        numbers(values["uuid"] for values in every), texts(values["currency"] for values in every),
        None if before is None else before["key"],
    )  # fmt: skip


def _known(row: Row, values: Mapping[str, Any], seen: Mapping[str, Container[Any]]) -> Facts:
    """What is known of values; `seen` are unique ones of accounts that are made before, in the same transaction."""
    taken = {field: row[field] or values[field] in seen.get(field, ()) for field in _UNIQUE}
    return Facts(row["contractor"] is not None, row["archived"], row["currency"], **taken)


def _differ(values: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether thresholds of the balance are others than before."""
    return any(values[field] != before[field] for field in ("balance_low_threshold", "balance_high_threshold"))


async def _look_at(connection: Connection, caller: Caller, accounts: Sequence[int]) -> None:
    """Have balances looked at, soon: their thresholds have changed."""
    await outbox.add(connection, caller.workspace, caller.wall, [(THRESHOLDS, {"account": key}) for key in accounts])


async def _numbers(connection: Connection, caller: Caller, count: int) -> list[int]:
    """So many numbers for new accounts."""
    drawn: list[int] = []
    while len(drawn) < count:
        rows = await connection.fetch(queries.draw_account_numbers, caller.workspace, count - len(drawn))
        drawn += [row["number"] for row in rows]
    return drawn


def _clash(error: asyncpg.PostgresError) -> Exception:
    """Who came first: the last walls, for values of another workspace and of requests at the other door."""
    constraint = str(getattr(error, "constraint_name", ""))
    if "external" in constraint:
        return Rejected([("external_id", TAKEN)])
    if "uuid" in constraint:
        return Rejected([("uuid", TAKEN)])
    return Unavailable("another request took the same id at the same time; try again")
