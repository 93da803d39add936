"""The clock of a workspace over HTTP."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.conftest import Server, Tenant


def parse(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_clock_that_was_never_set_shows_wall_time(server: Server) -> None:
    for tenant in (server.workspace(), server.workspace(sandbox=False)):
        before = datetime.now(UTC)
        shown = tenant.http.get("/bursar/v1/clock").json()
        assert before - timedelta(seconds=5) <= parse(shown["now"]) <= datetime.now(UTC) + timedelta(seconds=5)
        assert (shown["sandbox"], shown["set"]) == (tenant.caller.sandbox, False)


def test_a_sandbox_s_clock_moves_forward_and_stands(tenant: Tenant) -> None:
    for instant in ("2026-01-01T00:00:00Z", "2026-01-01T05:30:00+05:30", "2026-01-02T00:00:00"):
        moved = tenant.http.post("/bursar/v1/clock", json={"now": instant})
        assert moved.status_code == 200, moved.text
        assert moved.json() == tenant.http.get("/bursar/v1/clock").json()
    assert moved.json() == {"now": "2026-01-02T00:00:00Z", "sandbox": True, "set": True}
    back = tenant.http.post("/bursar/v1/clock", json={"now": "2026-01-01T23:59:59Z"})
    assert back.status_code == 400
    assert back.headers["content-type"] == "application/problem+json"
    assert (back.json()["status"], back.json()["field"]) == (400, "now")
    assert "forward only" in back.json()["detail"]
    assert tenant.http.get("/bursar/v1/clock").json()["now"] == "2026-01-02T00:00:00Z"


def test_a_live_clock_is_not_set(server: Server) -> None:
    live = server.workspace(sandbox=False)
    answer = live.http.post("/bursar/v1/clock", json={"now": "2030-01-01T00:00:00Z"})
    assert answer.status_code == 400
    assert "sandbox" in answer.json()["detail"]
    assert live.http.get("/bursar/v1/clock").json()["set"] is False


BAD: list[dict[str, object]] = [
    {},
    {"now": None},
    {"now": "soon"},
    {"now": 5},
    {"now": "9999-12-31T23:59:59-05:00"},
    {"now": "1969-12-31T00:00:00Z"},
    {"now": "9999-06-01T00:00:00Z"},
    {"now": "2026-02-30T00:00:00Z"},
    {"now": "2026-01-01T00:00:00Z", "zone": "UTC"},
]


@pytest.mark.parametrize("body", BAD)
def test_bad_instants_are_refused(tenant: Tenant, body: dict[str, object]) -> None:
    answer = tenant.http.post("/bursar/v1/clock", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["detail"]
    assert tenant.http.get("/bursar/v1/clock").json()["set"] is False
