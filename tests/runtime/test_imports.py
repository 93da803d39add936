"""Imports of files: every format, what is refused, run again, cut off by kill -9 and gone on with."""

import asyncio
import csv
import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from bursar.core.errors import Invalid
from bursar.runtime import import_hands, imports
from bursar.runtime.import_hands import Admitter
from bursar.runtime.import_mapping import Columns
from bursar.runtime.import_sources import Format, Source, open_source
from bursar.runtime.proof import CHECKS
from tests.conftest import Server, Tenant, _in_thread
from tests.http.togai.catalog import customer, event, expect, ingest, meter, schema, status_of
from tests.runtime.program import BURSAR, command

AT = "2024-05-10T09:01:00Z"
MAPPED = (
    "--schema", "llm", "--id", "{id}-x", "--timestamp", "at", "--account", "account", "--attribute", "tokens=tokens",
    "--dimension", "model==big",
)  # fmt: skip
HEADER = ("id", "at", "account", "tokens")
PATIENCE = 60.0


@pytest.fixture
def ready(server: Server) -> Tenant:
    tenant = server.workspace(clock=datetime(2024, 5, 10, 12, tzinfo=UTC))
    customer(tenant.http)
    schema(tenant.http)
    meter(tenant.http)
    return tenant


def run(server: Server, tenant: Tenant, path: Path, *more: str, status: int = 0) -> Any:
    at = ("--workspace", tenant.name, "--database-url", server.dsn)
    return _in_thread(lambda: command("import", "events", str(path), *at, *more, status=status))


def counts(told: Any) -> tuple[int, int, int, int]:
    return told["rows"], told["accepted"], told["known"], told["rejected"]


def write_csv(path: Path, rows: list[tuple[Any, ...]], header: tuple[str, ...] = HEADER) -> Path:
    with path.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([header, *rows])
    return path


def rejects(path: Path) -> list[list[str]]:
    with path.with_name(f"{path.name}.rejects.csv").open(newline="", encoding="utf-8") as handle:
        return list(csv.reader(handle))


def balance(tenant: Tenant) -> dict[str, int]:
    found = expect(tenant.http.get("/bursar/v1/ingest/balance"), 200)
    return {name: count for name, count in found.items() if count}


def problems(server: Server, tenant: Tenant) -> list[str]:
    return server.broken(tenant, CHECKS)


def test_rows_of_a_csv_file(ready: Tenant, server: Server, tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "usage.csv",
        [
            ("a", "2024-05-10 09:01:00.1234569", "acme", " 1.50 "),
            ("b", AT, "nobody", 2),
            ("c", "yesterday", "acme", 3),
            ("d\n\"quoted\", d", "2024-05-10T11:01:00+02:00", "acme", 4),
            ("e", AT, "acme", "many"),
            ("f", AT),
            ("a", "2024-05-10 09:01:00.123456", "acme", "1.50", "more than there are columns"),
        ],
    )  # fmt: skip
    with path.open("ab") as handle:
        handle.write(b"\r\ng,\xff,acme,1\r\n")
    told = run(server, ready, path, *MAPPED)
    assert counts(told) == (8, 2, 1, 5)
    assert rejects(path)[0] == ["line", "reason", *HEADER]
    refused = {row[2]: (int(row[0]), row[1]) for row in rejects(path)[1:]}
    assert {name: line for name, (line, _) in refused.items()} == {"b": 3, "c": 4, "e": 7, "f": 8, "g": 11}
    for name, part in {"b": "ACCOUNT_NOT_FOUND", "c": "ISO 8601", "e": "attributes", "f": "columns"}.items():
        assert part in refused[name][1], refused
    assert status_of(ready.http, quote('d\n"quoted", d-x')) == ["COMPLETED_EVENT_METERED"]
    found = expect(ready.http.get("/events/a-x"), 200)["events"][0]["eventPayload"]
    assert (found["timestamp"], found["attributes"][0]["value"]) == ("2024-05-10T09:01:00.123456Z", "1.50")
    assert balance(ready) == {"received": 3, "metered": 2, "rejected": 1}
    expect(ready.http.post("/accounts/acme/add_aliases", json={"aliases": ["nobody"]}), 200)
    assert counts(run(server, ready, path, *MAPPED)) == (8, 1, 3, 4)
    assert balance(ready) == {"received": 4, "metered": 3, "rejected": 1}
    assert problems(server, ready) == []


def test_events_a_line_each(ready: Tenant, server: Server, tmp_path: Path) -> None:
    path = tmp_path / "usage.ndjson"
    fine = [event(f"e{n}", AT, tokens=n) for n in range(5)]
    lines = [json.dumps(one) for one in fine]
    lines[1:1] = [
        "", "{", f"{lines[0]},{lines[1]}", "7", json.dumps(event("late", "2024-01-01T00:00:00Z")),
        json.dumps({**fine[0], "id": "x", "more": 1}), json.dumps(event(None, AT)), '{"a":[1', "2]}",
    ]  # fmt: skip
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    told = run(server, ready, path)
    assert counts(told) == (13, 5, 0, 8)
    assert [int(row[0]) for row in rejects(path)[1:]] == [3, 4, 5, 6, 7, 8, 9, 10]
    assert "NO_EVENT_ID" in rejects(path)[6][1]
    assert balance(ready) == {"received": 6, "metered": 5, "rejected": 1}
    assert counts(run(server, ready, path)) == (13, 0, 5, 8), "what is refused still is told again"
    assert balance(ready) == {"received": 6, "metered": 5, "rejected": 1}, "and adds nothing"
    assert counts(run(server, ready, path, "--backfill")) == (13, 1, 5, 7)
    assert problems(server, ready) == []


def test_fields_of_lines_by_a_mapping(ready: Tenant, server: Server, tmp_path: Path) -> None:
    path = tmp_path / "usage.log"
    rows = [{"id": n, "at": AT, "account": "acme", "tokens": n + 0.25} for n in range(3)]
    path.write_text("\n".join(map(json.dumps, [*rows, {"id": 9}, [1]])))
    assert "--format" in run(server, ready, path, *MAPPED, status=2)
    assert counts(run(server, ready, path, *MAPPED, "--format", "ndjson")) == (5, 3, 0, 2)
    found = expect(ready.http.get("/events/2-x"), 200)["events"][0]["eventPayload"]
    assert found["attributes"][0]["value"] == "2.25"


def test_what_is_known_is_not_kept_again(ready: Tenant, server: Server, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "usage.csv", [(n, AT, "acme", n) for n in range(50)])
    kept = "select count(*) from bursar.event_body where workspace = %s"
    found = []
    for number in range(3):
        told = run(server, ready, path, *MAPPED)
        assert (told["resumed"], told["known"]) == (0, 50 if number else 0), "what has ended begins anew"
        with psycopg.connect(server.dsn) as connection:
            found.append(connection.execute(kept, [ready.caller.workspace]).fetchone())
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ((), "--schema"),
        (("--schema", "llm"), "--id"),
        (("--schema", "llm", "--id", "nope", "--timestamp", "at", "--account", "=acme"), "'nope' is not a column"),
        ((*MAPPED, "--format", "xml"), "csv, ndjson, parquet"),
        ((*MAPPED, "--attribute", "tokens"), "NAME=COLUMN"),
    ],
)
def test_imports_that_are_not_asked_rightly(
    ready: Tenant, server: Server, tmp_path: Path, arguments: tuple[str, ...], part: str
) -> None:
    path = write_csv(tmp_path / "usage.csv", [])
    assert part in run(server, ready, path, *arguments, status=2)


def test_a_file_of_parquet(ready: Tenant, server: Server, tmp_path: Path) -> None:
    path = tmp_path / "usage.parquet"
    path.write_bytes(b"PAR1")
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    assert "Parquet" in run(server, ready, path, *MAPPED, status=2)
    count = 2_500
    moments = [datetime(2024, 5, 10, 9, n % 60, tzinfo=UTC) for n in range(count)]
    table = arrow.table(
        {
            "id": [f"p{n}" for n in range(count)],
            "at": arrow.array(moments, arrow.timestamp("ns", "UTC")),
            "account": arrow.array(["acme", "nobody"] * (count // 2)).dictionary_encode(),
            "tokens": [n + 0.5 for n in range(count)],
        }
    )
    parquet.write_table(table, path, row_group_size=700)
    assert counts(run(server, ready, path, *MAPPED)) == (count, count // 2, 0, count // 2)
    assert [row[0] for row in rejects(path)[1:3]] == ["2", "4"]
    found = expect(ready.http.get("/events/p2-x"), 200)["events"][0]["eventPayload"]
    assert (found["attributes"][0]["value"], found["timestamp"]) == ("2.5", "2024-05-10T09:02:00Z")
    assert counts(run(server, ready, path, *MAPPED)) == (count, 0, count // 2, count // 2)
    source = open_source(path, Format.PARQUET, COLUMNS)
    assert gone_on_with(source) == gone_on_with(source, whole=True)


def test_parquet_without_its_extra_says_what_is_missing(ready: Tenant, server: Server, tmp_path: Path) -> None:
    try:
        import pyarrow  # type: ignore[import-not-found, unused-ignore]  # noqa: F401, PLC0415
    except ImportError:
        path = tmp_path / "usage.parquet"
        path.write_bytes(b"PAR1")
        assert "pip install 'bursar[parquet]'" in run(server, ready, path, *MAPPED, status=2)


COLUMNS = Columns(schema="=llm", id="id", timestamp="at", account="account", attributes={"tokens": "tokens"})


def gone_on_with(source: Source, *, whole: bool = False) -> list[tuple[int, bytes]]:
    """Lines and events of a file, read from each batch's end anew, or as a whole."""
    if whole:
        return [pair for batch in source.batches(None) for pair in zip(batch.lines, batch.events, strict=True)]
    found: list[tuple[int, bytes]] = []
    start = None
    while True:
        batch = next(source.batches(start), None)
        if batch is None:
            return found
        found += zip(batch.lines, batch.events, strict=True)
        start = batch.end
        assert source.has(start)


def _files(folder: Path) -> Iterator[tuple[Path, Format, Columns | None]]:
    rows: list[tuple[Any, ...]] = [(f"é{n}\n{n}" if n % 7 == 0 else n, AT, "acme", n) for n in range(3_300)]
    yield write_csv(folder / "a.csv", rows), Format.CSV, COLUMNS
    lines = folder / "a.ndjson"
    lines.write_text("\n\n".join(json.dumps(event(f"e{n}", AT)) for n in range(2_300)))
    yield lines, Format.NDJSON, None


def test_a_file_read_in_parts_is_the_file(tmp_path: Path) -> None:
    for path, kind, mapping in _files(tmp_path):
        source = open_source(path, kind, mapping)
        whole = gone_on_with(source, whole=True)
        assert gone_on_with(source) == whole
        end = [batch.end for batch in source.batches(None)][-2]
        content = bytearray(path.read_bytes())
        assert source.has(end._replace(position=end.position)), "as it is"
        with path.open("ab") as handle:
            handle.write(b"\n")
        assert source.has(end), "what grows behind it changes nothing"
        content[end.position // 2] ^= 1
        path.write_bytes(content)
        assert not source.has(end), "another file does not go on there"
        path.write_bytes(content[: end.position - 1])
        assert not source.has(end), "nor a shorter one"


@pytest.fixture
def by_a_hand(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """All rows are admitted by a process beside the one that imports, which is found here."""
    hands: list[Any] = []
    whole = import_hands.admitters

    @asynccontextmanager
    async def one(*arguments: Any, **options: Any) -> AsyncIterator[Sequence[Admitter]]:
        async with whole(*arguments, **options) as (_, *others):
            await asyncio.wait_for(others[0].ready.wait(), PATIENCE)
            hands.append(others[0])
            yield others[:1]

    monkeypatch.setattr(import_hands, "FROM", 0)
    monkeypatch.setattr(imports, "admitters", one)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    return hands


def test_a_process_beside_it_admits_the_same(
    ready: Tenant, server: Server, tmp_path: Path, by_a_hand: list[Any]
) -> None:
    rows: list[tuple[Any, ...]] = [(f"é{n}", AT, "nobody" if n == 1_700 else "acme", n) for n in range(2_500)]
    path = write_csv(tmp_path / "usage.csv", [*rows, ("bad", "yesterday", "acme", 1)])
    assert counts(run(server, ready, path, *MAPPED)) == (2_501, 2_499, 0, 2)
    assert [row[0] for row in rejects(path)[1:]] == ["1702", "2502"]
    assert balance(ready) == {"received": 2_500, "metered": 2_499, "rejected": 1}
    assert counts(run(server, ready, path, *MAPPED)) == (2_501, 0, 2_499, 2)
    lines = tmp_path / "usage.ndjson"
    lines.write_text("\n".join([*(json.dumps(event(f"line-{n}", AT)) for n in range(1_100)), "{", "7"]))
    assert counts(run(server, ready, lines)) == (1_102, 1_100, 0, 2)
    assert [row[0] for row in rejects(lines)[1:]] == ["1101", "1102"]
    with path.open("a") as handle:
        handle.write("x" * 200_000)
    assert "line 2503: field larger" in run(server, ready, path, *MAPPED, status=2)
    broken = tmp_path / "nothing.ndjson"
    broken.touch()
    assert counts(run(server, ready, broken)) == (0, 0, 0, 0)
    assert len(by_a_hand) == 5
    assert problems(server, ready) == []


def test_both_admit_where_both_are_there(
    ready: Tenant, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(tmp_path / "usage.csv", [(n, AT, "acme", n) for n in range(9_500)])
    admitted: dict[str, int] = {}
    whole = import_hands.admitters

    @asynccontextmanager
    async def both(*arguments: Any, **options: Any) -> AsyncIterator[Sequence[Admitter]]:
        async with whole(*arguments, **options) as found:
            await asyncio.wait_for(found[1].ready.wait(), PATIENCE)
            for one in found:
                monkeypatch.setattr(one, "admit", _counted(one, admitted))
            yield found

    monkeypatch.setattr(import_hands, "FROM", 0)
    monkeypatch.setattr(imports, "admitters", both)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert counts(run(server, ready, path, *MAPPED)) == (9_500, 9_500, 0, 0)
    assert set(admitted) == {"_Here", "_Hand"}
    assert sum(admitted.values()) == balance(ready)["metered"] == 9_500
    assert problems(server, ready) == []


def _counted(one: Admitter, admitted: dict[str, int]) -> Any:
    admit = one.admit

    async def counting(events: Sequence[bytes], *, sound: bool) -> Any:
        name = type(one).__name__
        admitted[name] = admitted.get(name, 0) + len(events)
        return await admit(events, sound=sound)

    return counting


def test_an_import_ends_where_a_process_beside_it_does_and_goes_on_later(
    ready: Tenant, server: Server, tmp_path: Path, by_a_hand: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(tmp_path / "usage.csv", [(n, AT, "acme", n) for n in range(3_500)])
    admit = import_hands.__dict__["_Hand"].admit

    async def cut_off(hand: Any, events: Sequence[bytes], *, sound: bool) -> Any:
        if len(events) == 500:
            os.kill(hand.pid, signal.SIGKILL)
        return await admit(hand, events, sound=sound)

    monkeypatch.setattr(import_hands.__dict__["_Hand"], "admit", cut_off)
    said = run(server, ready, path, *MAPPED, status=2)
    assert "run the import again" in said
    assert "Traceback" not in said, "of the other rows that were on their way"
    monkeypatch.setattr(import_hands.__dict__["_Hand"], "admit", admit)
    told = run(server, ready, path, *MAPPED)
    assert (told["rows"], told["rejected"]) == (3_500, 0)
    assert balance(ready) == {"received": 3_500, "metered": 3_500}
    assert problems(server, ready) == []


def test_a_field_beyond_measure_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,at,account,tokens\n1,2,3,4\n" + "x" * 200_000)
    with pytest.raises(Invalid, match=r"a\.csv, line 3: field larger than field limit"):
        list(open_source(path, Format.CSV, COLUMNS).batches(None))


ROWS = 24_000


def test_an_import_that_is_killed_goes_on_where_it_was(ready: Tenant, server: Server, tmp_path: Path) -> None:
    """kill -9 in the middle, twice: nothing is lost, nothing doubled, and what was done is not looked at again."""
    path = write_csv(
        tmp_path / "usage.csv",
        [(n, AT, "nobody" if n % 1000 == 7 else "acme", n) for n in range(ROWS)],
    )
    at = ("--workspace", ready.name, "--database-url", server.dsn)
    before = 0
    for _ in range(2):
        with subprocess.Popen(
            [*BURSAR, "import", "events", str(path), *MAPPED, *at], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        ) as running:
            before = _marked_beyond(server, ready, before)
            running.send_signal(signal.SIGKILL)
    assert 0 < before < ROWS
    stored = balance(ready)
    assert stored["received"] < ROWS, "it was killed in the middle"
    told = run(server, ready, path, *MAPPED)
    assert told["resumed"] == before
    refused = ROWS // 1000
    assert (told["rows"], told["rejected"]) == (ROWS, refused)
    assert told["accepted"] + told["known"] == ROWS - refused
    assert [int(row[0]) for row in rejects(path)[1:]] == [n + 2 for n in range(7, ROWS, 1000)], "each told once"
    assert balance(ready) == {"received": ROWS, "metered": ROWS - refused, "rejected": refused}
    assert problems(server, ready) == []


def _marked_beyond(server: Server, tenant: Tenant, rows: int) -> int:
    """Wait until more rows are noted as done; returns how many."""
    deadline = time.monotonic() + PATIENCE
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        while time.monotonic() < deadline:
            found = connection.execute(
                "select rows from bursar.import_mark where workspace = %s", [tenant.caller.workspace]
            ).fetchone()
            if found is not None and found[0] > rows:
                return int(found[0])
            time.sleep(0.005)
    raise AssertionError("nothing was noted")


def test_the_mark_of_another_file_is_no_mark(ready: Tenant, server: Server, tmp_path: Path) -> None:
    """A file that was written anew since is read from its start, though it begins like the one that was cut off."""
    path = write_csv(tmp_path / "usage.csv", [(n, AT, "acme", n) for n in range(3_000)])
    marks = tmp_path / "marks"
    marks.mkdir()
    at = ("--workspace", ready.name, "--database-url", server.dsn)
    for point in ("events judged", "events stored", "events counted", "events committed"):
        (marks / point).touch()
    killed = subprocess.run(
        [*BURSAR, "import", "events", str(path), *MAPPED, *at],
        check=False, capture_output=True, env={**os.environ, "BURSAR_CRASH_DIR": str(marks)},
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    content = path.read_text()
    path.write_text(content.replace("acme,900\n", "acme,901\n").replace("acme,900\r\n", "acme,901\r\n"))
    told = run(server, ready, path, *MAPPED)
    assert (told["resumed"], told["rows"]) == (0, 3_000)
    assert told["rejected"] == 1, "the row that says something else now"
    assert balance(ready) == {"received": 3_001, "metered": 3_000, "duplicate": 1}
    ingest(ready.http, event("900-x", AT, tokens=900))
    assert problems(server, ready) == []
