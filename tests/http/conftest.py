"""Statements without the first wall between workspaces, to see that the second one alone holds."""

import re

import pytest

from bursar.db.queries import Queries

_CONDITION = re.compile(r"\b(?:\w+\.)?workspace = (\$\d+)\b")


@pytest.fixture(params=[False, True], ids=["as it is", "with no condition on the workspace in any statement"])
def mutated(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Take the first wall away: the second one, row-level security, alone must hold. Tells whether it is away.

    What a test looks at must have been made before: by fixtures of a wider scope.
    """
    if not request.param:
        return False
    original = Queries.__getattr__

    def without(self: Queries, name: str) -> str:
        return _CONDITION.sub(r"\1::int is not null", original(self, name))

    monkeypatch.setattr(Queries, "__getattr__", without)
    return True
