"""CloudEvents 1.0 in their three modes: what they become, and what is wrong with those that become nothing."""

import gzip
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.core.errors import Invalid
from bursar.http.native.cloud_events import BATCHED, STRUCTURED, parse
from bursar.usage.event import body_digest, event_of, parse_batch, raws_of
from bursar.usage.verify import CHECKS
from tests.conftest import Server, Tenant
from tests.http.togai.catalog import customer, event, expect, ingest, meter, schema, status_of

AT = "2024-05-10T09:01:00Z"
PATH = "/bursar/v1/events"


@pytest.fixture(scope="module")
def ready(server: Server) -> Tenant:
    tenant = server.workspace(clock=datetime(2024, 5, 10, 12, tzinfo=UTC))
    customer(tenant.http, aliases=["alias one"])
    schema(tenant.http)
    meter(tenant.http)
    return tenant


def cloud(identifier: str, **more: Any) -> dict[str, Any]:
    content = {
        "specversion": "1.0",
        "id": identifier,
        "source": "/gateway",
        "type": "llm",
        "subject": "acme",
        "time": AT,
        "data": {"tokens": 5, "model": "big"},
        **more,
    }
    return {key: value for key, value in content.items() if value is not ...}


def structured(tenant: Tenant, content: Any, **headers: str) -> httpx.Response:
    return tenant.http.post(PATH, json=content, headers={"content-type": STRUCTURED, **headers})


def batched(tenant: Tenant, content: Any) -> httpx.Response:
    return tenant.http.post(PATH, json=content, headers={"content-type": f"{BATCHED}; charset=utf-8"})


def binary(tenant: Tenant, content: dict[str, Any], **headers: str) -> httpx.Response:
    said = {f"ce-{name}": quote(text) for name, text in content.items() if name != "data"}
    sent = {"content-type": "application/json", **said, **headers}
    return tenant.http.post(PATH, content=json.dumps(content.get("data")), headers=sent)


def kept(tenant: Tenant, identifier: str) -> Any:
    return expect(tenant.http.get(f"/events/{identifier}"), 200)["events"][0]


def test_every_mode_becomes_the_same_event(ready: Tenant, server: Server) -> None:
    sent = {"subject": "alias one", "type": "llm", "data": {"tokens": Decimal("12.50"), "model": "große"}}
    as_json = {**sent, "data": {"tokens": 12.5, "model": "große"}}
    assert structured(ready, cloud("s", **as_json)).json() == {"success": True}
    assert batched(ready, [cloud("b1", **as_json), cloud("b2", **as_json)]).status_code == 202
    assert binary(ready, cloud("é", **as_json)).status_code == 202
    packed = gzip.compress(json.dumps(cloud("z", **as_json)).encode())
    headers = {"content-type": STRUCTURED, "content-encoding": "gzip"}
    assert ready.http.post(PATH, content=packed, headers=headers).status_code == 202
    for name in ("s", "b1", "b2", "é", "z"):
        found = kept(ready, name)
        assert found["ingestionStatus"]["status"] == "INGESTION_COMPLETED_EVENT_METERED"
        payload = found["eventPayload"]
        assert payload["attributes"] == [{"name": "tokens", "value": "12.5"}]
        assert payload["dimensions"] == {"model": "große"}
        assert (payload["accountId"], payload["schemaName"], payload["timestamp"]) == ("alias one", "llm", AT)

    assert server.broken(ready, CHECKS) == []


def test_it_is_the_same_event_as_at_the_other_door(ready: Tenant) -> None:
    ingest(ready.http, event("twice", AT, tokens=5))
    assert structured(ready, cloud("twice")).status_code == 202
    found = expect(ready.http.get("/events/twice"), 200)["events"]
    assert status_of(ready.http, "twice") == ["COMPLETED_EVENT_METERED", "FAILED_DUPLICATE_EVENT"]
    assert "already received" in found[1]["ingestionStatus"]["statusDescription"], "and not another event under its id"


def test_a_batch_with_ill_formed_events_keeps_the_others(ready: Tenant) -> None:
    answer = batched(
        ready, [cloud("p0", type=...), cloud("p1"), cloud("p2", data={"tokens": [1]}), 7, cloud("p4", time="now")]
    )
    assert answer.status_code == 207
    told = answer.json()
    assert not told["success"]
    assert [(one["index"], one["id"]) for one in told["details"]["rejected"]] == [
        (0, "p0"), (2, "p2"), (3, None), (4, "p4"),
    ]  # fmt: skip
    for part, one in zip(("type", "data.tokens", "expected", "time"), told["details"]["rejected"], strict=True):
        assert part in one["message"]
    assert status_of(ready.http, "p1") == ["COMPLETED_EVENT_METERED"]
    assert batched(ready, []).json() == {"success": True}
    refused = expect(batched(ready, [cloud("q", subject=...), 1]), 400)
    assert refused["field"] == "[0]"
    assert "subject" in refused["detail"]
    assert batched(ready, [cloud("r")] * 1001).status_code == 400


LONG = "x" * 513
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"specversion": "0.3"}, "specversion"),
    ({"specversion": ...}, "specversion"),
    ({"id": ...}, "id"),
    ({"id": ""}, "id"),
    ({"id": LONG}, "id"),
    ({"id": "a\0"}, "id"),
    ({"source": ...}, "source"),
    ({"source": ""}, "source"),
    ({"type": ...}, "type"),
    ({"type": "t" * 51}, "type"),
    ({"subject": ...}, "subject"),
    ({"subject": LONG}, "subject"),
    ({"time": ...}, "time"),
    ({"time": "yesterday"}, "time"),
    ({"time": "0001-01-01T00:00:00+02:00"}, "time"),
]
DATA: list[tuple[dict[str, Any], str]] = [
    ({"data": [1]}, "data"),
    ({"data": None}, "data"),
    ({"data": "text"}, "data"),
    ({"data": {"tokens": [1]}}, "data.tokens"),
    ({"data": {"tokens": {"value": 1}}}, "data.tokens"),
    ({"data": {"model": ""}}, "data.model"),
    ({"data": {"model": "m" * 201}}, "data.model"),
    ({"data": {"n" * 51: 1}}, "data"),
    ({"data": {f"n{n}": 1 for n in range(11)}}, "data"),
    ({"data": {f"n{n}": "t" for n in range(51)}}, "data"),
    ({"data": {"attributes": {"tokens": "many"}}}, "data.attributes.tokens"),
    ({"data": {"attributes": {"tokens": True}}}, "data.attributes.tokens"),
    ({"data": {"dimensions": {"model": 1}}}, "data.dimensions.model"),
    ({"data": {"attributes": {}, "dimensions": {}, "more": {}}}, "data.attributes"),
]
STRUCTURED_ONLY: list[tuple[dict[str, Any], str]] = [
    ({"data": ...}, "data"),
    ({"data_base64": "AA=="}, "data_base64"),
    ({"datacontenttype": "application/xml"}, "datacontenttype"),
    ({"id": 7}, "id"),
]


@pytest.mark.parametrize(("change", "field"), [*WRONG, *DATA, *STRUCTURED_ONLY])
def test_errors_name_the_field(ready: Tenant, change: dict[str, Any], field: str) -> None:
    refused = structured(ready, cloud("wrong", **change))
    assert refused.headers["content-type"] == "application/problem+json"
    told = expect(refused, 400)
    assert told.get("field") == field or f"'{field}'" in told["detail"], told


@pytest.mark.parametrize(("change", "field"), [*((change, f"ce-{field}") for change, field in WRONG), *DATA])
def test_errors_name_the_header(ready: Tenant, change: dict[str, Any], field: str) -> None:
    told = expect(binary(ready, cloud("wrong", **change)), 400)
    assert told.get("field") == field or f"'{field}'" in told["detail"] or "specversion" in field, told


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        ({}, b"{}"),
        ({"content-type": "application/json"}, b"{}"),
        ({"content-type": "application/cloudevents+xml"}, b"<a/>"),
        ({"content-type": "application/cloudevents"}, b"{}"),
        ({"content-type": "text/plain", "ce-specversion": "1.0"}, b"{}"),
    ],
)
def test_what_is_no_cloud_event(ready: Tenant, headers: dict[str, str], content: bytes) -> None:
    told = expect(ready.http.post(PATH, content=content, headers=headers), 400)
    assert told["field"] == "content-type"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b'{"specversion":"1.0","data":{"a":' + b"[" * 5000, b'"x"', b"null"]
)
def test_bodies_that_are_broken(ready: Tenant, content: bytes) -> None:
    for media in (STRUCTURED, BATCHED):
        if (media, content) != (BATCHED, b"[]"):
            answer = ready.http.post(PATH, content=content, headers={"content-type": media})
            assert answer.status_code == 400, answer.text


def test_who_may_not(ready: Tenant) -> None:
    answer = ready.http.post(PATH, json=cloud("x"), headers={"content-type": STRUCTURED, "authorization": "Bearer x"})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.headers["content-type"] == "application/problem+json"
    assert ready.http.get(PATH).status_code == 405
    large = ready.http.post(PATH, content=b" " * 8_000_001, headers={"content-type": STRUCTURED})
    assert large.status_code == 413


def test_a_key_stands_for_headers_and_body(ready: Tenant) -> None:
    first = binary(ready, cloud("k1"), **{"idempotency-key": "cloud"})
    again = binary(ready, cloud("k1"), **{"idempotency-key": "cloud"})
    other = binary(ready, cloud("k2"), **{"idempotency-key": "cloud"})
    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 422)
    assert again.headers["idempotency-replayed"] == "true"
    assert status_of(ready.http, "k1") == ["COMPLETED_EVENT_METERED"]


NUMBERS = st.one_of(
    st.integers(-(10**30), 10**30).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-(10**12), max_value=10**12).map(str),
    st.tuples(st.integers(-999, 999), st.integers(-40, 40)).map(lambda pair: f"{pair[0]}e{pair[1]}"),
    st.tuples(st.integers(0, 999), st.integers(0, 40)).map(lambda pair: f"{pair[0]}.5E+{pair[1]}"),
)


@given(st.dictionaries(st.sampled_from("abcdefgh"), NUMBERS), st.booleans())
def test_numbers_stay_exact(numbers: dict[str, str], exact: bool) -> None:
    """Against Python's own reading of the same digits; also as the kept body says them."""
    fields = ",".join(f'"{name}":{text}' for name, text in numbers.items())
    data = f'{{"attributes":{{{fields}}}}}' if exact else f"{{{fields}}}"
    content = json.dumps(cloud("n", data=0)).replace('"data": 0', f'"data": {data}')
    parsed = parse({"content-type": STRUCTURED}, content.encode())
    (_, found) = parsed.events[0]
    assert {one.name: Decimal(one.value) for one in found.attributes} == {
        name: Decimal(text) for name, text in numbers.items()
    }
    (raw,) = raws_of(parsed.body)
    assert body_digest(event_of(raw)) == body_digest(found)
    assert parse_batch(parsed.body).events == parsed.events


@pytest.mark.parametrize("text", ["1e999999999", "1e-999999999", "1e513", "9" * 513, "0." + "1" * 513, "-" + "9" * 600])
def test_numbers_beyond_all_measure_are_refused_at_once(text: str) -> None:
    content = json.dumps(cloud("n", data=0)).replace('"data": 0', f'"data": {{"tokens": {text}}}')
    with pytest.raises(Invalid, match=r"data\.tokens: must be a number of at most 512 digits"):
        parse({"content-type": STRUCTURED}, content.encode())


def test_what_is_no_number_is_a_dimension() -> None:
    content = cloud("n", data={"tokens": 1, "size": "12.50", "cached": True, "region": None, "flag": False})
    (_, found) = parse({"content-type": STRUCTURED}, json.dumps(content).encode()).events[0]
    assert [(one.name, one.value) for one in found.attributes] == [("tokens", "1")]
    assert found.dimensions == {"size": "12.50", "cached": "true", "flag": "false"}
    exact = cloud("n", data={"attributes": {"size": "12.50"}, "dimensions": {"model": "big", "cached": True}})
    (_, found) = parse({"content-type": STRUCTURED}, json.dumps(exact).encode()).events[0]
    assert [(one.name, one.value) for one in found.attributes] == [("size", "12.50")]
    assert found.dimensions == {"model": "big", "cached": "true"}


def test_data_has_a_size() -> None:
    longest = {f"{n:0>50}": "\U0001f469" * 200 for n in range(50)}
    fits = json.dumps({"ce": 1, **longest}).encode()
    head = json.dumps(cloud("e", data=...)).encode()[:-1] + b',"data":'
    assert len(parse({"content-type": STRUCTURED}, head + fits + b"}").events[0][1].dimensions) == 50
    for media, body in ((STRUCTURED, b"%b}"), (BATCHED, b"[%b}]")):
        with pytest.raises(Invalid, match="data: must not be larger than 250000 bytes"):
            parse({"content-type": media}, body % (head + b'{"a":"' + b"x" * 250_000 + b'"}'))
