"""Sixteen writers move one balance at the carrier's door while the server is killed: it is what they were told."""

import os
import random
import signal
import threading
import time
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx

from tests.conftest import PLAIN
from tests.http.yeti.carrier import ADMIN, HEADERS, document
from tests.postgres import open_folder
from tests.runtime.program import TOKEN, Program, command, postmaster

WRITERS = 16
KILLS = min(3, int(os.environ.get("BURSAR_KILLS", "1")))
"""At most three: each leaves corrections unanswered, of which every selection may have been carried out."""
MORE = 2
"""Kills more at most, where those met no request that stayed unanswered, or none that was sent again."""
PATIENCE = 60.0
KINDS = ("payments", "transactions", "corrections")
UNKNOWN = 503
"""The server lost its database under way, and does not know either what became of the request."""


@dataclass
class Scene:
    """What all writers share: the server of the moment, and whether to go on."""

    url: str
    stop: bool = False


@dataclass
class Writer(threading.Thread):
    """Pays, charges and corrects, each time by an amount that nobody else uses.

    Every other writer sends each request under a key until it is answered; the others never send one twice.
    """

    number: int
    account: str
    scene: Scene
    told: dict[str, Decimal] = field(default_factory=dict)
    """What was acknowledged: the change of the balance, by the name of the request."""
    untold: dict[str, Decimal] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    repeats: int = 0

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def __hash__(self) -> int:
        return self.number

    def run(self) -> None:
        draw, count = random.Random(self.number), 0
        # Corrections are in no list, so few of them may stay without an answer: see `_sums`.
        kinds = KINDS if self.number % 4 in (0, 1, 2) else KINDS[:2]
        with httpx.Client(headers={"authorization": TOKEN, **HEADERS}, timeout=10, verify=PLAIN) as http:
            while not self.scene.stop:
                kind = kinds[count % len(kinds)]
                name, amount = f"{kind}-{self.number}-{count}", Decimal(draw.randint(-(10**9), 10**9) or 1) / 10**4
                self._once(http, kind, name, amount)
                count += 1

    def _once(self, http: httpx.Client, kind: str, name: str, amount: Decimal) -> None:
        method, path, sent = self._request(kind, name, amount)
        change = -amount if kind == "transactions" else amount
        keyed = self.number % 2 == 0
        headers = {"idempotency-key": name} if keyed else {}
        while True:
            status, reached = 0, True
            try:
                answer = http.request(method, f"{self.scene.url}{ADMIN}/{path}", json=sent, headers=headers)
                status = answer.status_code
                if status in (200, 201):
                    self.told[name] = change
                    return
            except httpx.TransportError as error:
                reached = not isinstance(error, httpx.ConnectError)
                time.sleep(0.02)
            if status not in (0, UNKNOWN):
                self.refused.append(f"{name}: {status} {answer.text}")
                return
            if self.scene.stop or (reached and not keyed):
                self.untold |= {name: change} if reached or keyed else {}
                return
            self.repeats += reached

    def _request(self, kind: str, name: str, amount: Decimal) -> tuple[str, str, dict[str, Any]]:
        of, value = {"account": ("accounts", self.account)}, str(amount)
        if kind == "payments":
            return "POST", kind, document(kind, {"amount": value, "notes": name}, **of)
        if kind == "transactions":
            return "POST", kind, document(kind, {"amount": value, "description": name}, **of)
        sent = document("balance-correction", {"correction": value}, self.account)
        return "PUT", f"accounts/{self.account}/balance-correction", sent


def _make(http: httpx.Client, kind: str, sent: dict[str, Any]) -> str:
    answer = http.post(f"{ADMIN}/{kind}", json=sent)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["data"]["id"])


def _kept(http: httpx.Client, kind: str, name: str, sign: int) -> dict[str, Decimal]:
    """The changes of the balance that a list shows, by the names of their requests; each must be there once."""
    found: dict[str, Decimal] = {}
    number = 1
    while True:
        page = http.get(f"{ADMIN}/{kind}", params={"page[size]": 1000, "page[number]": number}).json()
        for row in page["data"]:
            assert row["attributes"][name] not in found
            found[row["attributes"][name]] = sign * Decimal(row["attributes"]["amount"])
        if "next" not in page["links"]:
            assert len(found) == page["meta"]["total-count"]
            return found
        number += 1


def _sums(values: list[Decimal]) -> set[Decimal]:
    """The sums of all subsets."""
    sums = {Decimal(0)}
    for value in values:
        sums |= {one + value for one in sums}
    return sums


def _until_all_are_answered(writers: list[Writer]) -> None:
    """Wait until every writer was told something from now on: from then on all of them are at it."""
    before = [len(writer.told) for writer in writers]
    deadline = time.monotonic() + PATIENCE
    while any(len(writer.told) == count for writer, count in zip(writers, before, strict=True)):
        assert time.monotonic() < deadline, "somebody is told nothing"
        time.sleep(0.02)


def _met(writers: list[Writer]) -> bool:
    """Whether the kills left a request unanswered, and had another one sent again."""
    return any(writer.untold for writer in writers) and any(writer.repeats for writer in writers)


def test_a_balance_is_what_its_writers_were_told() -> None:
    with open_folder() as folder:
        running = Program(folder, "--workers", "2")
        running.ready()
        headers = {"authorization": TOKEN, **HEADERS}
        with httpx.Client(base_url=running.url, headers=headers, timeout=30, verify=PLAIN) as http:
            owner = _make(http, "contractors", document("contractors", {"name": "owner", "vendor": True}))
            sent = document("accounts", {"name": "hot", "balance-low-threshold": 0}, contractor=("contractors", owner))
            account = _make(http, "accounts", sent)
        scene = Scene(running.url)
        writers = [Writer(number, account, scene) for number in range(WRITERS)]
        for writer in writers:
            writer.start()
        _until_all_are_answered(writers)
        for number in range(KILLS + MORE):
            if number % 2 == 0:
                os.kill(postmaster(folder), signal.SIGKILL)
            running.kill()
            running = Program(folder, "--workers", "2")
            scene.url = running.ready()
            _until_all_are_answered(writers)
            if number + 1 >= KILLS and _met(writers):
                break
        scene.stop = True
        for writer in writers:
            writer.join(60)
            assert not writer.is_alive()
            assert writer.refused == []
        with httpx.Client(base_url=running.url, headers=headers, timeout=30, verify=PLAIN) as http:
            _balance_follows(http, account, writers)
        assert running.failures() == []
        assert command("verify", "--data-dir", str(folder))["holds"] is True
        assert running.terminate() < 10


def _balance_follows(http: httpx.Client, account: str, writers: list[Writer]) -> None:
    told = {name: change for writer in writers for name, change in writer.told.items()}
    untold = {name: change for writer in writers for name, change in writer.untold.items()}
    assert _met(writers), "no kill met a request, or none that was sent again"
    assert {name.partition("-")[0] for name in told} == {*KINDS}
    kept = _kept(http, "payments", "notes", 1) | _kept(http, "transactions", "description", -1)
    listed = {name: change for name, change in told.items() if not name.startswith("corrections")}
    assert listed.items() <= kept.items(), "what was acknowledged is there, as it was sent"
    assert kept.items() <= (told | untold).items(), "and nothing else but what was not answered"
    corrected = sum((change for name, change in told.items() if name.startswith("corrections")), Decimal(0))
    balance = Decimal(http.get(f"{ADMIN}/accounts/{account}").json()["data"]["attributes"]["balance"])
    rest = balance - sum(kept.values(), Decimal(0)) - corrected
    assert rest in _sums([change for name, change in untold.items() if name.startswith("corrections")])
