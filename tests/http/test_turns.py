"""Many changes of one account wait for one another without taking the connections that other requests need."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import httpx
import psycopg

from tests.conftest import Server
from tests.http.togai.catalog import customer, expect

NOW = datetime(2024, 5, 10, 12, tzinfo=UTC)
MANY = 40
BLOCKED = "select 1 from pg_stat_activity where pg_backend_pid() = any(pg_blocking_pids(pid))"


def test_a_hot_account_leaves_connections_to_others(server: Server) -> None:
    tenant = server.workspace(clock=NOW)
    customer(tenant.http)
    customer(tenant.http, "other")
    headers = dict(tenant.http.headers)
    expect(tenant.http.post("/accounts/acme/wallet_topup", json={"topupAmount": 1}), 200)

    def top_up(number: int) -> int:
        body = {"topupAmount": number}
        return httpx.post(
            f"{tenant.url}/accounts/acme/wallet_topup", json=body, headers=headers, timeout=20
        ).status_code

    with psycopg.connect(server.dsn) as holder, ThreadPoolExecutor(MANY) as pool:
        # The first top-up waits for this; the others for the first.
        holder.execute(
            "select 1 from bursar.ledger_balance where workspace = %s for update", (tenant.caller.workspace,)
        )
        waiting = [pool.submit(top_up, number) for number in range(1, MANY + 1)]
        while not holder.execute(BLOCKED).fetchone():
            pass
        for _ in range(20):
            expect(tenant.http.get("/accounts/other/wallet"), 200)
        assert not any(one.done() for one in waiting), "they waited meanwhile"
        holder.rollback()
        assert [one.result() for one in waiting] == [200] * MANY
    assert expect(tenant.http.get("/accounts/acme/wallet"), 200)["balance"] == 1 + MANY * (MANY + 1) / 2
