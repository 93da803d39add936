"""What an event may call an account: giving, ending and listing aliases.

Who gives a value holds it first, so that of two requests for one value the second meets what the first made. The order
everywhere is: values, the gate, rows.
"""

from collections.abc import Sequence

import asyncpg

from bursar.accounts import gate
from bursar.accounts.model import Account, AliasRemoval, Name, NewAlias, free_id, may_change, settle_aliases
from bursar.accounts.store import aliases_of, get_account, lock_account, queries
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, NotFound, Taken, WrongState
from bursar.core.ids import draw
from bursar.core.page import Page, key_of
from bursar.db import audit
from bursar.db.database import Connection, Row


async def reserve(connection: Connection, caller: Caller, values: Sequence[str]) -> list[Name]:
    """Keep values from everybody else until the transaction ends; returns what they have led to.

    Passes the gate where admission may remember one of them. Call it before any row is locked.
    """
    if not values:
        return []
    await connection.execute(queries.hold_names, caller.workspace, list(values))
    rows = await connection.fetch(queries.known_names, caller.workspace, list(values))
    known = [Name(r["value"], r["account"], r["togai_id"], r["kind"], r["starts_at"], r["ends_at"]) for r in rows]
    remembered = sorted({name.value for name in known if name.account is not None})
    if remembered:
        await gate.change_all(connection, caller.workspace, "name", [(None, value) for value in remembered])
    return known


async def claim_id(
    connection: Connection, caller: Caller, account: int, identifier: str, known: Sequence[Name], field: str
) -> None:
    """Let an account's own id, which the caller has reserved, lead to it for ever. Raises `Taken`."""
    free_id(identifier, known, field)
    await _insert(connection, caller, account, "ID", [NewAlias(identifier, field=field)])


async def give(
    connection: Connection, caller: Caller, account: Account, aliases: Sequence[NewAlias], known: Sequence[Name]
) -> None:
    """Give aliases to an account. The caller has reserved their values and locked the account. Raises `Taken`."""
    mine = (await aliases_of(connection, caller.workspace, [account.key]))[account.key]
    settled = settle_aliases(account, aliases, known, mine, caller.now)
    if not settled:
        return
    await connection.execute(queries.insert_aliases, caller.workspace, [alias.value for alias in settled], caller.wall)
    await _insert(connection, caller, account.key, "ALIAS", settled)


async def add_aliases(connection: Connection, caller: Caller, identifier: str, aliases: Sequence[NewAlias]) -> Account:
    """Give aliases to the account of an id."""
    known = await reserve(connection, caller, [alias.value for alias in aliases])
    account = await lock_account(connection, caller.workspace, identifier)
    may_change("account", identifier, account.status)
    await give(connection, caller, account, aliases, known)
    await audit.record(connection, caller, "add_aliases", "account", identifier, {"count": len(aliases)})
    return account


async def remove_aliases(
    connection: Connection, caller: Caller, identifier: str, removals: Sequence[AliasRemoval]
) -> Account:
    """End aliases of an account, each from its instant on: earlier events keep leading to the account."""
    before = await get_account(connection, caller.workspace, identifier)
    had = (await aliases_of(connection, caller.workspace, [before.key]))[before.key]
    wanted = {removal.name for removal in removals}
    values = sorted({alias.value for alias in had if wanted & {alias.value, alias.wire_id}})
    if values:
        await gate.change_all(connection, caller.workspace, "name", [(None, value) for value in values])
    account = await lock_account(connection, caller.workspace, identifier)
    may_change("account", identifier, account.status)
    for removal in removals:
        at = removal.at or caller.now
        mine = (await aliases_of(connection, caller.workspace, [account.key]))[account.key]
        found = [
            alias
            for alias in mine
            if removal.name in {alias.value, alias.wire_id} and alias.value in values and not alias.ended(at)
        ]
        if not found:
            raise Invalid(removal.field, f"account {identifier!r} has no alias {removal.name!r} in force")
        for alias in found:
            if alias.effective_from is not None and alias.effective_from >= at:
                await connection.execute(queries.remove_name, caller.workspace, alias.key)
            else:
                await connection.execute(queries.end_name, caller.workspace, alias.key, at, caller.wall)
    await audit.record(connection, caller, "remove_aliases", "account", identifier, {"count": len(removals)})
    return account


async def make_aliases(connection: Connection, caller: Caller, values: Sequence[str]) -> list[Row]:
    """Make alias values known before any account has them. Raises `Taken` for a known value or an account's id."""
    known = {name.value for name in await reserve(connection, caller, values)}
    for index, value in enumerate(values):
        if value in known or value in values[:index]:
            raise Taken(f"aliases[{index}].value", f"{value!r} is an alias or an account's id already")
    await connection.execute(queries.insert_aliases, caller.workspace, list(values), caller.wall)
    await audit.record(connection, caller, "create", "alias", values[0], {"count": len(values)})
    rows = {row["value"]: row for row in await connection.fetch(queries.alias_rows, caller.workspace, list(values))}
    return [rows[value] for value in values]


async def get_alias(connection: Connection, workspace: int, value: str) -> Row:
    """An alias value with `value` and `created_at`. Raises `NotFound`."""
    rows = await connection.fetch(queries.alias_rows, workspace, [value])
    if not rows:
        raise NotFound("alias", value)
    return rows[0]


async def list_aliases(connection: Connection, workspace: int, after: str | None, limit: int) -> Page[Row]:
    """All alias values of a workspace, attached to accounts or not."""
    rows = await connection.fetch(queries.aliases, workspace, key_of(after), limit + 1)
    return Page(list(rows[:limit]), str(rows[limit - 1]["key"]) if len(rows) > limit else None)


async def delete_alias(connection: Connection, caller: Caller, value: str) -> None:
    """Forget an alias value. Raises `WrongState` while it leads to an account, so that no usage goes astray.

    Past events keep leading to the accounts that had it: their names stay.
    """
    await connection.execute(queries.hold_names, caller.workspace, [value])
    row = await get_alias(connection, caller.workspace, value)
    for name in await connection.fetch(queries.known_names, caller.workspace, [value]):
        if name["account"] is not None and (name["ends_at"] is None or name["ends_at"] > caller.now):
            raise WrongState(f"alias {value!r} leads to account {name['togai_id']!r}; remove it there first")
    await connection.execute(queries.remove_alias, caller.workspace, row["key"])
    await audit.record(connection, caller, "delete", "alias", value)


async def free_aliases(connection: Connection, caller: Caller, account: int) -> None:
    """End every alias of an account that is being archived. The caller has passed the gate for it."""
    mine = (await aliases_of(connection, caller.workspace, [account]))[account]
    open_ = [alias for alias in mine if not alias.ended(caller.now)]
    if open_:
        await gate.change_all(connection, caller.workspace, "name", [(None, alias.value) for alias in open_])
    for alias in open_:
        if alias.effective_from is not None and alias.effective_from >= caller.now:
            await connection.execute(queries.remove_name, caller.workspace, alias.key)
        else:
            await connection.execute(queries.end_name, caller.workspace, alias.key, caller.now, caller.wall)


async def _insert(connection: Connection, caller: Caller, account: int, kind: str, aliases: Sequence[NewAlias]) -> None:
    try:
        await connection.execute(
            queries.insert_names,
            caller.workspace,
            account,
            kind,
            caller.wall,
            [alias.value for alias in aliases],
            [draw("alias") for _ in aliases],
            [alias.effective_from for alias in aliases],
            [alias.effective_until for alias in aliases],
        )
    except asyncpg.ExclusionViolationError:
        # The last wall: values are reserved before, so only a path that forgot to would come here.
        raise Taken(aliases[0].field, "an id or alias belongs to another account at that time") from None
