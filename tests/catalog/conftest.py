"""A second workspace, for walls."""

import pytest

from bursar.core.caller import Caller
from bursar.db.database import Database
from tests.conftest import new_workspace


@pytest.fixture
async def other_caller(database: Database) -> Caller:
    made, _, _ = await new_workspace(database)
    return made
