"""The trail of a running server: sealed within a second, shown, and guarded against whoever holds the database."""

import json
import time
from pathlib import Path
from typing import Any

import psycopg

from bursar.runtime.datadir import DataDir
from tests.postgres import open_folder
from tests.runtime.program import Program, command, program

CUSTOMERS = 5
CUT = """
    set session_replication_role = replica;
    delete from bursar.audit where key in (
        select audit_key from bursar.audit_seal where number > (select max(number) from bursar.audit_seal) - 2);
    delete from bursar.audit_seal where number > (select max(number) from bursar.audit_seal) - 2;
    update bursar.audit_head h set number = s.number, hash = s.hash from bursar.audit_seal s
    where s.workspace = h.workspace and s.number = (select max(number) from bursar.audit_seal);
    """


def _newest(running: Program) -> dict[str, Any]:
    page = running.call("GET", "/bursar/v1/audit?kind=customer&limit=1")
    entry: dict[str, Any] = page["entries"][0]
    return entry


def test_the_trail_is_sealed_in_a_second_and_cannot_be_cut_unseen() -> None:
    with open_folder() as folder:
        data = ["--data-dir", str(folder)]
        with program(folder) as running:
            took = []
            for number in range(CUSTOMERS):
                body = {"id": f"c{number}", "name": "Customer", "primaryEmail": "c@example.com", "address": {}}
                running.call("POST", "/customers", body)
                began = time.monotonic()
                while "number" not in (newest := _newest(running)):
                    assert time.monotonic() < began + 60, "not sealed"
                    time.sleep(0.05)
                took.append(time.monotonic() - began)
                assert newest["object"] == f"c{number}"
            assert sorted(took)[1] < 1, "not sealed within a second; a busy machine may have held up some"
            listed = command("audit", "list", "--kind", "customer", "--limit", "3", *data)
            assert [entry["object"] for entry in listed["entries"]] == ["c4", "c3", "c2"]
            more = command("audit", "list", "--kind", "customer", "--after", listed["next"], *data)
            assert [entry["object"] for entry in more["entries"]] == ["c1", "c0"]
            heads = command("audit", "head", *data)
            last = command("audit", "list", "--limit", "1", *data)["entries"][0]
            assert heads["default"] == {"number": last["number"], "hash": last["hash"]}
            assert heads == json.loads((folder / "audit-heads.json").read_text())
            assert command("verify", *data)["holds"] is True
            kept = Path(folder) / "kept.json"
            kept.write_text(json.dumps(heads))
            with psycopg.connect(DataDir(folder).dsn(), autocommit=True) as superuser:
                superuser.execute(CUT)
            for options in ([], ["--audit-head", str(kept)]):
                found = command("verify", *data, *options, status=1)
                (problems,) = [listed for name, listed in found["checks"].items() if "head that was kept" in name]
                assert "links were cut off" in problems[0]
                assert [name for name, listed in found["checks"].items() if listed] == [
                    "I11 the audit trail goes through every head that was kept"
                ]
            kept.write_text("[]")
            assert "does not hold heads" in command("verify", *data, "--audit-head", str(kept), status=2)
