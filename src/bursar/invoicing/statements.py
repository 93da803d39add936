"""Statements of a carrier's accounts: made by hand, read, approved, deleted."""

from collections.abc import Mapping
from typing import Any

from bursar.accounts.invoice_terms import lock_invoice_terms, statement_settings
from bursar.core.caller import Caller
from bursar.core.errors import NotFound, Rejected
from bursar.core.invoice_periods import InvoiceType
from bursar.core.period import show_instant
from bursar.db import audit
from bursar.db.database import Connection, Row
from bursar.db.listing import BIGINT, BOOLEAN, MOMENT, NUMERIC, TEXT, UUID, Column, Lister, Listing, Slice
from bursar.db.queries import Queries
from bursar.invoicing.statement_model import (
    OVERLAPPING,
    TYPES,
    Billed,
    State,
    may_approve,
    may_delete,
    window,
)

queries = Queries("bursar.invoicing", "statements.sql")

_AMOUNTS = ("amount_spent", "amount_earned")
_CALLS = ("calls_count", "successful_calls_count", "calls_duration", "billing_duration")
_INSTANTS = ("first_call_at", "last_call_at")
SIDES = ("originated", "terminated")

STATEMENTS = Lister(
    queries,
    "list_statements",
    {
        "id": Column("s.yeti_id", BIGINT),
        "uuid": Column("s.uuid", UUID),
        "reference": Column("s.reference", TEXT),
        "state": Column("s.state", TEXT),
        "invoice_type": Column("s.type", TEXT),
        "start_date": Column("s.starts_at", MOMENT),
        "end_date": Column("s.ends_at", MOMENT),
        "account_id": Column("a.yeti_id", BIGINT),
        "account_uuid": Column("t.uuid", UUID),
        "account_hidden_at": Column("t.hidden_at", MOMENT),
        "customer": Column("a.customer", BIGINT),
        **{name: Column(f"s.{name}", NUMERIC) for name in _AMOUNTS},
        **{f"{side}_{name}": Column(f"s.{side}_{name}", NUMERIC) for side in SIDES for name in _AMOUNTS},
        **{f"{side}_{name}": Column(f"s.{side}_{name}", BIGINT) for side in SIDES for name in _CALLS},
        **{f"{side}_{name}": Column(f"s.{side}_{name}", MOMENT) for side in SIDES for name in _INSTANTS},
        **{f"services_{name}": Column(f"s.services_{name}", NUMERIC) for name in _AMOUNTS},
        "service_transactions_count": Column("s.service_transactions_count", BIGINT),
    },
)

_BREAKDOWN = {
    "id": Column("d.yeti_id", BIGINT),
    "invoice_id": Column("s.yeti_id", BIGINT),
    "invoice_account_id": Column("a.yeti_id", BIGINT),
    "amount": Column("d.amount", NUMERIC),
    "spent": Column("d.spent", BOOLEAN),
}
_OF_CALLS = {
    **_BREAKDOWN,
    "rate": Column("d.rate", NUMERIC),
    "country_id": Column("d.country", BIGINT),
    "network_id": Column("d.network", BIGINT),
    **{name: Column(f"d.{name}", BIGINT) for name in _CALLS},
    **{name: Column(f"d.{name}", MOMENT) for name in _INSTANTS},
}
_DESTINATIONS = Lister(queries, "list_destinations", {**_OF_CALLS, "dst_prefix": Column("d.dst_prefix", TEXT)})
_NETWORKS = Lister(queries, "list_networks", _OF_CALLS)
_SERVICES = Lister(
    queries,
    "list_services",
    {
        **_BREAKDOWN,
        "service_id": Column("v.yeti_id", BIGINT),
        "transactions_count": Column("d.transactions_count", BIGINT),
    },
)


async def list_statements(connection: Connection, workspace: int, listing: Listing) -> Slice[Row]:
    """Statements; `STATEMENTS` has the fields. Accounts that the carrier deleted keep theirs."""
    return await STATEMENTS.fetch(connection, listing, workspace)


async def list_destinations(connection: Connection, workspace: int, side: str, listing: Listing) -> Slice[Row]:
    """Calls of statements by destination; `side` is one of `SIDES`."""
    return await _DESTINATIONS.fetch(connection, listing, workspace, side)


async def list_networks(connection: Connection, workspace: int, side: str, listing: Listing) -> Slice[Row]:
    """Calls of statements by network; `side` is one of `SIDES`."""
    return await _NETWORKS.fetch(connection, listing, workspace, side)


async def list_services(connection: Connection, workspace: int, listing: Listing) -> Slice[Row]:
    """What statements have of services."""
    return await _SERVICES.fetch(connection, listing, workspace)


async def create_statement(connection: Connection, caller: Caller, values: Mapping[str, Any]) -> int:
    """Make a statement of `account` (its number) over `start_date` to `end_date` (texts); returns its number.

    It is New, and filled soon. Raises `Rejected` for what breaks a rule.
    """
    number = values.get("account")
    row = None if number is None else await connection.fetchrow(queries.statement_account, caller.workspace, number)
    billed = None
    if row is not None:
        terms = (await lock_invoice_terms(connection, caller.workspace, [row["key"]]))[0]
        billed = Billed(terms.zone, automatic=terms.next is not None)
    period = window(billed, values.get("start_date"), values.get("end_date"), caller.now)
    assert row is not None  # a window is of an account
    account = row["key"]
    if await connection.fetchval(
        queries.overlapping_statement, caller.workspace, account, period.start, period.end
    ):  # fmt: skip
        raise Rejected([("", OVERLAPPING)])
    settings = (await statement_settings(connection, caller.workspace, [account]))[account]
    made = await connection.fetchrow(
        queries.insert_statements,
        caller.workspace,
        caller.now,
        [account],
        [row["currency"]],
        [settings.reference],
        [TYPES[InvoiceType.MANUAL]],
        [period.start],
        [period.end],
    )
    assert made is not None
    identifier: int = made["yeti_id"]
    detail = {"account": number, "start": show_instant(period.start), "end": show_instant(period.end)}
    await audit.record(connection, caller, "create", "statement", str(identifier), detail)
    return identifier


async def approve_statement(connection: Connection, caller: Caller, number: int) -> None:
    """Approve a filled statement. Raises `NotFound`, and `WrongState` for one that is not filled or is approved."""
    row = await _locked(connection, caller, number)
    may_approve(State(row["state"]))
    await connection.execute(queries.approve_statements, caller.workspace, [row["key"]], caller.now)
    await audit.record(connection, caller, "approve", "statement", str(number))


async def delete_statement(connection: Connection, caller: Caller, number: int) -> None:
    """Remove a statement with its breakdown. Raises `NotFound`, and `WrongState` for an approved one."""
    row = await _locked(connection, caller, number)
    may_delete(State(row["state"]))
    await connection.execute(queries.delete_statement, caller.workspace, row["key"])
    await audit.record(connection, caller, "delete", "statement", str(number))


async def _locked(connection: Connection, caller: Caller, number: int) -> Row:
    row = await connection.fetchrow(queries.lock_statement, caller.workspace, number)
    if row is None:
        raise NotFound("statement", str(number))
    return row
