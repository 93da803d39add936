"""CloudEvents 1.0 over HTTP, in each of its three modes: what one becomes in the words of ingest.

`type` is the event schema, `subject` the account, `id` and `time` are the event's own. Of `data` each number is an
attribute, each text and truth value a dimension; where a number comes as a text, or anything else is to be said
exactly, `data` is an object of `attributes` and `dimensions`. All else of the envelope says nothing about usage.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import unquote

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from bursar.core.errors import Invalid
from bursar.core.period import utc
from bursar.http.decode import check, decode_body, explain
from bursar.usage.event import Attribute, Event, Parsed, Refused, parse_list

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
PREFIX = "ce-"
"""What the headers of the binary mode begin with."""

_JSON = re.compile(r"(application|text)/([^;+\s]+\+)?json", re.ASCII | re.IGNORECASE)
_PLAIN = re.compile(r"-?[0-9]{1,512}(\.[0-9]{1,512})?", re.ASCII)
_MODES = (
    f"must be {STRUCTURED} or {BATCHED}; or the context comes in headers such as {PREFIX}specversion and {PREFIX}id"
)
_NUMERIC = tuple(bytes([digit]) for digit in b"-0123456789")
DIGITS = 512
ATTRIBUTES, DIMENSIONS, FIELDS = 10, 50, 100
NAME_LIMIT, VALUE_LIMIT = 50, 200
DATA_LIMIT = 250_000
"""Bytes of data that are looked at: more than a hundred fields of the longest have in any spelling."""

Text = Annotated[str, Meta(min_length=1, max_length=512)]


class CloudEventContext(msgspec.Struct, kw_only=True, gc=False):
    """What an event says of itself; extensions are taken and not looked at."""

    specversion: Literal["1.0"]
    id: Text
    source: Annotated[str, Meta(min_length=1)]
    type: Annotated[str, Meta(min_length=1, max_length=50)]
    """The name of the event schema."""
    subject: Text
    """The id or an alias of the account."""
    time: datetime
    datacontenttype: str | None = None


class _Envelope(CloudEventContext, kw_only=True, gc=False):
    """An event in one document."""

    data: Raw | UnsetType = UNSET
    data_base64: Raw | UnsetType = UNSET


class CloudEvent(CloudEventContext, kw_only=True, gc=False):
    """An event in one document, for the description of the API."""

    data: dict[str, Any]
    """Numbers are attributes, texts dimensions; or an object of `attributes` and `dimensions`."""


class _Id(msgspec.Struct):
    id: str | None = None


_ids = msgspec.json.Decoder(_Id)
_data = msgspec.json.Decoder(dict[str, Raw])
_string = msgspec.json.Decoder(str)
_encoder = msgspec.json.Encoder()
PART = 50
"""Events that are decoded in a part of a millisecond."""


def parse(headers: Mapping[str, str], body: bytes) -> Parsed:
    """The events of a request, with the ill-formed ones of a batch; the body that is kept is in the words of ingest.

    Raises `Invalid` naming the field for a request that is none, or holds no event of the right shape.
    """
    media = media_of(headers)
    if media == STRUCTURED:
        return _parsed([_structured(body)], [], 1)
    if media == BATCHED:
        parsing = CloudParsing(body)
        for _ in parsing.steps():
            pass
        return parsing.parsed()
    if media.startswith("application/cloudevents") or f"{PREFIX}specversion" not in headers:
        raise Invalid("content-type", _MODES)
    if body and not _JSON.fullmatch(media):
        raise Invalid("content-type", "must be application/json where the context comes in headers")
    return _parsed([_binary(headers, body)], [], 1)


def media_of(headers: Mapping[str, str]) -> str:
    """What a body is said to be, without parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def identity(headers: Mapping[str, str], body: bytes) -> bytes:
    """All of a request that says what its events are: another one is another request under an idempotency key."""
    said = sorted((name, text) for name, text in headers.items() if name == "content-type" or name.startswith(PREFIX))
    return _encoder.encode(said) + body


class CloudParsing:
    """A batch in steps of a part of a millisecond."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._size = 0
        self._events: list[Event] = []
        self._refused: list[Refused] = []

    def steps(self) -> Iterator[None]:
        """Do the work, until the last step is done. Raises `Invalid` where it is no list of events."""
        raws = parse_list(self._body)
        self._size = len(raws)
        for first in range(0, len(raws), PART):
            yield
            for index, raw in enumerate(raws[first : first + PART], first):
                try:
                    self._events.append(_structured(raw))
                except Invalid as error:
                    self._refused.append(Refused(index, _id_of(raw), error.message))

    def parsed(self) -> Parsed:
        """What was found. Raises `Invalid` where no event has the right shape."""
        if self._refused and not self._events:
            raise Invalid(f"[{self._refused[0].index}]", self._refused[0].message)
        return _parsed(self._events, self._refused, self._size)


def _parsed(events: list[Event], refused: list[Refused], size: int) -> Parsed:
    """What is kept of ill-formed events is nothing, so the others lie close together."""
    body = b'{"events":%b}' % _encoder.encode(events)
    return Parsed(body, list(enumerate(events)), refused, size - len(refused))


def _structured(body: bytes) -> Event:
    envelope = decode_body(body, _Envelope)
    if envelope.data_base64 is not UNSET:
        raise Invalid("data_base64", "is not taken; send JSON as data")
    if envelope.datacontenttype and not _JSON.fullmatch(envelope.datacontenttype.partition(";")[0].strip()):
        raise Invalid("datacontenttype", "must be application/json")
    if not isinstance(envelope.data, Raw):
        raise Invalid("data", "is required: an object of numbers and texts")
    return _event(envelope, bytes(envelope.data))


def _binary(headers: Mapping[str, str], body: bytes) -> Event:
    said = {name.removeprefix(PREFIX): text for name, text in headers.items() if name.startswith(PREFIX)}
    try:
        context = msgspec.convert({name: unquote(said[name], errors="strict") for name in said}, CloudEventContext)
        check(context, "")
    except msgspec.ValidationError as error:
        told = explain(error)
        raise Invalid(f"{PREFIX}{told.field}" if told.field else "", _header_named(told.rule)) from None
    except UnicodeDecodeError:
        raise Invalid("", f"the headers {PREFIX}* are not valid UTF-8 in percent encoding") from None
    except Invalid as error:
        raise Invalid(PREFIX + error.field, error.rule) from None
    return _event(context, body)


def _header_named(rule: str) -> str:
    """A rule about a field that is missing, in the words of the sender."""
    return re.sub(r"field '(\w+)'", rf"header '{PREFIX}\1'", rule)


def _event(context: CloudEventContext, data: bytes) -> Event:
    """An event in the words of ingest. Raises `Invalid` naming the field as the sender has it."""
    attributes, dimensions = _content(data)
    sent = [Attribute(name, value) for name, value in attributes.items()]
    return Event(context.type, utc(context.time), context.subject, sent, dimensions, context.id)


def _content(data: bytes) -> tuple[dict[str, str], dict[str, str]]:
    """Attributes and dimensions of the data of an event."""
    fields = _fields(data, "data")
    attributes: dict[str, str] = {}
    dimensions: dict[str, str] = {}
    if fields and fields.keys() <= {"attributes", "dimensions"} and all(raw[:1] == b"{" for raw in fields.values()):
        for name, raw in _fields(fields.get("attributes", b"{}"), "data.attributes").items():
            number = _said(raw, f"data.attributes.{name}").encode() if raw[:1] == b'"' else raw
            attributes[name] = _number(number, f"data.attributes.{name}")
        for name, raw in _fields(fields.get("dimensions", b"{}"), "data.dimensions").items():
            dimensions[name] = _text(raw, f"data.dimensions.{name}")
    else:
        for name, raw in fields.items():
            if raw[:1] in _NUMERIC:
                attributes[name] = _number(raw, f"data.{name}")
            elif raw != b"null":
                dimensions[name] = _text(raw, f"data.{name}")
    _check_names(attributes, ATTRIBUTES, "numbers")
    _check_names(dimensions, DIMENSIONS, "texts")
    return attributes, dimensions


def _check_names(fields: Mapping[str, str], limit: int, what: str) -> None:
    if len(fields) > limit:
        raise Invalid("data", f"must not hold more than {limit} {what}")
    for name in fields:
        if not 1 <= len(name) <= NAME_LIMIT:
            raise Invalid("data", f"must name its fields by 1 to {NAME_LIMIT} characters")


def _fields(content: bytes, field: str) -> dict[str, bytes]:
    """The fields of an object, each as it was sent."""
    if len(content) > DATA_LIMIT:
        raise Invalid(field, f"must not be larger than {DATA_LIMIT} bytes")
    try:
        fields = _data.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Invalid(field, "must be an object of numbers and texts") from None
    if len(fields) > FIELDS:
        raise Invalid(field, f"must not hold more than {FIELDS} fields")
    return {name: bytes(raw) for name, raw in fields.items()}


def _number(raw: bytes, field: str) -> str:
    """A number as its digits, without an exponent."""
    text = raw.decode("ascii", "replace")
    if not _PLAIN.fullmatch(text):
        try:
            number = Decimal(text)
        except ArithmeticError:
            raise Invalid(field, "must be a number") from None
        if not number.is_finite() or abs(number.adjusted()) > DIGITS:
            raise Invalid(field, f"must be a number of at most {DIGITS} digits before and behind the point")
        text = f"{number:f}"
    if not _PLAIN.fullmatch(text):
        raise Invalid(field, f"must be a number of at most {DIGITS} digits before and behind the point")
    return text


def _text(raw: bytes, field: str) -> str:
    """A text or truth value."""
    if raw in (b"true", b"false"):
        return raw.decode()
    if raw[:1] != b'"':
        raise Invalid(field, "must be a number, a text, true or false")
    text = _said(raw, field)
    if not 1 <= len(text) <= VALUE_LIMIT:
        raise Invalid(field, f"must have 1 to {VALUE_LIMIT} characters")
    return text


def _said(raw: bytes, field: str) -> str:
    try:
        return _string.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Invalid(field, "is not a text in JSON and UTF-8") from None


def _id_of(raw: bytes) -> str | None:
    try:
        return _ids.decode(raw).id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
