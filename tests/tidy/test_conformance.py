"""docs/togai.md says of every operation how the tests called it; none that is offered is untried."""

import re

import pytest

from tests.conformance import RAW_ONLY, TABLE, contract, implemented

ROW = re.compile(r"^\| ([^|]+) \| `(\w+) ([^`]+)` \| *(\d*) *\| *(\d*) *\| ([^|]*) \|$", re.MULTILINE)
ROWS = {(row[2], row[3]): row for row in ROW.finditer(TABLE.read_text())}
OURS = implemented()


def test_every_operation_of_the_contract_has_a_row() -> None:
    assert ROWS.keys() == {(method, path) for method, path, _, _ in contract()}


@pytest.mark.parametrize(("method", "path"), sorted(ROWS), ids=lambda value: value)
def test_what_is_offered_was_called_by_the_client_with_success_and_failure(method: str, path: str) -> None:
    name = OURS.get((method, re.sub(r"{\w+}", "{}", path)))
    row = ROWS[method, path]
    if name is None:
        assert row[6] == "not yet", "written when it was offered"
        return
    assert row[6] != "not yet", "run `make conformance`"
    assert int(row[4]) > 0 or name in RAW_ONLY, "the published client never called it"
    statuses = [int(status) for status in row[6].split(", ")]
    assert min(statuses) < 400, "none succeeded"
    assert max(statuses) < 500
    assert max(statuses) >= 400 or ("{" not in path and method == "GET"), "no failure was tried"
