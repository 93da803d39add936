"""kill -9 of server and PostgreSQL in the middle of ingest: what was acknowledged is there once, and all holds."""

import json
import os
import random
import signal
import threading
import time
import urllib.error
from pathlib import Path
from typing import Any

from tests.postgres import open_folder
from tests.runtime.program import Program, command, postmaster, program

KILLS = 6
SENDERS = 3
BATCH = 100


class Sender(threading.Thread):
    """Sends batches, each until it is acknowledged, with the same ids."""

    def __init__(self, number: int, target: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self.number = number
        self.target = target
        self.acknowledged = 0
        self.retries = 0

    def run(self) -> None:
        batch = 0
        while not self.target["stop"]:
            events = [
                {
                    "schemaName": "call",
                    "id": f"{self.number}-{batch}-{place}",
                    "timestamp": "2024-05-01T10:00:00Z",
                    "accountId": "acme",
                    "attributes": [{"name": "units", "value": "1"}],
                    "dimensions": {},
                }
                for place in range(BATCH)
            ]
            while True:
                try:
                    self.target["program"].call("POST", "/ingestBatch", {"events": events}, token=self.target["token"])
                    break
                except (urllib.error.URLError, OSError, json.JSONDecodeError, ValueError):
                    self.retries += 1
                    time.sleep(0.05)
            self.acknowledged += BATCH
            batch += 1


def prepare(running: Program, folder: Path) -> str:
    command("workspace", "create", "trial", "--sandbox", "--data-dir", str(folder))
    token = str(command("token", "create", "--workspace", "trial", "--data-dir", str(folder))["token"])

    def call(path: str, body: Any = None) -> Any:
        return running.call("POST", path, body, token=token)

    call("/bursar/v1/clock", {"now": "2024-05-01T12:00:00Z"})
    call("/customers", {"id": "acme", "name": "ACME", "primaryEmail": "a@example.com", "address": {}})
    call("/event_schema", {"name": "call", "attributes": [{"name": "units"}], "dimensions": []})
    call("/event_schema/call/activate")
    meter = {
        "name": "units", "type": "COUNTER", "aggregation": "SUM", "eventSchemaName": "call",
        "computations": [{"computation": '{"var":"attributes.units"}', "order": 1}],
    }  # fmt: skip
    call(f"/usage_meters/{call('/usage_meters', meter)['id']}/activate")
    return token


def test_nothing_acknowledged_is_lost_or_doubled() -> None:
    chance = random.Random(7)
    with open_folder() as folder:
        running = Program(folder)
        running.ready()
        target: dict[str, Any] = {"program": running, "token": prepare(running, folder), "stop": False}
        senders = [Sender(number, target) for number in range(SENDERS)]
        for sender in senders:
            sender.start()
        for number in range(KILLS):
            time.sleep(chance.uniform(0.3, 0.9))
            if number % 3 == 0:
                os.kill(postmaster(folder), signal.SIGKILL)
                continue  # the parent starts it again
            if number % 3 == 1:
                os.kill(postmaster(folder), signal.SIGKILL)
            target["program"].kill()
            following = Program(folder)
            following.ready()
            target["program"] = following
        time.sleep(0.5)
        target["stop"] = True
        for sender in senders:
            sender.join(30)
            assert not sender.is_alive()
        acknowledged = sum(sender.acknowledged for sender in senders)
        assert acknowledged > 0
        assert sum(sender.retries for sender in senders) > 0, "no kill met a request"
        balance = target["program"].call("GET", "/bursar/v1/ingest/balance", token=target["token"])
        assert balance["metered"] == acknowledged
        assert balance["received"] == balance["metered"] + balance["duplicate"]
        assert target["program"].terminate() < 10
        assert command("verify", "--data-dir", str(folder))["holds"] is True
        with program(folder) as last:
            assert last.call("GET", "/readyz") == {"status": "ready"}
