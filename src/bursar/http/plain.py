"""What stands between a door's table and the server: requests and answers without what no door of ours needs."""

from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

_encoded: dict[str, bytes] = {}
"""Names of headers as they came, by those that handlers ask for: a fixed few."""


class _Headers(Headers):
    """Headers that are looked up by name, where Starlette searches: a door asks for the same few every time."""

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        super().__init__(raw=raw)
        self._known = dict(reversed(raw))  # of two with one name the first counts

    def __getitem__(self, key: str) -> str:
        return self._known[key.lower().encode("latin-1")].decode("latin-1")

    def get(self, key: str, default: Any = None) -> Any:
        """As a mapping's."""
        name = _encoded.get(key)
        if name is None:
            name = _encoded[key] = key.lower().encode("latin-1")
        found = self._known.get(name)
        return default if found is None else found.decode("latin-1")

    def __contains__(self, key: Any) -> bool:
        return key.lower().encode("latin-1") in self._known


class PlainRequest(Request):
    """A request that a table answers."""

    @property
    def headers(self) -> Headers:
        """The request's headers; the server has put their names into lower case."""
        if not hasattr(self, "_headers"):
            self._headers = _Headers(self.scope["headers"])
        return self._headers


class PlainResponse(Response):
    """An answer of bytes that are known whole. More headers are added to `raw_headers`, names in lower case."""

    def __init__(self, body: bytes, status_code: int, media_type: str) -> None:
        self.status_code = status_code
        self.media_type = media_type
        self.background = None
        self.body = body
        self.raw_headers = [
            (b"content-length", b"%d" % len(body)),
            (b"content-type", media_type.encode("latin-1")),
        ]
