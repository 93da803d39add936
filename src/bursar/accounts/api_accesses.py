"""Logins of a carrier's customers: kept, changed, and what each opens. Their names are unique on the server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import asyncpg

from bursar.accounts.logins import Config, Network, draw_subject, networks_of, parse_networks, shown
from bursar.accounts.workspaces import Workspace, workspace_of
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, NotFound, Rejected
from bursar.db import audit
from bursar.db.database import Connection, Database, Row
from bursar.db.listing import BIGINT, TEXT, Column, Lister, Listing, Slice
from bursar.db.queries import Queries

queries = Queries("bursar.accounts", "api_accesses.sql")

EVERYWHERE = ("0.0.0.0/0", "::/0")
LOGIN_LIMIT = 255
ACCOUNTS_LIMIT = 500
"""Accounts, and lists of numbers, that a dynamic token can name."""
Problems = list[tuple[str, str]]
_LISTER = Lister(
    queries,
    "list_accesses",
    {
        "id": Column("x.yeti_id", BIGINT),
        "customer_id": Column("c.yeti_id", BIGINT),
        "login": Column("x.login", TEXT),
        "account_ids": Column("array_to_string(x.account_ids, ',')", TEXT),
        "allowed_ips": Column("array_to_string(x.allowed_ips, ',')", TEXT),
    },
)
_TAKEN = "has already been taken"


@dataclass(frozen=True, slots=True)
class AccessTerms:
    """What is said of a login."""

    customer: int | None = None
    """Number of the customer."""
    login: str | None = None
    account_ids: tuple[int, ...] = ()
    """Numbers of the accounts that it shows; none: all of the customer."""
    allowed_ips: tuple[str, ...] = EVERYWHERE
    """Networks from which it may log in."""


@dataclass(frozen=True, slots=True)
class ApiAccess:
    """A login as it is kept, without the password."""

    number: int
    terms: AccessTerms


@dataclass(frozen=True, slots=True)
class Portal:
    """What a login or a dynamic token opens."""

    workspace: Workspace
    customer: int
    """Key of the customer."""
    customer_number: int
    account_ids: tuple[int, ...]
    """Numbers of the accounts; none: all of the customer."""
    networks: tuple[Network, ...] | None
    subject: int | None
    """What its tokens name; None for a dynamic token."""
    access: int | None
    """Number of the login; None for a dynamic token."""
    password_hash: str | None
    config: Config | None = None
    """What a dynamic token says."""


async def list_accesses(connection: Connection, workspace: int, listing: Listing) -> Slice[Row]:
    """Logins of customers that are there; rows have `id`, `customer_id`, its number, `login`, `account_ids`
    and `allowed_ips`."""
    return await _LISTER.fetch(connection, listing, workspace)


async def create_access(
    connection: Connection, caller: Caller, terms: AccessTerms, password_hash: str | None
) -> ApiAccess:
    """A new login. Raises `Rejected` with all that is wrong."""
    missing = [] if password_hash else [("password", "can't be blank")]
    customer, networks = await _check(connection, caller, terms, None, missing)
    number = await connection.fetchval(
        queries.insert_access, caller.workspace, customer, draw_subject(), terms.login, password_hash,
        _once(terms.account_ids), networks, caller.wall,
    )  # fmt: skip
    if number is None:
        raise Rejected([("login", _TAKEN)])
    await audit.record(connection, caller, "create", "api_access", str(number), {"accounts": list(terms.account_ids)})
    return await get_access(connection, caller.workspace, number)


async def change_access(
    connection: Connection, caller: Caller, number: int, changes: Mapping[str, Any], password_hash: str | None
) -> ApiAccess:
    """Change what is given (fields of `AccessTerms`). With another password, its tokens end.

    Raises `NotFound`, `Rejected` with all that is wrong.
    """
    await connection.execute(queries.lock_access, caller.workspace, number)
    row = await _row(connection, caller.workspace, number)
    terms = replace(_access(row).terms, **changes)
    customer, networks = await _check(connection, caller, terms, number, [])
    subject = draw_subject() if password_hash else None
    try:
        await connection.execute(
            queries.update_access, caller.workspace, row["key"], customer, terms.login, _once(terms.account_ids),
            networks, password_hash, subject, caller.wall,
        )  # fmt: skip
    except asyncpg.UniqueViolationError:
        raise Rejected([("login", _TAKEN)]) from None
    detail = {"changed": sorted([*changes, *(["password"] if password_hash else [])])}
    await audit.record(connection, caller, "update", "api_access", str(number), detail)
    return await get_access(connection, caller.workspace, number)


async def delete_access(connection: Connection, caller: Caller, number: int) -> None:
    """Remove a login and end its tokens. Raises `NotFound`."""
    row = await _row(connection, caller.workspace, number)
    await connection.execute(queries.delete_access, caller.workspace, row["key"])
    await audit.record(connection, caller, "delete", "api_access", str(number))


async def delete_accesses_of(connection: Connection, caller: Caller, customer: int) -> None:
    """Remove the logins of a customer's key, which is being erased."""
    await connection.execute(queries.delete_accesses, caller.workspace, customer)


async def forget_account(connection: Connection, caller: Caller, number: int) -> None:
    """An account is deleted: its number leaves the logins that name it.

    It stays where it is the only one: without any number the login would show every account of the customer.
    """
    await connection.execute(queries.leave_account, caller.workspace, number, caller.wall)


async def get_access(connection: Connection, workspace: int, number: int) -> ApiAccess:
    """The login of a number. Raises `NotFound`, also where its customer was deleted."""
    return _access(await _row(connection, workspace, number))


async def portal_config(
    connection: Connection, caller: Caller, customer: int | None, accounts: Sequence[int], config: Mapping[str, Any]
) -> Config:
    """What a dynamic token for a customer's number opens; raises `Rejected` with all that is wrong.

    `config` has `allowed_ips`, `customer_portal_access_profile_id`, `gateway` and `numberlists` where they were given;
    the last are numbers of lists at the carrier's switch, which the token passes on.
    """
    problems: Problems = []
    row = await _customer(connection, caller, customer)
    if row is None:
        problems.append(("customer", "can't be blank"))
    networks = _networks(config.get("allowed_ips", EVERYWHERE), problems)
    if config.get("customer_portal_access_profile_id", 1) != 1:
        problems.append(("customer_portal_access_profile", "can't be blank"))
    if config.get("gateway") is not None:  # there are none here
        problems.append(("provision_gateway", "can't be blank"))
    numbers = sorted(set(accounts))
    lists = sorted(set(config.get("numberlists", ())))
    if len(lists) > ACCOUNTS_LIMIT:
        problems.append(("allow_outgoing_numberlists", f"is too long (maximum is {ACCOUNTS_LIMIT})"))
    if len(numbers) > ACCOUNTS_LIMIT:
        problems.append(("accounts", f"is too long (maximum is {ACCOUNTS_LIMIT})"))
    elif row is not None and await _foreign(connection, caller, row["key"], numbers):
        problems.append(("accounts", "is invalid"))
    if problems or row is None or customer is None:
        raise Rejected(problems)
    detail = {"accounts": numbers}
    await audit.record(connection, caller, "create", "customer_token", str(customer), detail)
    return Config(
        customer_id=customer,
        account_ids=numbers,
        allow_outgoing_numberlists_ids=lists,
        allowed_ips=networks,
        customer=row["wire_id"],
    )


async def portal_by_login(db: Database, login: str) -> Portal | None:
    """What the login of a name opens."""
    return _portal(await db.lookup(queries.portal_by_login, login))


async def portal_by_subject(db: Database, subject: int) -> Portal | None:
    """What the login that a token names opens."""
    return _portal(await db.shared_lookup(queries.portal_by_subject, subject))


async def portal_by_config(db: Database, config: Config) -> Portal | None:
    """What a dynamic token opens."""
    found = _portal(await db.shared_lookup(queries.portal_by_customer, config.customer))
    if found is None:
        return None
    return replace(
        found, account_ids=tuple(config.account_ids), networks=networks_of(config.allowed_ips), config=config
    )


async def _check(
    connection: Connection, caller: Caller, terms: AccessTerms, number: int | None, problems: Problems
) -> tuple[int, list[str]]:
    """Key of the customer and networks of sound terms. Raises `Rejected` with all problems, those given first."""
    row = await _customer(connection, caller, terms.customer)
    if row is None:
        problems.append(("customer", "must exist"))
    if not terms.login:
        problems.append(("login", "can't be blank"))
    elif len(terms.login) > LOGIN_LIMIT:
        problems.append(("login", f"is too long (maximum is {LOGIN_LIMIT} characters)"))
    elif await connection.fetchval(queries.login_taken, caller.workspace, terms.login, number):
        problems.append(("login", _TAKEN))
    networks = _networks(terms.allowed_ips, problems)
    if row is not None:
        foreign = await _foreign(connection, caller, row["key"], terms.account_ids)
        problems += [("", "Account should be connected with selected Customer")] * len(foreign)
    if problems or row is None:
        raise Rejected(problems)
    return row["key"], networks


def _networks(values: Sequence[object], problems: Problems) -> list[str]:
    try:
        return parse_networks(values)
    except Invalid as error:
        problems.append((error.field, error.rule))
        return []


async def _customer(connection: Connection, caller: Caller, number: int | None) -> Row | None:
    if number is None:
        return None
    return await connection.fetchrow(queries.visible_customer, caller.workspace, number)


async def _foreign(connection: Connection, caller: Caller, customer: int, numbers: Sequence[int]) -> list[int]:
    """Which of the numbers are no accounts of the customer."""
    rows = await connection.fetch(queries.numbers_of_accounts, caller.workspace, customer, list(numbers))
    theirs = {row["yeti_id"] for row in rows}
    return [number for number in numbers if number not in theirs]


async def _row(connection: Connection, workspace: int, number: int) -> Row:
    row = await connection.fetchrow(queries.access, workspace, number)
    if row is None:
        raise NotFound("api access", str(number))
    return row


def _once(numbers: Sequence[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


def _access(row: Row) -> ApiAccess:
    terms = AccessTerms(
        customer=row["customer_number"],
        login=row["login"],
        account_ids=tuple(row["account_ids"]),
        allowed_ips=tuple(shown(row["allowed_ips"])),
    )
    return ApiAccess(row["yeti_id"], terms)


def _portal(row: Row | None) -> Portal | None:
    if row is None:
        return None
    return Portal(
        workspace=workspace_of(row),
        customer=row["customer_key"],
        customer_number=row["customer_number"],
        account_ids=tuple(row["account_ids"]),
        networks=networks_of(row["allowed_ips"]),
        subject=row["subject"],
        access=row["access_number"],
        password_hash=row["password_hash"],
    )
