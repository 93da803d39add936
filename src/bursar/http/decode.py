"""Bytes to typed requests, with one clear sentence for whatever is wrong with them."""

import zlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from bursar.core import decimals
from bursar.core.errors import Invalid, TooLarge
from bursar.http.patience import unhurried

T = TypeVar("T")

BODY_LIMIT = 1_000_000
"""Bytes of a request body, ingest apart."""
RATIO_LIMIT = 100
"""How many times as large as it came a packed body may be; events pack to a tenth or a thirtieth."""
SMALL = 100_000
"""Bytes that a packed body may have whatever its ratio."""
QUOTE_LIMIT = 300
_AT = " - at `"
_INT_LIMIT = 2**63


async def read_body(request: Request, limit: int = BODY_LIMIT) -> bytes:
    """The whole body, unpacked where it came as gzip, however often it is asked for.

    Raises `TooLarge` as soon as more than `limit` bytes have come or come out, or far more come out than have come, and
    `Invalid` for another encoding and for what is no gzip.
    """
    state: dict[str, Any] = request.scope.setdefault("state", {})
    kept: bytes | None = state.get("content")
    if kept is not None:
        return kept
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip"):
        raise Invalid("content-encoding", "must be gzip, or left out")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise TooLarge(f"the body is larger than {limit} bytes")
    parts: list[bytes] = []
    size = 0
    more = True
    receive = unhurried(request)
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part, more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        if size > limit:
            raise TooLarge(f"the body is larger than {limit} bytes")
        parts.append(part)
    content = b"".join(parts)
    if encoding.endswith("gzip"):
        content = unpacked(content, limit)
    state["content"] = content
    return content


def forget_body(request: Request) -> None:
    """Let go of a body that nobody asks for any more."""
    request.scope.get("state", {}).pop("content", None)


def unpacked(packed: bytes, limit: int) -> bytes:
    """What gzip packed; no more of it than is allowed is ever held. Raises `TooLarge` and `Invalid`."""
    allowed = min(limit, max(SMALL, RATIO_LIMIT * len(packed)))
    reader = zlib.decompressobj(wbits=31)
    try:
        content = reader.decompress(packed, allowed + 1)
    except zlib.error:
        raise Invalid("", "the body is not gzip, as content-encoding says") from None
    if len(content) > limit:
        raise TooLarge(f"the body is larger than {limit} bytes")
    if len(content) > allowed:
        raise TooLarge(f"the body is more than {RATIO_LIMIT} times as large as it came")
    if not reader.eof or reader.unused_data:
        raise Invalid("", "the body ends before its gzip does, or goes on behind it")
    return content


def decode_body(content: bytes, kind: type[T]) -> T:
    """`content` as `kind`. Raises `Invalid` naming the field and the rule for anything that does not fit."""
    try:
        value: T = _decoder(kind).decode(content)  # type: ignore[arg-type]
    except msgspec.ValidationError as error:
        raise explain(error) from None
    except msgspec.DecodeError as error:
        raise Invalid("", f"the body is not valid JSON: {error}") from None
    except UnicodeDecodeError:
        raise Invalid("", "the body is not valid UTF-8") from None
    except RecursionError:
        raise Invalid("", "the body is nested too deeply") from None
    if not _sound(value):
        check(value, "")
    return value


def decode_query(parameters: Mapping[str, str], kind: type[T], *, refuse_unknown: bool) -> T:
    """Query parameters as `kind`; numbers, booleans and instants are read from their text."""
    known = {field.encode_name for field in msgspec.structs.fields(kind)}  # type: ignore[arg-type]
    unknown = [name for name in parameters if name not in known]
    if unknown and refuse_unknown:
        raise Invalid(unknown[0], "there is no such query parameter")
    try:
        value = msgspec.convert({k: v for k, v in parameters.items() if k in known}, kind, strict=False)
    except msgspec.ValidationError as error:
        raise explain(error) from None
    check(value, "")
    return value


def explain(error: msgspec.ValidationError) -> Invalid:
    """The field and the rule that a decoder's complaint names."""
    rule, at, path = str(error).rpartition(_AT)
    if not at:
        rule, path = path, ""
    path = _short(path.removesuffix("`").removeprefix("$").removeprefix("."))
    rule = _short(rule).replace("`", "'")
    return Invalid(path, rule[:1].lower() + rule[1:])


def _short(text: str) -> str:
    """A complaint may quote what was sent, which may be long."""
    return text if len(text) <= QUOTE_LIMIT else f"{text[:QUOTE_LIMIT]}..."


def check(value: object, path: str) -> None:
    """Refuse what JSON can carry and the database cannot.

    NUL characters, numbers beyond NUMERIC(38,12) or 64 bits, instants whose offset leads out of the years of UTC.
    """
    if isinstance(value, msgspec.Struct):
        for name, shown in zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True):
            check(getattr(value, name), f"{path}.{shown}" if path else shown)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            check(item, f"{path}[{index}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_scalar(key, f"{path}.<key>")
            check(item, f"{path}.{key}" if path else str(key))
    else:
        _check_scalar(value, path)


def _sound(value: object) -> bool:
    """Whether `check` would surely pass: in a tenth of its time, since it keeps no account of where it is."""
    rule = _SOUND.get(type(value))
    if rule is not None:
        return rule(value)
    return isinstance(value, msgspec.Struct) and all(
        map(_sound, [getattr(value, name) for name in value.__struct_fields__])
    )


def _all_sound(values: Iterable[object]) -> bool:
    return all(map(_sound, values))


_SOUND: dict[type, Callable[[Any], bool]] = {
    type(None): lambda _: True,
    msgspec.UnsetType: lambda _: True,
    bool: lambda _: True,
    str: lambda value: "\x00" not in value,
    int: lambda value: -_INT_LIMIT <= value < _INT_LIMIT,
    Decimal: decimals.fits,
    datetime: lambda value: value.tzinfo is UTC,
    list: _all_sound,
    tuple: _all_sound,
    dict: lambda value: _all_sound(value) and _all_sound(value.values()),
}


def _check_scalar(value: object, path: str) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            raise Invalid(path, "must not contain a NUL character")
    elif isinstance(value, Decimal):
        if not decimals.fits(value):
            raise Invalid(path, "must be a number below 10^26 with at most 12 decimals")
    elif isinstance(value, datetime):
        try:
            value.astimezone(UTC)
        except OverflowError:
            raise Invalid(path, "must lie in the years 1 to 9999 of UTC") from None
    elif isinstance(value, int) and not -_INT_LIMIT <= value < _INT_LIMIT:
        raise Invalid(path, "must be a whole number of at most 64 bits")


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)
