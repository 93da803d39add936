"""Who may not: each operation by the published client's method for it, without a token, out of scope, too often."""

import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import togai_client.api
from togai_client.api_client import ApiClient
from togai_client.configuration import Configuration
from togai_client.exceptions import ApiException

from bursar.accounts.tokens import SCOPES
from bursar.http.app import load_doors
from bursar.http.door import Operation
from tests.conformance import RAW_ONLY
from tests.conftest import Server, Tenant
from tests.http.togai.catalog import expect

OPERATIONS = [operation for operation in load_doors()[0].operations if operation.scope is not None]

Method = Callable[[ApiClient], object]


def nameless(path: str) -> str:
    return re.sub(r"{\w+}", "{}", path)


def methods() -> Iterator[tuple[tuple[str, str], Method]]:
    """The client's methods, by the requests that they send; each sends `x` for an id and an empty body."""
    for module in pkgutil.iter_modules(togai_client.api.__path__):
        loaded = importlib.import_module(f"togai_client.api.{module.name}")
        for _, api in inspect.getmembers(
            loaded, lambda value: inspect.isclass(value) and value.__name__.endswith("Api")
        ):
            for name, function in inspect.getmembers(api, lambda value: hasattr(value, "raw_function")):
                if not name.endswith(("_with_http_info", "_without_preload_content")):
                    source = inspect.getsource(getattr(api, f"_{name}_serialize"))
                    sent = re.findall(r"(?:method|resource_path)='(.*?)'", source)
                    yield (sent[0], nameless(sent[1])), _bound(api, function.raw_function)


def _bound(api: Any, function: Any) -> Method:
    # The arguments are not checked by the client: a refusal must not depend on what is sent.
    needed = [
        parameter for parameter in list(inspect.signature(function).parameters.values())[1:]
        if parameter.default is parameter.empty
    ]  # fmt: skip
    return lambda client: function(
        api(client),
        **{parameter.name: "x" if "str" in str(parameter.annotation).lower() else {} for parameter in needed},
    )


CLIENT = dict(methods())


@pytest.fixture(scope="module")
def tenant(server: Server) -> Tenant:
    return server.workspace()


def client_of(tenant: Tenant, **token: Any) -> ApiClient:
    text = expect(tenant.http.post("/bursar/v1/tokens", json={"name": "refused", **token}), 201)["token"]
    # As it comes, the client waits out `Retry-After` and sends again.
    return ApiClient(Configuration(host=tenant.url, access_token=text, retries=False))


def refused(client: ApiClient, operation: Operation) -> tuple[int, dict[str, str]]:
    """Status and header fields of what an operation is answered; (0, {}) where it succeeds."""
    try:
        CLIENT[operation.method, nameless(operation.path)](client)
    except ApiException as refusal:
        error = refusal
    else:
        return 0, {}
    message = json.loads(error.body)["message"]
    assert message, operation.id
    assert error.data is None or error.data.message == message, "where the client knows the form of refusals"
    return error.status, {name.lower(): value for name, value in error.headers.items()}


CALLED = [operation for operation in OPERATIONS if operation.id not in RAW_ONLY]


def test_the_client_has_a_method_for_each() -> None:
    assert len(CALLED) > 80
    assert {(operation.method, nameless(operation.path)) for operation in CALLED} <= CLIENT.keys()


@pytest.mark.parametrize("operation", CALLED, ids=lambda operation: operation.id)
def test_nobody_gets_in_without_a_token_that_is_known(server: Server, operation: Operation) -> None:
    for configuration in (Configuration(host=server.url), Configuration(host=server.url, access_token="unknown")):
        status, _ = refused(ApiClient(configuration), operation)
        assert status == 401


def test_each_operation_asks_for_its_scope_and_for_no_other(tenant: Tenant) -> None:
    for scope in SCOPES:
        client = client_of(tenant, scopes=[scope])
        for operation in CALLED:
            status, _ = refused(client, operation)
            assert (status == 403) is (scope != operation.scope), (operation.id, scope, status)


def test_each_operation_counts_against_the_limit(tenant: Tenant) -> None:
    for scope in SCOPES:
        own = [operation for operation in CALLED if operation.scope == scope]
        if not own:
            continue
        client = client_of(tenant, scopes=[scope], rateLimit=1)
        refused(client, own[0])
        for operation in own:
            status, headers = refused(client, operation)
            assert status == 429, operation.id
            assert 0 < int(headers["retry-after"]) <= 60
            assert headers["ratelimit"].startswith('"token";r=0;t=')
            assert headers["ratelimit-policy"] == '"token";q=1;w=60'
