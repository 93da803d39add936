"""Answers to bytes: exact decimals as JSON numbers."""

from decimal import Decimal

import msgspec
from starlette.responses import Response

from bursar.core import decimals

_encoder = msgspec.json.Encoder(decimal_format="number")


def to_json(value: object) -> bytes:
    """`value` as JSON. Decimals appear as numbers with the digits that they have: pass them through `number` first."""
    return _encoder.encode(value)


def number(value: Decimal) -> Decimal:
    """`value` as it should appear in an answer: 10 rather than 10.000000000000."""
    return decimals.plain(value)


def answer(value: object, status: int = 200, media_type: str = "application/json") -> Response:
    """A JSON response."""
    return Response(to_json(value), status_code=status, media_type=media_type)
