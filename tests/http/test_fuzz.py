"""Whatever is sent, the answer is one that the OpenAPI document names, and never a 5xx.

A few cases per operation here; `make fuzz` sets BURSAR_FUZZ_EXAMPLES for a hundred thousand in all.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from requests.adapters import HTTPAdapter
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation.feedback import FeedbackSources
from schemathesis.pytest._test_builder import build_operation_test
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from urllib3.util import Retry

from bursar.http.app import load_doors
from bursar.http.openapi import document
from tests.conftest import Server, Tenant
from tests.http.yeti.carrier import contractor, make
from tests.http.yeti.carrier import document as document_of

EXAMPLES = int(os.environ.get("BURSAR_FUZZ_EXAMPLES", "2"))
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
BOUNDED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="BURSAR_FUZZ_EXAMPLES" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
)

FEW = 3
"""Query parameters of an operation of the carrier's doors that are tried where examples are few: there is a filter for
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
if "BURSAR_FUZZ_EXAMPLES" not in os.environ:
    _documents[2:] = map(_fewer, _documents[2:])
_CUSTOMER = 3
Described = APIOperation[Any, Any, Any, Any]


DEEP = frozenset((
    "PATCH /price_plans/{price_plan_id}", "POST /accounts/{account_id}/edit_schedules", "POST /revenue_calculator",
    "POST /accounts/{account_id}/price_plans", "POST /accounts/{account_id}/purchases",
    "POST /accounts/{account_id}/purchase_proposals",
))  # fmt: skip
"""Operations with the whole of a price plan in their bodies. Where examples are few, their systematic requests are left
out: those of POST /price_plans have the same parts, and each takes as long as fifty other operations."""


def _described(content: dict[str, Any]) -> Iterator[Described]:
    drawn_only = schemathesis.Config.from_dict({"phases": {"coverage": {"enabled": False}}})
    for config in (None, drawn_only):
        for result in schemathesis.openapi.from_dict(content, config=config).get_all_operations():
            assert isinstance(result, Ok), result
            operation = result.ok()
            if (operation.label in DEEP and "BURSAR_FUZZ_EXAMPLES" not in os.environ) == (config is drawn_only):
                yield operation


_operations = {
    operation.label: (number, operation)
    for number, content in enumerate(_documents)
    for operation in _described(content)
}


@pytest.fixture(scope="module")
def target(server: Server) -> Tenant:
    """A sandbox of its own, so that whatever is made in it disturbs nobody."""
    return server.workspace(clock=datetime(2024, 5, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def portal(target: Tenant) -> Tenant:
    """The sandbox as a customer of its sees it, who has an account and one of most things."""
    number = contractor(target, "customer")
    of = {"account": ("accounts", make(
        target, "accounts", document_of("accounts", {"name": "mine"}, contractor=("contractors", number))
    )["id"])}  # fmt: skip
    make(target, "payments", document_of("payments", {"amount": 5}, **of))
    make(target, "transactions", document_of("transactions", {"amount": 2}, **of))
    links = {"customer": ("contractors", number)}
    lent = make(target, "customer-tokens", document_of("customer-tokens", {}, **links))
    return replace(target, token=lent["attributes"]["token"])


class _Elsewhere(HTTPAdapter):
    """Sends from an address of its own: logins that fail here must hold up nobody who logs in from the usual one.

    What is told by a machine out of breath to come again does so. Where it is the input's doing, it is told so again.
    """

    def __init__(self) -> None:
        super().__init__(
            max_retries=Retry(
                total=None, connect=0, read=0, status=3, status_forcelist=[503], allowed_methods=None,
                raise_on_status=False,
            )
        )  # fmt: skip

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, source_address=("127.0.0.9", 0), **options)


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.mount("http://", _Elsewhere())
        yield session


@pytest.mark.parametrize("name", _operations)
def test_every_answer_is_one_that_the_document_names(
    name: str, target: Tenant, elsewhere: requests.Session, request: pytest.FixtureRequest
) -> None:
    door, operation = _operations[name]
    sender: Tenant = request.getfixturevalue("portal") if door == _CUSTOMER else target
    headers = {"authorization": f"Bearer {sender.token}"}

    @BOUNDED
    def send(case: Any) -> None:
        # A request whose length is none is no HTTP, and never reaches an operation.
        case.headers.pop("content-length", None)
        case.call_and_validate(base_url=sender.url, session=elsewhere, headers=headers, timeout=10, checks=CHECKS)

    # What `parametrize` of a schema does for all operations while tests are collected, which every test process does:
    # the systematic cases of one operation take longer to make than to send.
    build_operation_test(
        config=operation.schema.config,
        operation=operation,
        test_func=send,
        given_kwargs={},
        feedback=FeedbackSources(),
    )()
