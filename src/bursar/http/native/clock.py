"""The clock of a workspace: shown anywhere, moved in sandboxes."""

from datetime import datetime
from typing import Protocol

from bursar.accounts import workspaces
from bursar.core import crash
from bursar.core.caller import Caller
from bursar.core.period import utc
from bursar.http.door import Answer, Body, Call
from bursar.http.native.door import door

TAG = "Clock"


class AfterClock(Protocol):
    """What runs when a clock was moved: everything that fell due, in order."""

    async def __call__(self, caller: Caller) -> None:
        """Run what is due at the caller's time."""


class SetClock(Body, kw_only=True):
    """Where to put the clock."""

    now: datetime


class Clock(Answer, kw_only=True):
    """What time it is in the workspace."""

    now: datetime
    sandbox: bool
    set: bool
    """Whether the clock was set and stands; else it shows wall time."""


@door.operation("GET", "/bursar/v1/clock", id="getClock", tag=TAG, summary="Show the workspace's clock", answer=Clock)
async def get_clock(call: Call) -> Clock:
    """Show the clock."""
    async with call.db.transaction(call.caller.workspace) as connection:
        return _shape(await workspaces.workspace_at(connection, call.caller.workspace), call.caller)


@door.operation(
    "POST",
    "/bursar/v1/clock",
    id="setClock",
    tag=TAG,
    summary="Move a sandbox's clock forward; what falls due is run",
    scope="admin",
    repeatable=True,
    body=SetClock,
    answer=Clock,
)
async def set_clock(call: Call, body: SetClock) -> Clock:
    """Move the clock."""
    async with call.db.transaction(call.caller.workspace) as connection:
        workspace = await workspaces.set_clock(connection, call.caller, utc(body.now))
    moved = workspaces.caller_of(workspace, call.caller.wall, call.caller.actor)
    after: AfterClock | None = call.services.get(AfterClock)
    if after is not None:
        crash.point("clock moved")
        await after(moved)
    return _shape(workspace, moved)


def _shape(workspace: workspaces.Workspace, caller: Caller) -> Clock:
    return Clock(now=workspace.clock_at or caller.wall, sandbox=workspace.sandbox, set=workspace.clock_at is not None)
