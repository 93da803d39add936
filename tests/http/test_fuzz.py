"""Whatever is sent, the answer is one that the OpenAPI document names, and never a 5xx.

A few cases per operation here; `make fuzz` sets BURSAR_FUZZ_EXAMPLES for a hundred thousand in all.
"""

import os
from datetime import UTC, datetime
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from bursar.http.app import load_doors
from bursar.http.openapi import document
from tests.conftest import Server, Tenant

EXAMPLES = int(os.environ.get("BURSAR_FUZZ_EXAMPLES", "6"))
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
BOUNDED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="BURSAR_FUZZ_EXAMPLES" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
)

FEW = 6
"""Query parameters of an operation of the carrier's door that are tried where examples are few: it has a filter for
each attribute and condition."""


def _fewer(content: dict[str, Any]) -> dict[str, Any]:
    """A document without PUT, which is handled as PATCH, and with some of each operation's query parameters."""
    for number, methods in enumerate(content["paths"].values()):
        methods.pop("put", None)
        for entry in methods.values():
            named = [parameter for parameter in entry["parameters"] if "$ref" in parameter]
            step = max(1, len(named) // FEW)
            kept = named[number % step :: step]
            entry["parameters"] = [p for p in entry["parameters"] if "$ref" not in p or p in kept]
    return content


_documents = [document(door) for door in load_doors()]
togai, native = (schemathesis.openapi.from_dict(content) for content in _documents[:2])
_YETI = _documents[2] if "BURSAR_FUZZ_EXAMPLES" in os.environ else _fewer(_documents[2])
yeti = schemathesis.openapi.from_dict(_YETI)


@pytest.fixture(scope="module")
def target(server: Server) -> Tenant:
    """A sandbox of its own, so that whatever is made in it disturbs nobody."""
    return server.workspace(clock=datetime(2024, 5, 1, tzinfo=UTC))


def _send(case: Any, target: Tenant) -> None:
    headers = {"authorization": f"Bearer {target.token}"}
    case.call_and_validate(base_url=target.url, headers=headers, timeout=10, checks=CHECKS)


@togai.parametrize()
@BOUNDED
def test_the_togai_door(case: Any, target: Tenant) -> None:
    _send(case, target)


@native.parametrize()
@BOUNDED
def test_the_native_door(case: Any, target: Tenant) -> None:
    _send(case, target)


@yeti.parametrize()
@BOUNDED
def test_the_yeti_door(case: Any, target: Tenant) -> None:
    _send(case, target)
