"""The rules that matter, checked. Each failure names the offender and says what to do."""

import ast
import importlib
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "bursar"
FILES = sorted(SOURCE.rglob("*.py"))
SQL = sorted(path for path in SOURCE.rglob("*.sql") if "migrations" not in path.parts)
MIGRATIONS = sorted((SOURCE / "db" / "migrations" / "versions").glob("*.sql"))
ROOMS = (
    "core",
    "db",
    "notify",
    "accounts",
    "jobs",
    "catalog",
    "usage",
    "ledger",
    "rating",
    "purchases",
    "invoicing",
    "http",
    "runtime",
)
EDGE = ("http", "runtime")
"""Rooms that may look at the wall clock: everything below takes `now` as a parameter."""


def _room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0]


def _name(path: Path) -> str:
    return str(path.relative_to(SOURCE.parents[1]))


def _functions() -> list[tuple[str, int]]:
    return [
        (f"{_name(path)}:{node.lineno} {node.name}", (node.end_lineno or node.lineno) - node.lineno + 1)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_functions_fit_on_a_screen() -> None:
    long = [f"{name} has {lines} lines" for name, lines in _functions() if lines > 60]
    assert not long, "split these functions (60 lines at most): " + "; ".join(long)


def test_files_stay_short() -> None:
    long = [_name(path) for path in [*FILES, *SQL] if len(path.read_text().splitlines()) > 400]
    assert not long, "split these files by subject (400 lines at most): " + ", ".join(long)


def test_no_file_is_a_drawer() -> None:
    drawers = [
        _name(path)
        for path in FILES
        if path.stem in {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
    ]
    assert not drawers, "name these files after their subject: " + ", ".join(drawers)


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_has_a_charter(room: str) -> None:
    module = importlib.import_module(f"bursar.{room}")
    text = module.__doc__ or ""
    assert "Owns:" in text, f"bursar/{room}/__init__.py: say what the room owns"
    assert "Does not own:" in text, f"bursar/{room}/__init__.py: say what the room does not own"
    assert isinstance(module.OWNS, tuple), f"bursar/{room}/__init__.py: list the tables that it alone writes in OWNS"


def test_no_binary_float_touches_money() -> None:
    rooms = ("core", "rating", "ledger", "invoicing", "purchases", "usage", "catalog")
    offenders = [
        f"{_name(path)}:{node.lineno}"
        for path in FILES
        if _room(path) in rooms
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Name) and node.id == "float")
        or (isinstance(node, ast.Constant) and isinstance(node.value, float))
    ]
    # Seconds of a histogram's buckets are the only binary floats there.
    offenders = [place for place in offenders if not place.startswith("src/bursar/usage/pipeline.py")]
    assert not offenders, "use Decimal: " + ", ".join(offenders)


def test_the_clock_is_a_parameter() -> None:
    clock = re.compile(r"\b(datetime\.now|datetime\.utcnow|datetime\.today|date\.today|time\.time)\b")
    offenders = [
        f"{_name(path)}:{number}"
        for path in FILES
        if _room(path) not in EDGE
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if clock.search(line)
    ]
    assert not offenders, "take `now` as a parameter: " + ", ".join(offenders)


def test_sql_never_asks_for_the_time() -> None:
    clock = re.compile(
        r"\b(now\s*\(|current_timestamp|current_date|clock_timestamp|statement_timestamp|localtime)", re.I
    )
    offenders = [_name(path) for path in [*SQL, *MIGRATIONS] if clock.search(path.read_text())]
    assert not offenders, "pass the instant as a parameter: " + ", ".join(offenders)


def test_sql_lives_in_sql_files() -> None:
    statement = re.compile(
        r"^\s*(select\s.+\sfrom|insert\s+into|update\s+\w+\s+set|delete\s+from|with\s+\w+\s+as)\s", re.I | re.S
    )
    offenders = [
        f"{_name(path)}:{node.lineno}"
        for path in FILES
        if _room(path) != "runtime"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and statement.match(node.value)
    ]
    allowed = {"src/bursar/db/migrate.py"}
    offenders = [place for place in offenders if place.split(":")[0] not in allowed]
    assert not offenders, "move these statements to the room's queries.sql: " + ", ".join(offenders)


def test_a_room_writes_only_its_own_tables() -> None:
    write = re.compile(r"\b(?:insert\s+into|update|delete\s+from|truncate(?:\s+table)?)\s+([a-z_]+)\b(?!\s*\()", re.I)
    owner = {table: room for room in ROOMS for table in importlib.import_module(f"bursar.{room}").OWNS}
    offenders = []
    for path in SQL:
        text = re.sub(r"--.*", "", path.read_text())
        text = re.sub(r"\b(for\s+(no\s+key\s+)?update|do\s+update)\b", "", text, flags=re.I)
        # A session's own temporary tables belong to nobody else.
        text = re.sub(r"\binsert\s+into\s+pg_temp\.", "", text, flags=re.I)
        for table in write.findall(text):
            if owner.get(table) != _room(path):
                offenders.append(f"{_name(path)} writes {table} of {owner.get(table, 'nobody')}")
    assert not offenders, "call the owner's service instead: " + "; ".join(offenders)


def test_every_table_has_one_owner() -> None:
    tables = {
        table
        for path in MIGRATIONS
        for table in re.findall(r"^create table (?:if not exists )?(\w+)", path.read_text(), re.M | re.I)
    }
    partitions = {name for name in tables if name.endswith("_default")}
    owned = [table for room in ROOMS for table in importlib.import_module(f"bursar.{room}").OWNS]
    assert len(owned) == len(set(owned)), "a table has two owners"
    missing = tables - partitions - set(owned)
    assert not missing, "add these tables to the OWNS of a room: " + ", ".join(sorted(missing))


def test_every_statement_is_named_and_explained() -> None:
    offenders = []
    for path in SQL:
        heads = re.findall(r"^-- name: (\w+)\n(--.*)?", path.read_text(), re.M)
        offenders += [f"{_name(path)}: {name}" for name, purpose in heads if not purpose.strip("- ")]
    assert not offenders, "say in one line what these statements are for: " + ", ".join(offenders)


def test_every_statement_is_used() -> None:
    code = "\n".join(path.read_text() for path in FILES)
    unused = [
        f"{_name(path)}: {name}"
        for path in SQL
        for name in re.findall(r"^-- name: (\w+)", path.read_text(), re.M)
        if not re.search(rf"\.{name}\b|\"{name}\"", code)
    ]
    assert not unused, "remove these statements: " + ", ".join(unused)


def test_dialects_hold_no_sql_and_no_rule() -> None:
    offenders = [_name(path) for path in (SOURCE / "http").rglob("*.sql")]
    assert not offenders, "a dialect only translates: " + ", ".join(offenders)
