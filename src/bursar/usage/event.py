"""The shape of an event as it is sent and kept, and the request bodies that carry events."""

import contextlib
import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, TypeVar

import msgspec
from asyncpg.pgproto.pgproto import UUID

from bursar.core.errors import Invalid
from bursar.core.period import utc

T = TypeVar("T")

BATCH_LIMIT = 1000
PART = 250
"""Events that are decoded in a part of a millisecond."""


class Attribute(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A number that the event carries, as exact decimal text."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=50)]
    value: Annotated[str, msgspec.Meta(pattern=r"^-?[0-9]{1,512}(\.[0-9]{1,512})?$")]
    unit: Annotated[str, msgspec.Meta(min_length=1, max_length=50)] | None = None


class Event(msgspec.Struct, forbid_unknown_fields=True, rename="camel", gc=False):
    """One event. `account_id` is an account's id or one of its aliases; a naive timestamp is UTC."""

    schema_name: Annotated[str, msgspec.Meta(min_length=1, max_length=50)]
    timestamp: datetime
    account_id: Annotated[str, msgspec.Meta(max_length=512)]
    attributes: Annotated[list[Attribute], msgspec.Meta(max_length=10)]
    dimensions: Annotated[
        dict[Annotated[str, msgspec.Meta(max_length=50)], Annotated[str, msgspec.Meta(min_length=1, max_length=200)]],
        msgspec.Meta(max_length=50),
    ]
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=512)] | None = None


class _Single(msgspec.Struct, forbid_unknown_fields=True):
    event: Event


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    events: Annotated[list[Event], msgspec.Meta(min_length=1, max_length=BATCH_LIMIT)]


_UpToLimit = msgspec.defstruct(
    "_UpToLimit",
    [(f"raw_{place}", msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for place in range(BATCH_LIMIT)],
    array_like=True,
    forbid_unknown_fields=True,
    gc=False,
)
"""A JSON array of whatever was sent. Reading ends behind the last place: a list is made whole before it is counted."""
_TOO_MANY = f"Expected `array` of at most length {BATCH_LIMIT}"


class _RawBatch(msgspec.Struct, forbid_unknown_fields=True):
    events: _UpToLimit  # type: ignore[valid-type]


class _Either(msgspec.Struct):
    event: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    events: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


class _Id(msgspec.Struct):
    id: str | None = None


_single = msgspec.json.Decoder(_Single)
_batch = msgspec.json.Decoder(_Batch)
_raws = msgspec.json.Decoder(_UpToLimit)
_raw_batch = msgspec.json.Decoder(_RawBatch)
_several = msgspec.json.Decoder(list[Event])
_either = msgspec.json.Decoder(_Either)
_event = msgspec.json.Decoder(Event)
_id = msgspec.json.Decoder(_Id)
_pack = msgspec.msgpack.Encoder()
_MISSHAPEN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Invalid)
"""What says that an event has not the right shape."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An event of a batch that has the wrong shape: where it stood, its id if it can be read, and why."""

    index: int
    id: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """A request body: its well-formed events with their places among all that it holds, and the ill-formed ones."""

    body: bytes
    events: list[tuple[int, Event]]
    refused: list[Refused]
    size: int
    """How many events the body holds, ill-formed ones included."""
    accounts: set[str] = field(default_factory=set)
    """What the well-formed ones call their accounts; found here where it is not given."""

    def __post_init__(self) -> None:
        if not self.accounts:
            object.__setattr__(self, "accounts", {event.account_id for _, event in self.events})


def parse_single(body: bytes) -> Parsed:
    """The body of one event. Raises `Invalid` for a wrong shape."""
    event = _decode(_single, body).event
    _settle(event)
    return Parsed(body, [(0, event)], [], 1)


def parsed(body: bytes, events: list[Event]) -> Parsed:
    """A body whose `events` are decoded already, without a NUL in them.

    Raises `Invalid` where one lies outside of the years of UTC.
    """
    for index, event in enumerate(events):
        try:
            _settle(event, escaped=False)
        except Invalid as error:
            raise Invalid(f"events[{index}].{error.field}", error.rule) from None
    return Parsed(body, list(enumerate(events)), [], len(events))


def parse_batch(body: bytes) -> Parsed:
    """The body of up to 1,000 events. Raises `Invalid` for a wrong envelope, or where no event has the right shape."""
    with contextlib.suppress(*_MISSHAPEN):
        return _whole(body)
    parsing = Parsing(body)
    for _ in parsing.steps():
        pass
    return parsing.parsed()


def _whole(body: bytes) -> Parsed:
    """The body of events that all have the right shape. Raises `Invalid`, or as msgspec does, where one has not."""
    events = _batch.decode(body).events
    _settle_all(events, escaped=_has_nul(body))
    return Parsed(body, list(enumerate(events)), [], len(events))


class Parsing:
    """As `parse_batch`, in steps of a part of a millisecond. To find where events lie takes an eighth of the time."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._escaped = False
        self._size = 0
        self._events: list[tuple[int, Event]] = []
        self._refused: list[Refused] = []
        self._accounts: set[str] = set()

    def steps(self) -> Iterator[None]:
        """Do the work, until the last step is done. Raises `Invalid` for a wrong envelope."""
        raws = _list_of(_decode(_raw_batch, self._body).events)
        if not raws:
            raise Invalid("events", "must hold at least one event")
        self._size = len(raws)
        self._escaped = _has_nul(self._body)
        for first in range(0, len(raws), PART):
            yield
            self._add(first, raws[first : first + PART])

    def _add(self, first: int, raws: list[bytes]) -> None:
        """Some events; `first`: the place of the first one."""
        try:
            # Each is one value, so that side by side they are those values and no others.
            events = _several.decode(b"[%b]" % b",".join(raws))
            _settle_all(events, escaped=self._escaped)
        except _MISSHAPEN:
            self._add_one_by_one(first, raws)
        else:
            self._events += enumerate(events, first)
            self._accounts |= {event.account_id for event in events}

    def _add_one_by_one(self, first: int, raws: list[bytes]) -> None:
        for index, raw in enumerate(raws, first):
            try:
                event = _decode(_event, raw)
                _settle(event)
                self._events.append((index, event))
                self._accounts.add(event.account_id)
            except Invalid as error:
                self._refused.append(Refused(index, _id_of(raw), error.message))

    def parsed(self) -> Parsed:
        """What was found. Raises `Invalid` where no event has the right shape."""
        if not self._events:
            raise Invalid(f"events[{self._refused[0].index}]", self._refused[0].message)
        return Parsed(self._body, self._events, self._refused, self._size, self._accounts)


def parse_list(body: bytes) -> list[bytes]:
    """The members of a JSON array, each as it was sent. Raises `Invalid` where it is none, or has too many."""
    return _list_of(_decode(_raws, body))


def _list_of(members: msgspec.Struct) -> list[bytes]:
    return [bytes(raw) for raw in msgspec.structs.astuple(members) if raw is not msgspec.UNSET]


def parse_each(raws: Sequence[bytes], *, sound: bool = False) -> Parsed:
    """Events that came one by one, each as JSON. The body has the well-formed ones alone, and so do their places.

    `refused` names ill-formed ones by their places among `raws`; it is not an error if there are no others. `sound`:
    each is known to be JSON of one value, so that all of them beside each other are those, and no others.
    """
    if sound and raws:
        with contextlib.suppress(*_MISSHAPEN):
            return _whole(b'{"events":[%b]}' % b",".join(raws))
    events: list[Event] = []
    fine: list[bytes] = []
    refused: list[Refused] = []
    for index, raw in enumerate(raws):
        try:
            event = _event.decode(raw)
            if event.timestamp.tzinfo is not UTC or _has_nul(raw):
                _settle(event)
        except _MISSHAPEN:
            refused.append(Refused(index, _id_of(raw), _misshapen(raw)))
        else:
            events.append(event)
            fine.append(raw)
    return Parsed(b'{"events":[%b]}' % b",".join(fine), list(enumerate(events)), refused, len(events))


def _has_nul(body: bytes) -> bool:
    """Whether a NUL may be written in it. Hardly any has a backslash, and to look for one takes a sixtieth of it."""
    return b"\\" in body and b"\\u0000" in body


def _misshapen(raw: bytes) -> str:
    """What is wrong with an event that is no event."""
    try:
        _settle(_decode(_event, raw))
    except Invalid as error:
        return error.message
    raise AssertionError("it was refused before")


def _decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        rule, _, path = str(error).partition(" - at `$")
        if rule == _TOO_MANY:  # for which no path is given
            raise Invalid("events", f"must be at most {BATCH_LIMIT} events") from None
        raise Invalid(path.rstrip("`").removeprefix("."), rule.replace("`", "'")) from None
    except msgspec.DecodeError as error:
        raise Invalid("", f"the body is not valid JSON: {error}") from None
    except UnicodeDecodeError:
        raise Invalid("", "the body is not valid UTF-8") from None
    except RecursionError:
        raise Invalid("", "the body is nested too deeply") from None


def _settle_all(events: list[Event], *, escaped: bool) -> None:
    for event in events:
        if escaped or event.timestamp.tzinfo is not UTC:
            _settle(event, escaped=escaped)


def _settle(event: Event, *, escaped: bool = True) -> None:
    """Bring the timestamp to UTC and refuse what text columns cannot hold. JSON can write NUL only as an escape."""
    try:
        event.timestamp = utc(event.timestamp)
    except OverflowError:
        raise Invalid("timestamp", "must lie between the years 1 and 9999 in UTC") from None
    if not escaped:
        return
    for name, text in (("id", event.id), ("accountId", event.account_id), ("schemaName", event.schema_name)):
        if text is not None and "\x00" in text:
            raise Invalid(name, "must not contain a NUL character")


def _id_of(raw: bytes) -> str | None:
    try:
        return _id.decode(raw).id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def raws_of(body: bytes) -> list[bytes]:
    """The events of a kept request body, each as it was sent, in order."""
    content = _either.decode(body)
    if isinstance(content.event, msgspec.Raw):
        return [bytes(content.event)]
    assert isinstance(content.events, list)
    return [bytes(raw) for raw in content.events]


def event_of(raw: bytes) -> Event:
    """A kept event, read again."""
    event = _event.decode(raw)
    _settle(event)
    return event


def id_digest(workspace: int, event_id: str) -> bytes:
    """What stands for an event id of a workspace in keys: 128 bits of BLAKE2b, so that nobody can make two ids meet."""
    digest = _ids_of(workspace).copy()  # a copy takes less time than an object of one's own
    digest.update(event_id.encode())
    return digest.digest()


@lru_cache(maxsize=1024)
def _ids_of(workspace: int) -> hashlib.blake2b:
    return hashlib.blake2b(b"%d:" % workspace, digest_size=16)


def id_hash(workspace: int, event_id: str) -> uuid.UUID:
    """`id_digest` as the database holds it."""
    return uuid_of_digest(id_digest(workspace, event_id))


def body_digest(event: Event) -> bytes:
    """64 bits of what an event says, to tell a repeat from another event under the same id."""
    # Its values without the names of its fields: half as much to go through.
    said = (event.id, event.schema_name, event.timestamp, event.account_id, event.attributes, event.dimensions)
    digest = _bodies.copy()
    digest.update(_pack.encode(said))
    return digest.digest()


_bodies = hashlib.blake2b(digest_size=8)


def uuid_of_digest(digest: bytes) -> uuid.UUID:
    """16 bytes as the database's driver has them: its own class takes a quarter of the time of Python's."""
    return UUID(digest)


def uuids_of_digests(digests: Iterable[bytes]) -> list[uuid.UUID]:
    """`uuid_of_digest` of many."""
    return list(map(UUID, digests))


def number_of_digest(digest: bytes) -> int:
    """8 bytes as a signed integer, as the database holds them."""
    return int.from_bytes(digest, "big", signed=True)


def settled(event: Event) -> Event:
    """An event that came some other way than `parse_single`, with its timestamp in UTC. Raises `Invalid`."""
    _settle(event)
    return event
