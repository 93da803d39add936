"""Input made to hurt: refused, or stored as the data that it is, at once, and without memory to pay for it."""

import json
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bursar.http.app import load_doors
from bursar.http.door import Operation
from tests.conftest import Server, Tenant
from tests.http.test_walls import BODIES, bodies
from tests.http.togai.catalog import card, expect, per_unit

SOON = 0.05
TRIES = 5
DIGITS = "9" * 512
BOMBS: dict[str, bytes] = {
    "arrays in arrays": b"[" * 100_000,
    "objects in objects": b'{"a":' * 50_000,
    "closed arrays in arrays": b"[" * 50_000 + b"]" * 50_000,
    "a field of arrays": b'{"name":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "an endless string": b'{"name":"' + b"x" * 900_000,
    "a long string": b'{"name":"' + b"x" * 900_000 + b'"}',
    "escapes": b'{"name":"' + b"\\u0041" * 150_000 + b'"}',
    "a long key": b'{"' + b"k" * 900_000 + b'":1}',
    "many keys": b"{" + b",".join(b'"k%d":0' % n for n in range(60_000)) + b"}",
    "many numbers": b"[" + b"1," * 400_000 + b"1]",
    "a number of 512 digits": f'{{"name":{DIGITS}}}'.encode(),
    "a fraction of 512 digits": f'{{"limit":0.{DIGITS}}}'.encode(),
    "an exponent": b'{"limit":1e999999999}',
    "a number of a million digits": b'{"limit":' + b"7" * 900_000 + b"}",
    "white space": b" " * 900_000,
    "not UTF-8": b'{"name":"\xff\xfe"}',
    "half a surrogate": b'{"name":"\\ud800"}',
    "NUL": b'{"name":"a\\u0000b"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "nothing": b"",
}
STRINGS = (
    "'; drop table customer; --", "' or '1'='1", "$1", "%s%n", "{{7*7}}", "${jndi:ldap://x}", "<script>x</script>",
    "../../etc/passwd", "a\r\nSet-Cookie: x","\x7f\x1b[31m", "\u202eevil", "\ufdfa" * 30, "\U0001f469\u200d\U0001f467",
    "\ud7ff\uffff", "-1e400", "null", "9999-12-31T23:59:59Z", "0000-00-00", "x" * 10_000,
)  # fmt: skip
CURSORS = (
    "",
    "0",
    "-1",
    "1e9",
    "99999999999999999999",
    "x",
    "' or 1=1",
    "\u0661",
    "%00",
    "1" * 5_000,
    "AAAA====",
    "1,2",
)
SIZES = ("0", "-1", "1e3", "100000000000000000000", "NaN", "1.5", "", "true", "\u0663")
LOGIC: tuple[Any, ...] = (
    {"+": [1] * 20_000},
    {"map": [{"var": "a"}, {"map": [{"var": "a"}, {"map": [{"var": "a"}, 1]}]}]},
    {"var": "a." * 5_000},
    {"*": [DIGITS, DIGITS]},
    {"substr": ["x" * 5_000, -(10**9), 10**9]},
    {"unheard_of": []},
    {"if": []},
    "\ud7ff",
)
OPERATIONS = [operation for door in load_doors()[:2] for operation in door.operations]
WITH_BODY = [operation for operation in OPERATIONS if operation.body is not None]
WITH_QUERY = [operation for operation in OPERATIONS if operation.query is not None]


@pytest.fixture(scope="module")
def tenant(server: Server) -> Tenant:
    return server.workspace()


def path(operation: Operation) -> str:
    return re.sub(r"{\w+}", "x", operation.path)


def post(tenant: Tenant, operation: Operation, content: bytes) -> tuple[int, float]:
    """Status, and the least time of several tries."""
    times = []
    status = 0
    for _ in range(TRIES):
        began = time.perf_counter()
        status = tenant.http.request(
            operation.method, path(operation), content=content, headers={"content-type": "application/json"}
        ).status_code
        times.append(time.perf_counter() - began)
        if times[-1] < SOON:
            break
    return status, min(times)


@pytest.mark.parametrize("operation", WITH_BODY, ids=lambda operation: operation.id)
def test_bombs_are_refused_at_once(tenant: Tenant, operation: Operation) -> None:
    for name, content in BOMBS.items():
        status, seconds = post(tenant, operation, content)
        assert 400 <= status < 500, (name, status)
        assert seconds < SOON, (name, seconds)


@pytest.mark.parametrize("where", ["/ingest", "/ingestBatch"])
def test_bombs_of_events_are_refused_at_once(tenant: Tenant, where: str) -> None:
    wrapped = {name: b'{"event":' + content + b"}" for name, content in BOMBS.items()}
    wrapped |= {f"{name} in a list": b'{"events":[' + content + b"]}" for name, content in BOMBS.items()}
    for name, content in {**BOMBS, **wrapped}.items():
        times = []
        for _ in range(TRIES):
            began = time.perf_counter()
            status = tenant.http.post(where, content=content).status_code
            times.append(time.perf_counter() - began)
            if times[-1] < SOON:
                break
        assert 400 <= status < 500, (name, status)
        assert min(times) < SOON, (name, times)


def memory() -> int:
    """Resident bytes of this process, in which the server runs."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_memory_is_flat(tenant: Tenant) -> None:
    def throw() -> None:
        for content in BOMBS.values():
            tenant.http.post("/customers", content=content)
            tenant.http.post("/ingestBatch", content=content)

    throw()
    before = memory()
    for _ in range(10):
        throw()
    assert memory() - before < 32 << 20


def leaves(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where strings stand in a body."""
    if isinstance(value, str):
        yield at
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*at, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*at, index))


def put(body: Any, at: tuple[Any, ...], text: str) -> Any:
    """A copy of a body with a string in one place."""
    copy = json.loads(json.dumps(body))
    inner = copy
    for step in at[:-1]:
        inner = inner[step]
    inner[at[-1]] = text
    return copy


SOUND: dict[str, Any] = {
    **BODIES,
    **bodies(defaultdict(lambda: "x")),
    "createCustomer": {
        "id": "c", "name": "Customer", "primaryEmail": "c@example.com", "address": {"line1": "Street"},
        "account": {"id": "c", "name": "Account", "tags": ["a"], "metadata": {"k": "v"}},
    },
    "createAlias": {"aliases": ["alias"]},
    "createEventSchema": {
        "name": "schema", "description": "d", "attributes": [{"name": "a", "defaultUnit": "u"}],
        "dimensions": [{"name": "d"}], "filterFields": ["d"],
    },
    "createAddOn": {"name": "AddOn", "type": "FIXED_FEE"},
    "createToken": {"name": "token"},
    "setClock": {"now": "2024-01-01T00:00:00Z"},
}  # fmt: skip


@pytest.mark.parametrize("operation", [o for o in WITH_BODY if o.id in SOUND], ids=lambda operation: operation.id)
def test_strings_are_data_or_refused(tenant: Tenant, operation: Operation) -> None:
    for at in leaves(SOUND[operation.id]):
        for text in STRINGS:
            answer = tenant.http.request(operation.method, path(operation), json=put(SOUND[operation.id], at, text))
            assert answer.status_code < 500, (at, text, answer.text)
            assert answer.elapsed.total_seconds() < 1, (at, text)
            if answer.status_code >= 400:
                assert json.loads(answer.text), (at, text)


def test_what_is_accepted_comes_back_as_it_was_sent(tenant: Tenant) -> None:
    for number, text in enumerate(text for text in STRINGS if 3 <= len(text) <= 100 and text.isprintable()):
        body = {"id": f"data{number}", "name": text, "primaryEmail": "c@example.com", "address": {"line1": text}}
        answer = tenant.http.post("/customers", json=body)
        if answer.status_code == 201:
            got = expect(tenant.http.get(f"/customers/data{number}"), 200)
            assert got["name"] == text
            assert got["address"] == {"line1": text}


@pytest.mark.parametrize("operation", WITH_QUERY, ids=lambda operation: operation.id)
def test_cursors_and_sizes_are_refused_or_lead_nowhere(tenant: Tenant, operation: Operation) -> None:
    fields = set(operation.query.__struct_encode_fields__)  # type: ignore[union-attr]
    for name in fields:
        for text in (*CURSORS, *SIZES, *STRINGS[:8]):
            answer = tenant.http.request(operation.method, path(operation), params={name: text})
            assert answer.status_code in (200, 400, 404), (name, text, answer.text)
            assert answer.elapsed.total_seconds() < 1, (name, text)


def test_hostile_rules_are_refused_or_bounded(tenant: Tenant) -> None:
    expect(
        tenant.http.post("/event_schema", json={"name": "rules", "attributes": [{"name": "a"}], "dimensions": []}), 201
    )
    expect(tenant.http.post("/event_schema/rules/activate"), 200)
    for number, logic in enumerate((*LOGIC, _deep(5_000))):
        body = {
            "name": f"rule{number}", "type": "COUNTER", "aggregation": "SUM", "eventSchemaName": "rules",
            "computations": [{"computation": logic if isinstance(logic, str) else json.dumps(logic), "order": 1}],
        }  # fmt: skip
        answer = tenant.http.post("/usage_meters", json=body)
        assert answer.status_code in (201, 400), answer.text
        assert answer.elapsed.total_seconds() < 1


def _deep(levels: int) -> str:
    return '{"!":' * levels + "1" + "}" * levels


def test_slabs_and_rates_of_any_size_are_refused_or_exact(tenant: Tenant) -> None:
    for rate in (DIGITS, "1e-400", "-1", "NaN", "Infinity", "0." + DIGITS):
        details = {
            "supportedCurrencies": ["USD"],
            "pricingCycleConfig": {
                "interval": "MONTHLY", "startOffset": {"dayOffset": "1", "monthOffset": "NIL"}, "gracePeriod": 3,
            },
            "usageRateCards": [card("um.none", per_unit(0), ["RATE"])],
        }  # fmt: skip
        content = json.dumps({"name": "plan", "type": "BILLING", "pricePlanDetails": details})
        answer = tenant.http.post("/price_plans", content=content.replace('"RATE"', rate))
        assert answer.status_code == 400, (rate, answer.text)
        assert answer.json()["message"]
