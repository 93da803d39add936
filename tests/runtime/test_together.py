"""Several server processes on one port: the same ids through all of them count once."""

import json
import random
import threading
import urllib.request
from pathlib import Path

from tests.postgres import open_folder
from tests.runtime.program import TOKEN, Program, command, program
from tests.runtime.test_kill import prepare

SENDERS = 6
BATCHES = 8
BATCH = 250
TWINS = 60


def test_the_same_ids_through_several_processes_count_once() -> None:
    with open_folder() as folder, program(folder, "--workers", "3") as running:
        token = prepare(running, Path(folder))
        ids = [f"e{number}" for number in range(BATCHES * BATCH)]
        failures: list[BaseException] = []

        def send(seed: int) -> None:
            order = ids[:]
            random.Random(seed).shuffle(order)
            try:
                for start in range(0, len(order), BATCH):
                    _send(running, token, order[start : start + BATCH])
            except BaseException as error:
                failures.append(error)
                raise

        senders = [threading.Thread(target=send, args=(seed,)) for seed in range(SENDERS)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(60)
        assert not failures
        balance = running.call("GET", "/bursar/v1/ingest/balance", token=token)
        assert balance["metered"] == len(ids)
        assert balance["duplicate"] == (SENDERS - 1) * len(ids)
        assert command("verify", "--data-dir", str(folder))["holds"] is True


def _send(running: Program, token: str, ids: list[str]) -> None:
    events = [
        {
            "schemaName": "call",
            "id": event_id,
            "timestamp": "2024-05-01T10:00:00Z",
            "accountId": "acme",
            "attributes": [{"name": "units", "value": "1"}],
            "dimensions": {},
        }
        for event_id in ids
    ]
    running.call("POST", "/ingestBatch", {"events": events}, token=token)


def test_twins_through_several_processes_have_one_effect_and_one_answer() -> None:
    with open_folder() as folder, program(folder, "--workers", "3") as running:
        start = threading.Barrier(TWINS)
        answers: list[str] = []

        def twin() -> None:
            start.wait()
            request = urllib.request.Request(
                running.url + "/bursar/v1/tokens",
                json.dumps({"name": "twin"}).encode(),
                {"authorization": f"Bearer {TOKEN}", "idempotency-key": "twins"},
            )
            with urllib.request.urlopen(request, timeout=20) as answer:
                answers.append(answer.read().decode())

        twins = [threading.Thread(target=twin) for _ in range(TWINS)]
        for thread in twins:
            thread.start()
        for thread in twins:
            thread.join(30)
        assert len(answers) == TWINS
        assert len(set(answers)) == 1
        listed = running.call("GET", "/bursar/v1/tokens")["tokens"]
        assert [token["name"] for token in listed].count("twin") == 1
