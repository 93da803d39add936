"""What a body of events may hold, and what is said of one that does not."""

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.core.errors import Invalid
from bursar.usage.event import (
    Event,
    Parsing,
    body_digest,
    event_of,
    id_hash,
    number_of_digest,
    parse_batch,
    parse_each,
    parse_list,
    parse_single,
    raws_of,
)


def event(**change: Any) -> dict[str, Any]:
    good = {
        "schemaName": "calls",
        "id": "e1",
        "timestamp": "2024-05-01T10:00:00Z",
        "accountId": "acme",
        "attributes": [{"name": "minutes", "value": "1.5", "unit": "min"}],
        "dimensions": {"city": "Kyiv"},
    }
    return {key: value for key, value in {**good, **change}.items() if value is not ...}


def one(**change: Any) -> bytes:
    return json.dumps({"event": event(**change)}).encode()


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-05-01T10:00:00Z", datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("2024-05-01T10:00:00", datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("2024-05-01T12:00:00+02:00", datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("2023-11-16T18:15:46.6805900Z", datetime(2023, 11, 16, 18, 15, 46, 680590, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_instants_are_read_as_utc(text: str, instant: datetime) -> None:
    assert parse_single(one(timestamp=text)).events[0][1].timestamp == instant


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schemaName": ...}, "schema"),
        ({"schemaName": ""}, "schemaName"),
        ({"schemaName": "x" * 51}, "schemaName"),
        ({"id": "x" * 513}, "id"),
        ({"id": ""}, "id"),
        ({"id": 7}, "id"),
        ({"id": "a\x00b"}, "NUL"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": "2024-02-30T00:00:00Z"}, "timestamp"),
        ({"timestamp": "12345-01-01T00:00:00Z"}, "timestamp"),
        ({"timestamp": "0001-01-01T00:00:00+05:00"}, "timestamp"),
        ({"timestamp": 1714557600}, "timestamp"),
        ({"accountId": None}, "accountId"),
        ({"accountId": "x" * 513}, "accountId"),
        ({"attributes": [{"name": "a", "value": 1}]}, "attributes[0].value"),
        ({"attributes": [{"name": "a", "value": "1e9"}]}, "attributes[0].value"),
        ({"attributes": [{"name": "a", "value": "NaN"}]}, "attributes[0].value"),
        ({"attributes": [{"name": "a", "value": "1" * 513}]}, "attributes[0].value"),
        ({"attributes": [{"name": "", "value": "1"}]}, "attributes[0].name"),
        ({"attributes": [{"name": str(i), "value": "1"} for i in range(11)]}, "attributes"),
        ({"dimensions": {"city": ""}}, "dimensions"),
        ({"dimensions": {"city": "x" * 201}}, "dimensions"),
        ({"dimensions": {"city": 3}}, "dimensions"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_wrong_shape_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_single(one(**change))
    assert words in caught.value.message
    mixed = json.dumps({"events": [event(), event(**change)]}).encode()
    parsed = parse_batch(mixed)
    assert [place for place, _ in parsed.events] == [0]
    assert [refused.index for refused in parsed.refused] == [1]
    assert words in parsed.refused[0].message


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'{"events":[]}', b'{"events":{}}', b'{"event":1}', b'{"events":[{}]}',
        b'{"events":[' + b"[" * 5000 + b"]" * 5000 + b"]}", b'\xff\xfe', b'{"events":[{"id":"\\ud800"}]}',
        b'{"event":{"id":NaN}}',
    ],
)  # fmt: skip
def test_what_is_not_an_envelope_is_refused_whole(body: bytes) -> None:
    with pytest.raises(Invalid):
        parse_batch(body)
    with pytest.raises(Invalid):
        parse_single(body)


def test_a_batch_holds_at_most_a_thousand() -> None:
    parse_batch(json.dumps({"events": [event(id=str(i)) for i in range(1000)]}).encode())
    with pytest.raises(Invalid, match="events"):
        parse_batch(json.dumps({"events": [event(id=str(i)) for i in range(1001)]}).encode())


def test_kept_bodies_give_their_events_back() -> None:
    body = json.dumps({"events": [event(id="a"), {"wrong": 1}, event(id="b")]}, indent=2).encode()
    parsed = parse_batch(body)
    raws = raws_of(body)
    assert len(raws) == parsed.size == 3
    assert [event_of(raws[place]) for place, _ in parsed.events] == [found for _, found in parsed.events]


def test_hashes_tell_events_apart() -> None:
    first, second = (
        parse_single(one()).events[0][1],
        parse_single(one(timestamp="2024-05-01T12:00:00+02:00")).events[0][1],
    )
    other = parse_single(one(dimensions={"city": "Lviv"})).events[0][1]
    assert body_digest(first) == body_digest(second) != body_digest(other)
    assert len({id_hash(1, "a"), id_hash(1, "b"), id_hash(2, "a"), id_hash(11, "a"), id_hash(1, "1:a")}) == 5
    assert -(2**63) <= number_of_digest(body_digest(other)) < 2**63


@pytest.mark.parametrize("one", [b"1", b"{}", b"[]", b'""', b"null", json.dumps(event()).encode()])
def test_nothing_is_read_behind_the_thousandth(one: bytes) -> None:
    # What follows is no JSON, so that whoever read it would say so.
    many = b"[" + b",".join([one] * 1000) + b",!"
    for parse, body in ((parse_list, many), (parse_batch, b'{"events":' + many)):
        with pytest.raises(Invalid, match="events: must be at most 1000 events"):
            parse(body)
    assert parse_list(b"[" + b",".join([one] * 1000) + b"]") == [one] * 1000


def test_a_list_is_kept_as_it_was_sent() -> None:
    assert parse_list(b'[ 1.50 ,{"a" : 1},"\\u0041"]') == [b"1.50", b'{"a" : 1}', b'"\\u0041"']
    assert parse_list(b"[]") == []
    with pytest.raises(Invalid, match="at least one"):
        parse_batch(b'{"events":[]}')


_GOOD = json.dumps(event()).encode()
_HALVES = (_GOOD[:60], _GOOD[60:], _GOOD + b"," + _GOOD, _GOOD[:-1], b"}", b'"', b"{", b"[", b"]", b"\\")
_LINES = st.one_of(
    st.sampled_from((_GOOD, *_HALVES, b"{}", b"7", b"null", b'{"id":"\\u0000"}', _GOOD.replace(b"Kyiv", b"\\u0000"))),
    st.builds(lambda text: _GOOD.replace(b"Kyiv", text), st.binary(max_size=6)),
    st.builds(
        lambda at: json.dumps(event(timestamp=at)).encode(), st.sampled_from(("soon", "0001-01-01T00:00:00+14:00"))
    ),
)


def _is_one_value(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return True


@given(st.lists(_LINES, max_size=6))
def test_lines_beside_each_other_are_the_events_that_they_are_alone(lines: list[bytes]) -> None:
    """Where each is one value; halves of two lines do not make an event together."""
    sound = all(map(_is_one_value, lines))
    assert parse_each(lines, sound=sound) == parse_each(lines)


@given(st.lists(_LINES.filter(_is_one_value), min_size=1, max_size=7))
def test_a_body_in_steps_has_the_events_that_are_events_by_themselves(raws: list[bytes]) -> None:
    """Wherever a step ends, and whatever stands beside them in it."""
    alone: dict[int, Event] = {}
    for place, raw in enumerate(raws):
        with contextlib.suppress(Invalid):
            ((_, alone[place]),) = parse_single(b'{"event":%b}' % raw).events
    body = b'{"events":[%b]}' % b" , ".join(raws)
    parsing = Parsing(body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bursar.usage.event.PART", 2)
        assert len(list(parsing.steps())) == -(-len(raws) // 2)
    if not alone:
        with pytest.raises(Invalid, match=r"events\[0\]"):
            parsing.parsed()
        return
    parsed = parsing.parsed()
    assert dict(parsed.events) == alone
    assert [one.index for one in parsed.refused] == [place for place in range(len(raws)) if place not in alone]
    assert parsed.accounts == {event.account_id for event in alone.values()}
    assert (parsed.body, parsed.size) == (body, len(raws))
    assert parse_batch(body) == parsed


def test_each_of_many_sound_lines_has_its_place() -> None:
    lines = [json.dumps(event(id=f"e{number}")).encode() for number in range(3)]
    assert parse_each(lines, sound=True) == parse_each(lines)
    assert [one.id for _, one in parse_each(lines, sound=True).events] == ["e0", "e1", "e2"]
    mixed = [lines[0], b"7", lines[2]]
    told = parse_each(mixed, sound=True)
    assert told == parse_each(mixed)
    assert [(place, one.id) for place, one in told.events] == [(0, "e0"), (1, "e2")]
    assert [one.index for one in told.refused] == [1]
