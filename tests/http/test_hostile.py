"""Input made to hurt: refused, or stored as the data that it is, at once, and without memory to pay for it."""

import itertools
import json
import math
import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from bursar.http.app import load_doors
from bursar.http.door import Operation
from bursar.http.openapi import document
from tests.conftest import Server, Tenant
from tests.http.test_walls import BODIES, Two, bodies, furnish
from tests.http.togai.catalog import card, event, expect, per_unit

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


@pytest.fixture(scope="module")
def two(server: Server) -> Two:
    return furnish(server)


def soon(tenant: Tenant, send: Callable[[int], httpx.Response]) -> httpx.Response:
    """The first answer of `send`, which is called with 0, 1 ...; one of them must have come at once.

    Where the machine has more to do than this, at once is what ten plain requests take at the same moment.
    """
    first, least, limit = send(0), math.inf, SOON
    for number in range(1, TRIES + 1):
        answer = first if number == 1 else send(number)
        assert answer.status_code < 500, answer.text
        least = min(least, answer.elapsed.total_seconds())
        if least < limit:
            return first
        plain = [tenant.http.get("/aliases").elapsed.total_seconds() for _ in range(3)]
        limit = max(limit, 10 * statistics.median(plain))
    raise AssertionError((first.request.url, least, limit))


def path(operation: Operation) -> str:
    return re.sub(r"{\w+}", "x", operation.path)


@pytest.mark.parametrize("operation", WITH_BODY, ids=lambda operation: operation.id)
def test_bombs_are_refused_at_once(tenant: Tenant, operation: Operation) -> None:
    headers = {"content-type": "application/json"}
    for name, content in BOMBS.items():
        answer = soon(
            tenant,
            lambda _, content=content: tenant.http.request(  # type: ignore[misc]
                operation.method, path(operation), content=content, headers=headers
            ),
        )
        assert 400 <= answer.status_code < 500, (name, answer.text)


@pytest.mark.parametrize("where", ["/ingest", "/ingestBatch", "/entitled"])
def test_bombs_of_events_are_refused_at_once(tenant: Tenant, where: str) -> None:
    wrapped = {name: b'{"event":' + content + b"}" for name, content in BOMBS.items()}
    wrapped |= {f"{name} in a list": b'{"events":[' + content + b"]}" for name, content in BOMBS.items()}
    for name, content in {**BOMBS, **wrapped}.items():
        answer = soon(tenant, lambda _, content=content: tenant.http.post(where, content=content))  # type: ignore[misc]
        assert 400 <= answer.status_code < 500, (name, answer.text)


@pytest.mark.parametrize("media", ["application/cloudevents+json", "application/cloudevents-batch+json"])
def test_bombs_of_cloud_events_are_refused_at_once(tenant: Tenant, media: str) -> None:
    envelope = (
        b'{"specversion":"1.0","id":"i","source":"s","type":"t","subject":"a","time":"2024-05-01T00:00:00Z","data":'
    )
    for name, bomb in BOMBS.items():
        for content in (bomb, envelope + bomb + b"}", b"[" + envelope + b'{"n":' + bomb + b"}}]"):
            answer = soon(
                tenant,
                lambda _, content=content: tenant.http.post(  # type: ignore[misc]
                    "/bursar/v1/events", content=content, headers={"content-type": media}
                ),
            )
            # What an event may say, at this door as at the others, until it is measured.
            said = answer.status_code == 202 and (name == "NUL" or name.endswith("of 512 digits"))
            assert said or 400 <= answer.status_code < 500, (name, answer.text)


def test_bodies_that_are_too_large_are_refused_as_documented(tenant: Tenant) -> None:
    documents = [(door, document(door)["paths"]) for door in load_doors()[:2]]
    operations = [(one, paths) for door, paths in documents for one in door.operations if one.body or one.media]
    assert len(operations) > 50
    for operation, paths in operations:
        of_events = operation.media or operation.scope == "ingest"
        content = b" " * (9_000_000 if of_events else 1_000_001)
        asked = {"action": "UNDO"} if operation.id == "eventCorrection" else None
        answer = tenant.http.request(operation.method, path(operation), params=asked, content=content)
        assert answer.status_code in (413, 422), (operation.id, answer.text)
        assert str(answer.status_code) in paths[operation.path][operation.method.lower()]["responses"], operation.id


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


Place = tuple[Any, ...]
"""Keys and indexes that lead to a value."""
MARKER = "the number"
OTHERS: tuple[Any, ...] = (None, True, 1, "1", [], {}, [[]], {"a": {"a": 1}})
OPEN = {"address", "metadata", "dimensions", "usageMap"}
"""Objects whose fields are the sender's."""


def leaves(value: Any, kind: Any, at: Place = ()) -> Iterator[Place]:
    """Where values of a kind stand in a body."""
    if at and isinstance(value, kind) and not isinstance(value, bool):
        yield at
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, kind, (*at, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, kind, (*at, index))


def put(body: Any, at: Place, text: Any) -> Any:
    """A copy of a body with another value in one place."""
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
    "createAlias": {"aliases": [{"value": "alias"}]},
    "createEventSchema": {
        "name": "schema", "description": "d", "attributes": [{"name": "a", "defaultUnit": "u"}],
        "dimensions": [{"name": "d"}], "filterFields": ["d"],
    },
    "createAddOn": {"name": "AddOn", "type": "FIXED_FEE"},
    "createToken": {"name": "token"},
    "replaceEventSubscriptions": {"subscriptions": [{"event": "AccountLowThesholdReached", "url": "https://a.example"}]},
    "setClock": {"now": "2024-01-01T00:00:00Z"},
    "eventCorrection": {"event": event("e", "2024-05-01T00:00:00Z")},
}  # fmt: skip
NUMBERS = (
    DIGITS, f"-{DIGITS}", f"0.{DIGITS}", f"{DIGITS}.{DIGITS}", "1e512", "1e-512", "1e999999999", "-0", "-0.0", "1e0",
    "NaN", "Infinity", "-1",
)  # fmt: skip


def fresh(body: Any, at: Place, number: int) -> Any:
    """A copy of a body in which names and ids that must be new are so, except at `at`."""
    copy = json.loads(json.dumps(body))
    for key in ("id", "name"):
        if isinstance(copy, dict) and key in copy and at != (key,):
            copy[key] = f"{copy[key]}-{number}"
    if isinstance(copy, dict) and "account" in copy and at != ("account", "id"):
        copy["account"]["id"] += f"-{number}"
    return copy


numbers = itertools.count(1)

ASKED = {"eventCorrection": "?action=REDO_EVENT"}
"""What must be asked beside a body."""
ANSWERED = {("settleHold", "amount"): "settled"}
"""Fields that an answer calls something else: its `amount` is what was held."""
BY_STATE = {
    "AddInvoiceGroupAccounts", "RemoveInvoiceGroupAccounts", "createFeature", "createInvoiceGroup", "eventCorrection",
    "manageMiscellaneousChargesInInvoice", "pricePlanMigration", "settleHold",
}  # fmt: skip
"""Operations that refuse their sound body for what there is already, or for what is not asked beside it."""


def sound(two: Two) -> dict[str, Any]:
    """A body of each operation that the owner may send."""
    dates = {"effectiveFrom": "2024-07-01", "effectiveUntil": "9999-01-01"}
    rates = [{"usageMeterId": two.ids["usage_meter_id"], "slabRates": [{"order": 1, "rate": 2}]}]
    return {
        **SOUND,
        **bodies(two.ids),
        "addCurrencyToPricePlan": {"currency": "EUR", "usageRates": rates},
        "setClock": {"now": "2024-06-11T00:00:00Z"},
        "updatePricingSchedule": {"mode": "ASSOCIATE", "pricePlanId": two.ids["price_plan_id"], **dates},
        "updatePricingScheduleBatch": {"edits": [{"mode": "DISASSOCIATE", **dates}]},
        "updateWalletForAccount": {"status": "ACTIVE"},
        "updateLicenseEntryDetails": {**BODIES["updateLicenseEntryDetails"], "accountId": two.ids["account_id"]},
    }


def test_sound_bodies_are_sound(two: Two) -> None:
    """Or what is tried below would be refused for another reason."""
    refused = {}
    for operation in WITH_BODY:
        body = sound(two)[operation.id]
        answer = two.owner.http.request(
            operation.method, two.path(operation.path, two.ids), json=fresh(body, (), next(numbers))
        )
        if not answer.is_success and operation.id not in BY_STATE:
            refused[operation.id] = answer.text
    assert not refused, "\n".join(f"{name}: {why}" for name, why in refused.items())


@pytest.mark.parametrize("operation", WITH_BODY, ids=lambda operation: operation.id)
def test_strings_are_data_or_refused(two: Two, operation: Operation) -> None:
    """In every field of requests about objects that are there."""
    where, body = two.path(operation.path, two.ids) + ASKED.get(operation.id, ""), sound(two)[operation.id]

    def send(at: Place, text: str) -> httpx.Response:
        return two.owner.http.request(operation.method, where, json=put(fresh(body, at, next(numbers)), at, text))

    for at in leaves(body, str):
        for text in STRINGS:
            answer = soon(two.owner, lambda _, at=at, text=text: send(at, text))  # type: ignore[misc]
            assert answer.is_success or json.loads(answer.text), (at, text)


@pytest.mark.parametrize("operation", WITH_BODY, ids=lambda operation: operation.id)
def test_numbers_of_any_size_are_refused_or_exact(two: Two, operation: Operation) -> None:
    """A number that is taken comes back as the same number, where it comes back."""
    where, body = two.path(operation.path, two.ids) + ASKED.get(operation.id, ""), sound(two)[operation.id]

    def send(at: Place, text: str) -> httpx.Response:
        content = json.dumps(put(fresh(body, at, next(numbers)), at, MARKER)).replace(f'"{MARKER}"', text)
        return two.owner.http.request(
            operation.method, where, content=content, headers={"content-type": "application/json"}
        )

    for at in leaves(body, int | float):
        for text in NUMBERS:
            answer = soon(two.owner, lambda _, at=at, text=text: send(at, text))  # type: ignore[misc]
            if answer.is_success:
                assert abs(Decimal(text)) < 10**26, (at, text)
                wanted = ANSWERED.get((operation.id, str(at[-1])), at[-1])
                said = _numbers(json.loads(answer.text, parse_float=Decimal))
                found = [value for name, value in said if name == wanted]
                assert not found or Decimal(text) in map(Decimal, found), (at, text, found)


def _numbers(value: Any, name: object = None) -> Iterator[tuple[object, Any]]:
    """The numbers of an answer, with the names of their fields."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from _numbers(item, name)
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        yield name, value


@pytest.mark.parametrize("operation", WITH_BODY, ids=lambda operation: operation.id)
def test_fields_that_are_not_there_are_refused(two: Two, operation: Operation) -> None:
    """At every level: nobody sets what the operation does not offer."""
    where, body = two.path(operation.path, two.ids) + ASKED.get(operation.id, ""), sound(two)[operation.id]
    for at in ((), *leaves(body, dict)):
        if OPEN & set(at):
            continue
        answer = two.owner.http.request(operation.method, where, json=put(body, (*at, "workspace"), 1))
        assert answer.status_code == 400, (at, answer.text)
        assert "workspace" in answer.text, (at, answer.text)


@pytest.mark.parametrize("operation", WITH_BODY, ids=lambda operation: operation.id)
def test_values_of_another_type_are_refused_or_taken_as_they_are(two: Two, operation: Operation) -> None:
    where, body = two.path(operation.path, two.ids) + ASKED.get(operation.id, ""), sound(two)[operation.id]
    for at in leaves(body, str | int | float | dict | list):
        for value in OTHERS:
            answer = two.owner.http.request(
                operation.method, where, json=put(fresh(body, at, next(numbers)), at, value)
            )
            assert answer.status_code < 500, (at, value, answer.text)


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
            answer = soon(
                tenant,
                lambda _, name=name, text=text: tenant.http.request(  # type: ignore[misc]
                    operation.method, path(operation), params={name: text}
                ),
            )
            assert answer.status_code in (200, 400, 404), (name, text, answer.text)


def test_hostile_rules_are_refused_or_bounded(tenant: Tenant) -> None:
    expect(
        tenant.http.post("/event_schema", json={"name": "rules", "attributes": [{"name": "a"}], "dimensions": []}), 201
    )
    expect(tenant.http.post("/event_schema/rules/activate"), 200)
    for number, logic in enumerate((*LOGIC, _deep(5_000))):
        text = logic if isinstance(logic, str) else json.dumps(logic)
        for part in ("computation", "matcher"):
            body: dict[str, Any] = {
                "type": "COUNTER", "aggregation": "SUM", "eventSchemaName": "rules",
                "computations": [{"computation": "1", "order": 1, part: text}],
            }  # fmt: skip
            answer = soon(
                tenant,
                lambda turn, body=body, name=f"{part}{number}": tenant.http.post(  # type: ignore[misc]
                    "/usage_meters", json={**body, "name": f"{name}-{turn}"}
                ),
            )
            assert answer.status_code in (201, 400), answer.text


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
