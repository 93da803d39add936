"""Settings of the workspace, its customers and its accounts, with every value that they have had.

Rules that are applied to events read them, so a change of a value passes the gate and is kept with the version of the
workspace's rules from which on it holds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bursar.accounts import gate
from bursar.accounts.model import Setting, may_change
from bursar.accounts.setting_values import (
    Reference,
    Settings,
    Value,
    check_value,
    full_id,
    names_of,
    parse_reference,
)
from bursar.accounts.store import get_account, get_customer
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, NotFound, Taken
from bursar.core.page import Page, key_of
from bursar.db import audit
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries

queries = Queries("bursar.accounts", "settings.sql")


@dataclass(frozen=True, slots=True)
class EntitySetting:
    """A setting and whose it is."""

    key: int
    entity_type: str
    entity_id: str
    setting: Setting

    @property
    def full_id(self) -> str:
        """Its path."""
        return full_id(self.setting.namespace, self.setting.id, self.entity_type, self.entity_id)


@dataclass(frozen=True, slots=True)
class SettingChange:
    """What to change of a setting; None leaves a field as it is."""

    name: str | None = None
    value: str | None = None
    data_type: str | None = None


async def create_setting(
    connection: Connection, caller: Caller, entity_type: str, entity_id: str, new: Setting
) -> EntitySetting:
    """A setting of an account, a customer or, as ORGANIZATION, the workspace; its value holds from now on.

    Raises `Taken` where it exists, `Invalid` for an unknown entity or a value that is not of its data type.
    """
    new = replace(new, namespace=new.namespace.upper())
    check_value(new.data_type, new.value, "value")
    try:
        await _pass_gate(connection, caller, entity_type, entity_id)
    except NotFound as error:
        raise Invalid("entityId", error.message) from None
    if await _insert(connection, caller, entity_type, entity_id, [new]) == 0:
        raise Taken("id", f"setting {full_id(new.namespace, new.id, entity_type, entity_id)!r} exists already")
    made = await _find(connection, caller.workspace, Reference(new.namespace, new.id, entity_type, entity_id))
    assert made is not None
    await audit.record(connection, caller, "create", "setting", made.full_id)
    return made


async def update_setting(
    connection: Connection, caller: Caller, identifier: str, change: SettingChange
) -> EntitySetting:
    """Change the setting of a path. A new value holds for what is received from now on. Raises `NotFound`."""
    found = await get_setting(connection, caller.workspace, identifier)
    version = await _pass_gate(connection, caller, found.entity_type, found.entity_id)
    found = await get_setting(connection, caller.workspace, identifier)
    old = found.setting
    new = replace(
        old,
        name=old.name if change.name is None else change.name,
        value=old.value if change.value is None else change.value,
        data_type=old.data_type if change.data_type is None else change.data_type,
    )
    if new == old:
        return found
    check_value(new.data_type, new.value, "value")
    await connection.execute(queries.update_setting, caller.workspace, found.key, new.name, new.value, new.data_type)
    if (new.value, new.data_type) != (old.value, old.data_type):
        await connection.execute(
            queries.insert_setting_version, found.key, caller.workspace, version, new.value, new.data_type, caller.wall
        )
    await audit.record(connection, caller, "update", "setting", found.full_id)
    return replace(found, setting=new)


async def get_setting(connection: Connection, workspace: int, identifier: str) -> EntitySetting:
    """The setting of a path, `setting.<namespace>.<id>.<entity type>.<entity id>`. Raises `NotFound`."""
    wanted = parse_reference(identifier)
    found = None if wanted is None else await _find(connection, workspace, wanted)
    if found is None:
        raise NotFound("setting", identifier)
    return found


async def list_settings(
    connection: Connection,
    workspace: int,
    *,
    entity_type: str | None,
    entity_id: str | None,
    setting_id: str | None,
    namespace: str | None,
    after: str | None,
    limit: int,
) -> Page[EntitySetting]:
    """Settings in the order of their making; None leaves a condition out."""
    rows = await connection.fetch(
        queries.settings,
        workspace,
        key_of(after),
        entity_type,
        entity_id,
        setting_id,
        None if namespace is None else namespace.upper(),
        limit + 1,
    )
    items = [_setting(row) for row in rows[:limit]]
    return Page(items, str(items[-1].key) if len(rows) > limit else None)


async def settings_of(
    connection: Connection, workspace: int, entity_type: str, identifiers: Sequence[str]
) -> dict[str, list[Setting]]:
    """Settings by the id of the customer or account that they belong to."""
    result: dict[str, list[Setting]] = {identifier: [] for identifier in identifiers}
    for row in await connection.fetch(queries.settings_of, workspace, entity_type, list(identifiers)):
        result[row["entity_id"]].append(
            Setting(row["setting_id"], row["value"], row["namespace"], row["name"], row["data_type"])
        )
    return result


async def keep(
    connection: Connection,
    caller: Caller,
    entity_type: str,
    entity_id: str,
    settings: Sequence[Setting],
    prefix: str = "",
) -> None:
    """The first settings of a customer or account that is being made: no event can have met it, so no gate is passed.

    `prefix` is where the request gave them, for an error to name.
    """
    new = [replace(setting, namespace=setting.namespace.upper()) for setting in settings]
    if len({(setting.namespace, setting.id) for setting in new}) < len(new):
        raise Invalid(f"{prefix}settings", "an id is given twice in one namespace")
    for index, setting in enumerate(new):
        check_value(setting.data_type, setting.value, f"{prefix}settings[{index}].value")
    if new:
        await _insert(connection, caller, entity_type, entity_id, new)


async def load_shared(connection: Connection, workspace: int, wanted: Iterable[Reference]) -> Settings:
    """The workspace's own settings and those named in full, among `wanted`; no account's yet."""
    wanted = list(wanted)
    names, whole = names_of(wanted), sorted({entry for entry in wanted if entry.entity_type is not None})
    settings = Settings()
    if not wanted:
        return settings
    rows = await connection.fetch(
        queries.shared_values,
        workspace,
        [namespace for namespace, _ in names],
        [identifier for _, identifier in names],
        [entry.namespace for entry in whole],
        [entry.id for entry in whole],
        [entry.entity_type for entry in whole],
        [entry.entity_id for entry in whole],
    )
    asked = set(wanted)
    for row in rows:
        entry = (row["catalog_version"], Value(row["value"], row["data_type"]))
        name = Reference(row["namespace"], row["setting_id"])
        in_full = Reference(row["namespace"], row["setting_id"], row["entity_type"], row["entity_id"])
        if row["entity_type"] == "ORGANIZATION" and name in asked:
            settings.shared.setdefault(name, []).append(entry)
        if in_full in asked:
            settings.shared.setdefault(in_full, []).append(entry)
    return settings


async def load_own(
    connection: Connection, workspace: int, settings: Settings, wanted: Iterable[Reference], accounts: Sequence[int]
) -> None:
    """Add what accounts and their customers have of `wanted` to `settings`."""
    for account in accounts:
        settings.own[account] = {}
    names = [f"{namespace}.{identifier}" for namespace, identifier in names_of(wanted)]
    if not names or not accounts:
        return
    for row in await connection.fetch(queries.account_values, workspace, list(accounts), names):
        name = (row["entity_type"], row["namespace"], row["setting_id"])
        entry = (row["catalog_version"], Value(row["value"], row["data_type"]))
        settings.own[row["account"]].setdefault(name, []).append(entry)


async def _pass_gate(connection: Connection, caller: Caller, entity_type: str, entity_id: str) -> int:
    """Close the gate to a change of an entity's settings; returns the version from which on it holds.

    Raises `NotFound` for an unknown entity, `WrongState` for an archived one.
    """
    if entity_type == "ACCOUNT":
        account = await get_account(connection, caller.workspace, entity_id)
        version = await gate.change(connection, caller.workspace, "account", account.key)
        account = await get_account(connection, caller.workspace, entity_id)
        may_change("account", entity_id, account.status)
        return version
    if entity_type == "CUSTOMER":
        await get_customer(connection, caller.workspace, entity_id)
        version = await gate.change(connection, caller.workspace, "setting")
        may_change("customer", entity_id, (await get_customer(connection, caller.workspace, entity_id)).status)
        return version
    name = await connection.fetchval(queries.workspace_name, caller.workspace)
    if entity_id != name:
        raise Invalid("entityId", f"must be {name!r}, the workspace's name, for ORGANIZATION")
    return await gate.change(connection, caller.workspace, "setting")


async def _insert(
    connection: Connection, caller: Caller, entity_type: str, entity_id: str, settings: Sequence[Setting]
) -> int:
    """Add settings that are not there yet; returns how many that were."""
    rows = await connection.fetch(
        queries.insert_settings,
        caller.workspace,
        entity_type,
        entity_id,
        [setting.namespace for setting in settings],
        [setting.id for setting in settings],
        [setting.name for setting in settings],
        [setting.value for setting in settings],
        [setting.data_type for setting in settings],
        caller.wall,
    )
    return len(rows)


async def _find(connection: Connection, workspace: int, wanted: Reference) -> EntitySetting | None:
    row = await connection.fetchrow(queries.setting, workspace, *wanted)
    return None if row is None else _setting(row)


def _setting(row: Row) -> EntitySetting:
    return EntitySetting(
        key=row["key"],
        entity_type=row["entity_type"],
        entity_id=row["entity_id"],
        setting=Setting(row["setting_id"], row["value"], row["namespace"], row["name"], row["data_type"]),
    )
