"""Deliveries by request: POST to a subscriber's URL. Any answer of 200 to 299 says that it is there.

The HTTP client takes a third of a second to load: only the worker, which delivers, imports this module.
"""

from datetime import datetime
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aiohttp
from aiohttp.resolver import ThreadedResolver

from bursar import __version__
from bursar.notify.addresses import NotPublic, PublicResolver, is_public
from bursar.notify.model import Delivery, Failed

SECONDS = 10
"""From the look-up of the name to the head of the answer."""


class WebSender:
    """Sends requests, to public addresses alone unless `private` is set. Use it as a context.

    Redirects are not followed and bodies of answers not read: an answer is its status.
    """

    def __init__(self, *, private: bool = False, seconds: int = SECONDS) -> None:
        self._private = private
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        resolver = ThreadedResolver() if self._private else PublicResolver()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, force_close=True, limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            headers={"user-agent": f"Bursar/{__version__}"},
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def __call__(self, delivery: Delivery, wall: datetime) -> Failed | None:
        """Try once."""
        if self._session is None:
            raise RuntimeError("a WebSender is a context: enter it first")
        message = delivery.message
        # Names for what Standard Webhooks will sign: receivers can go by the id as soon as today.
        headers = {
            "content-type": "application/json",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(int(wall.timestamp())),
        }
        try:
            self._check(message.receiver)
            async with self._session.post(
                message.receiver, data=message.body.encode(), headers=headers, allow_redirects=False
            ) as answer:
                if 200 <= answer.status < 300:
                    return None
                return Failed(f"answered {answer.status}")
        except TimeoutError:
            return Failed(f"no answer within {self._timeout.total:g} seconds")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Failed(_told(error))

    def _check(self, url: str) -> None:
        """An address in the URL itself is never resolved, so it is looked at here."""
        host = urlsplit(url).hostname or ""
        if not self._private and (":" in host or host.replace(".", "").isdigit()) and not is_public(host):
            raise NotPublic(host)


def _told(error: BaseException) -> str:
    """What went wrong, in its own words: the cause where the library wraps one of ours."""
    cause = error.__cause__
    return str(cause if isinstance(cause, NotPublic) else error) or type(error).__name__
