"""What an event may call an account: giving, ending and listing aliases."""

from collections.abc import Sequence

import asyncpg

from bursar.accounts import gate
from bursar.accounts.model import Account, AliasRemoval, NewAlias, count_aliases, may_change, settle_alias
from bursar.accounts.store import aliases_of, get_account, key_of, lock_account, queries
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, NotFound, Taken, WrongState
from bursar.core.ids import draw
from bursar.core.page import Page
from bursar.db import audit
from bursar.db.database import Connection, Row


async def claim_id(connection: Connection, caller: Caller, account: int, identifier: str) -> None:
    """Let an account's own id lead to it, for ever."""
    await _insert(connection, caller, account, "ID", NewAlias(identifier), "id")


async def give(connection: Connection, caller: Caller, account: Account, aliases: Sequence[NewAlias]) -> None:
    """Give aliases to an account; the caller holds its lock. Raises `Taken` for a value of another account."""
    for index, alias in enumerate(aliases):
        field = f"aliases[{index}]"
        if alias.value == account.id:
            continue  # an account's id always leads to it
        known = await connection.fetch(queries.names_of_value, caller.workspace, alias.value)
        if known:
            # Admission may remember the value: it must look again.
            await gate.change(connection, caller.workspace, "name", name=alias.value)
        ended = [row["ends_at"] for row in known if row["account"] != account.key and row["ends_at"] is not None]
        past = [end for end in ended if end <= caller.now]
        settled = settle_alias(alias, max(past, default=None), field)
        await connection.execute(queries.insert_alias, caller.workspace, alias.value, caller.wall)
        mine = (await aliases_of(connection, caller.workspace, [account.key]))[account.key]
        if any(_overlap(a.effective_from, a.effective_until, settled) for a in mine if a.value == alias.value):
            raise Taken(field, f"account {account.id!r} has the alias {alias.value!r} already")
        await _insert(connection, caller, account.key, "ALIAS", settled, field)
    mine = (await aliases_of(connection, caller.workspace, [account.key]))[account.key]
    count_aliases(account.id, sum(a.effective_until is None or a.effective_until > caller.now for a in mine))


async def add_aliases(connection: Connection, caller: Caller, identifier: str, aliases: Sequence[NewAlias]) -> Account:
    """Give aliases to the account of an id."""
    account = await lock_account(connection, caller.workspace, identifier)
    may_change("account", identifier, account.status)
    await give(connection, caller, account, aliases)
    await audit.record(connection, caller, "add_aliases", "account", identifier, {"count": len(aliases)})
    return await get_account(connection, caller.workspace, identifier)


async def remove_aliases(
    connection: Connection, caller: Caller, identifier: str, removals: Sequence[AliasRemoval]
) -> Account:
    """End aliases of an account, each from its instant on: earlier events keep leading to the account."""
    account = await lock_account(connection, caller.workspace, identifier)
    may_change("account", identifier, account.status)
    for removal in removals:
        at = removal.at or caller.now
        mine = (await aliases_of(connection, caller.workspace, [account.key]))[account.key]
        found = [
            alias
            for alias in mine
            if removal.name in (alias.value, alias.wire_id)
            and (alias.effective_until is None or alias.effective_until > at)
        ]
        if not found:
            raise Invalid("aliases", f"account {identifier!r} has no alias {removal.name!r} in force")
        for alias in found:
            await gate.change(connection, caller.workspace, "name", name=alias.value)
            if alias.effective_from is not None and alias.effective_from >= at:
                await connection.execute(queries.remove_name, alias.key)
            else:
                await connection.execute(queries.end_name, alias.key, at, caller.wall)
    await audit.record(connection, caller, "remove_aliases", "account", identifier, {"count": len(removals)})
    return await get_account(connection, caller.workspace, identifier)


async def make_aliases(connection: Connection, caller: Caller, values: Sequence[str]) -> list[Row]:
    """Make alias values known before any account has them. Raises `Taken` for a known value or an account's id."""
    if len(set(values)) < len(values):
        raise Invalid("aliases", "a value is given twice")
    for index, value in enumerate(values):
        made = await connection.fetchval(queries.insert_alias, caller.workspace, value, caller.wall)
        if made is None or await connection.fetch(queries.names_of_value, caller.workspace, value):
            raise Taken(f"aliases[{index}].value", f"{value!r} is an alias or an account's id already")
    await audit.record(connection, caller, "create", "alias", values[0], {"count": len(values)})
    return [await get_alias(connection, caller.workspace, value) for value in values]


async def get_alias(connection: Connection, workspace: int, value: str) -> Row:
    """An alias value with `value` and `created_at`. Raises `NotFound`."""
    row = await connection.fetchrow(queries.alias, workspace, value)
    if row is None:
        raise NotFound("alias", value)
    return row


async def list_aliases(connection: Connection, workspace: int, after: str | None, limit: int) -> Page[Row]:
    """All alias values of a workspace, attached to accounts or not."""
    rows = await connection.fetch(queries.aliases, workspace, key_of(after), limit + 1)
    return Page(list(rows[:limit]), str(rows[limit - 1]["key"]) if len(rows) > limit else None)


async def delete_alias(connection: Connection, caller: Caller, value: str) -> None:
    """Forget an alias value. Raises `WrongState` while it leads to an account, so that no usage goes astray."""
    row = await get_alias(connection, caller.workspace, value)
    await gate.change(connection, caller.workspace, "name", name=value)
    for name in await connection.fetch(queries.names_of_value, caller.workspace, value):
        if name["ends_at"] is None or name["ends_at"] > caller.now:
            raise WrongState(f"alias {value!r} leads to account {name['togai_id']!r}; remove it there first")
    await connection.execute(queries.remove_alias, row["key"])
    await audit.record(connection, caller, "delete", "alias", value)


def _overlap(start: object, end: object, new: NewAlias) -> bool:
    before = end is not None and new.effective_from is not None and end <= new.effective_from  # type: ignore[operator]
    after = start is not None and new.effective_until is not None and start >= new.effective_until  # type: ignore[operator]
    return not before and not after


async def _insert(connection: Connection, caller: Caller, account: int, kind: str, alias: NewAlias, field: str) -> None:
    try:
        await connection.execute(
            queries.insert_name,
            caller.workspace,
            alias.value,
            account,
            kind,
            draw("alias"),
            alias.effective_from,
            alias.effective_until,
            caller.wall,
        )
    except asyncpg.ExclusionViolationError:
        raise Taken(field, f"{alias.value!r} is the id or an alias of another account at that time") from None
