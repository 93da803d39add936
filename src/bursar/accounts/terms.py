"""Accounts as a carrier makes them: with limits of their balance, capacities, and when they are invoiced.

The same rows as the accounts of `service`. A carrier deletes an account by hiding it: gone at its door, archived at the
other; no posting, event or document goes.
"""

from collections.abc import Mapping
from typing import Any

import asyncpg

from bursar.accounts import gate, service
from bursar.accounts.api_accesses import forget_account
from bursar.accounts.terms_rules import DEFAULTS, MISSING, TAKEN, Facts, check_terms, next_invoice
from bursar.core.caller import Caller
from bursar.core.errors import NotFound, Rejected, Unavailable
from bursar.core.ids import draw
from bursar.db import audit
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries
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


async def create_agreed(connection: Connection, caller: Caller, given: Mapping[str, Any]) -> dict[str, Any]:
    """A new account of the values `given`; returns all values with `id`, its number, and `key`.

    Its id at the other door is the text of the number. Without a currency it has the workspace's. Raises `Rejected`.
    """
    values = {**DEFAULTS, "currency": caller.currency, **given}
    facts = await _facts(connection, caller, values, None)
    await _keep(connection, caller, facts)
    number = await _number(connection, caller)
    next_at, next_type = next_invoice(values, None, caller.now)
    try:
        row = await connection.fetchrow(
            queries.insert_agreed, caller.workspace, facts["contractor"], number, draw("account"), values["currency"],
            values["timezone"], caller.wall, values["name"], draw("alias"), values["uuid"],
            *(values[field] for field in _STORED), next_at, next_type, values["invoice_template"],
        )  # fmt: skip
    except (asyncpg.UniqueViolationError, asyncpg.ExclusionViolationError) as error:
        raise _clash(error) from None
    assert row is not None
    await _thresholds(connection, caller, row["account"], values, DEFAULTS)
    await audit.record(connection, caller, "create", "account", str(number))
    return {**values, "id": number, "key": row["account"], "uuid": row["uuid"]}


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
    facts = await _facts(connection, caller, values, before)
    if values["contractor"] != before["contractor"]:
        await _keep(connection, caller, facts)
    next_at, next_type = next_invoice(values, before, caller.now)
    try:
        await connection.execute(
            queries.update_agreed, caller.workspace, before["key"], facts["contractor"], values["timezone"],
            caller.wall, values["name"], values["uuid"], *(values[field] for field in _STORED), next_at, next_type,
            values["invoice_template"],
        )  # fmt: skip
    except (asyncpg.UniqueViolationError, asyncpg.ExclusionViolationError) as error:
        raise _clash(error) from None
    await _thresholds(connection, caller, before["key"], values, before)
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


async def _facts(
    connection: Connection, caller: Caller, values: Mapping[str, Any], before: Mapping[str, Any] | None
) -> Row:
    """What decides on values. Keeps those that are unique from others; raises `Rejected` for all that is wrong."""
    changed = [f for f in _UNIQUE if values[f] is not None and (before is None or before[f] != values[f])]
    if changed:
        held = [f"account {field} {values[field]}" for field in changed]
        await connection.execute(queries.hold_terms, caller.workspace, held)
    row = await connection.fetchrow(
        queries.facts_of_terms, caller.workspace, values["contractor"], values["name"], values["external_id"],
        values["uuid"], values["currency"], None if before is None else before["key"],
    )  # fmt: skip
    assert row is not None
    facts = Facts(
        row["contractor"] is not None,
        bool(row["archived"]),
        row["currency"],
        row["name"],
        row["external_id"],
        row["uuid"],
    )
    problems = check_terms(values, facts, None if before is None else dict(before))
    if problems:
        raise Rejected(problems)
    return row


async def _thresholds(
    connection: Connection, caller: Caller, account: int, values: Mapping[str, Any], before: Mapping[str, Any]
) -> None:
    """Have the balance looked at, soon, where its thresholds have changed."""
    if any(values[field] != before[field] for field in ("balance_low_threshold", "balance_high_threshold")):
        await outbox.add(connection, caller.workspace, caller.wall, [(THRESHOLDS, {"account": account})])


async def _keep(connection: Connection, caller: Caller, facts: Row) -> None:
    """Keep the contractor as it is until the transaction ends."""
    if await connection.fetchval(queries.keep_contractor, caller.workspace, facts["contractor"]) is None:
        raise Rejected([("contractor", MISSING)])


async def _number(connection: Connection, caller: Caller) -> int:
    while True:
        row = await connection.fetchrow(queries.draw_account_number, caller.workspace)
        assert row is not None
        if not row["taken"]:
            return int(row["number"])


def _clash(error: asyncpg.PostgresError) -> Exception:
    """Who came first: the last walls, for values of another workspace and of requests at the other door."""
    constraint = str(getattr(error, "constraint_name", ""))
    if "external" in constraint:
        return Rejected([("external_id", TAKEN)])
    if "uuid" in constraint:
        return Rejected([("uuid", TAKEN)])
    return Unavailable("another request took the same id at the same time; try again")
