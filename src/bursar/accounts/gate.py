"""The gate of a workspace: what keeps admission and changes of the rules apart.

A flush of events holds the gates of its workspaces in common; a change that admission must see (catalogue, accounts,
names in use, the clock) holds its workspace's gate alone while it raises the version and commits.
So when a change is in force, every event judged by the older version is already committed, and none comes later.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

from bursar.db.database import Connection
from bursar.db.queries import Queries

queries = Queries("bursar.accounts", "gate.sql")

Kind = Literal["catalog", "account", "name", "setting", "clock"]


async def change(
    connection: Connection, workspace: int, kind: Kind, object_key: int | None = None, name: str | None = None
) -> int:
    """Close the gate until the transaction ends, raise the workspace's version by one and log what changed.

    `object_key` and `name` tell caches what to drop: the account of `account` (its own settings included), the value of
    `name`; `setting` stands for settings of a customer or the whole workspace. Returns the new version. Call it before
    the change locks a row or reads what it decides on: who takes the gate after a row waits in a circle with whoever
    does it the other way round.
    """
    return await change_all(connection, workspace, kind, [(object_key, name)])


async def change_all(
    connection: Connection, workspace: int, kind: Kind, changed: Sequence[tuple[int | None, str | None]]
) -> int:
    """`change` for many objects `(key, name)` at once, one version each. Returns the last version."""
    await connection.execute(queries.close_gate, workspace)
    version: int = await connection.fetchval(queries.raise_version, workspace, len(changed))
    objects, names = [entry[0] for entry in changed], [entry[1] for entry in changed]
    await connection.execute(queries.insert_changes, workspace, version - len(changed), kind, objects, names)
    return version


async def enter(connection: Connection, workspaces: list[int]) -> None:
    """Pass the gates in common, in a fixed order, until the transaction ends."""
    await connection.execute(queries.enter_gates, sorted(workspaces))


def passing(workspaces: Iterable[int]) -> str:
    """What `enter` does, as statements with the workspaces in them, for a transaction to begin with."""
    return "; ".join(queries.enter_gate.replace("$1", f"{workspace:d}") for workspace in sorted(workspaces))
