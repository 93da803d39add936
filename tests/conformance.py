"""Which operations of the Togai API the tests called, how, and what they were answered: the table in docs/togai.md."""

import json
import os
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from pathlib import Path
from typing import Any

import pytest

from bursar.http.app import load_doors

CONTRACT = Path(__file__).parent / "http" / "togai" / "operations.json"
TABLE = Path(__file__).parents[1] / "docs" / "togai.md"
HERE = "tests/http/togai/"
WRITE = "BURSAR_WRITE_CONFORMANCE"
CLIENT = b"OpenAPI-Generator/"
RAW_ONLY = {"addCurrencyToPricePlan", "removeCurrencyFromPricePlan"}
"""Operations for which the published client has no method."""

calls: Counter[tuple[str, bool, int]] = Counter()
"""Requests by operation, whether the published client sent them, and status."""

App = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]


def recorded(app: App) -> App:
    """The application, with the requests counted that the tests of this dialect send."""
    togai, *_ = load_doors()
    table = [
        (operation.method, re.compile(re.sub(r"{\w+}", "[^/]+", operation.path) + "$"), operation.id)
        for operation in sorted(togai.operations, key=lambda operation: "{" in operation.path)
    ]

    async def around(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not os.environ.get("PYTEST_CURRENT_TEST", "").startswith(HERE):
            await app(scope, receive, send)
            return
        raw = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
        found = next((name for method, path, name in table if method == scope["method"] and path.match(raw)), None)
        client = dict(scope["headers"]).get(b"user-agent", b"").startswith(CLIENT)

        async def observed(message: MutableMapping[str, Any]) -> None:
            if found is not None and message["type"] == "http.response.start":
                calls[found, client, message["status"]] += 1
            await send(message)

        await app(scope, receive, observed)

    return around


def contract() -> list[tuple[str, str, str, str]]:
    """Method, path, id and family of every operation of the contract."""
    return [tuple(row) for row in json.loads(CONTRACT.read_text())]


def implemented() -> dict[tuple[str, str], str]:
    """Ids of our operations by method and path without names of parameters."""
    togai, *_ = load_doors()
    return {(operation.method, _nameless(operation.path)): operation.id for operation in togai.operations}


def _nameless(path: str) -> str:
    return re.sub(r"{\w+}", "{}", path)


def table(counted: Counter[tuple[str, bool, int]]) -> str:
    """The page: a row for each operation of the contract."""
    ours = implemented()
    lines = [
        "# Conformance with the Togai API",
        "",
        "Written by `make conformance` from what the tests in `tests/http/togai` send to a running server, which",
        "check each answer. *Client* counts requests of the published client, *raw* those of plain HTTP.",
        "",
        "| family | request | client | raw | answers |",
        "|---|---|---:|---:|---|",
    ]
    done = 0
    for method, path, _, family in contract():
        name = ours.get((method, _nameless(path)))
        if name is None:
            lines.append(f"| {family} | `{method} {path}` | | | not yet |")
            continue
        done += 1
        seen = {(client, status): n for (operation, client, status), n in counted.items() if operation == name}
        sums = [sum(n for (client, _), n in seen.items() if client is kind) for kind in (True, False)]
        answers = ", ".join(str(status) for status in sorted({status for _, status in seen}))
        lines.append(f"| {family} | `{method} {path}` | {sums[0]} | {sums[1]} | {answers} |")
    lines[4:4] = ["", f"{done} of {len(contract())} operations are offered."]
    return "\n".join(lines) + "\n"


class Plugin:
    """Gathers the counts of all test processes, and writes the page where that is asked for."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A test process has ended."""
        _add(getattr(node, "workeroutput", {}).get("conformance", ()))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """All tests have run."""
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["conformance"] = [[*key, count] for key, count in calls.items()]
        elif os.environ.get(WRITE):
            TABLE.write_text(table(calls))


def _add(rows: Iterable[tuple[str, bool, int, int]]) -> None:
    for name, client, status, count in rows:
        calls[name, client, status] += count
