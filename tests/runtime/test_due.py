"""What is due in many workspaces: the trouble of one is not another's."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bursar.core.caller import Caller
from bursar.core.errors import Unavailable
from bursar.db.database import Database
from bursar.runtime import due
from tests.conftest import new_workspace

WALL = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("error", "outcome"), [(ZeroDivisionError("odd"), "the others are run"), (Unavailable("away"), "raised")]
)
async def test_one_workspace_s_trouble(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: Exception, outcome: str
) -> None:
    troubled, _, _ = await new_workspace(database)
    other, _, _ = await new_workspace(database)
    ran: list[tuple[str, int]] = []

    def named(name: str) -> Any:
        async def work(_: Database, caller: Caller) -> None:
            ran.append((name, caller.workspace))
            if (name, caller.workspace) == ("renewals", troubled.workspace):
                raise error

        return work

    monkeypatch.setattr(due, "_DUE", {name: named(name) for name in ("renewals", "invoices")})
    if outcome == "raised":
        with pytest.raises(Unavailable):
            await due.run_everything_due(database, WALL)
        assert ("invoices", troubled.workspace) not in ran
        return
    assert not await due.run_everything_due(database, WALL)
    assert {("invoices", troubled.workspace), ("renewals", other.workspace), ("invoices", other.workspace)} <= {*ran}
