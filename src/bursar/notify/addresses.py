"""Which addresses a request may go to: those of the public internet, so that nobody reaches into our own network.

A name is resolved once, and the connection goes to the address that was looked at: it cannot lead elsewhere meanwhile.
"""

import ipaddress
import socket

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class NotPublic(OSError):
    """The address is private, local or reserved, and requests do not go there."""

    def __init__(self, host: str) -> None:
        super().__init__(f"{host} leads to an address that is not public")


def is_public(text: str) -> bool:
    """Whether an address in its usual notation is one of the public internet; what it embeds is looked at too."""
    try:
        address = ipaddress.ip_address(text.split("%", 1)[0])
    except ValueError:
        return False
    embedded = _embedded(address)
    # Releases of Python differ about 6to4 as such: what counts is where it leads.
    led_on = isinstance(address, ipaddress.IPv6Address) and address.sixtofour is not None
    return (
        (led_on or address.is_global)
        and not address.is_multicast
        and all(inner.is_global and not inner.is_multicast for inner in embedded)
    )


def _embedded(address: Address) -> list[ipaddress.IPv4Address]:
    """IPv4 addresses to which an IPv6 address is led on."""
    if not isinstance(address, ipaddress.IPv6Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [inner for inner in found if inner is not None]


class PublicResolver(AbstractResolver):
    """Resolves names to public addresses alone."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The public addresses of a name. Raises `NotPublic` where it has others alone."""
        found = await self._resolver.resolve(host, port, family)
        public = [entry for entry in found if is_public(entry["host"])]
        if not public:
            raise NotPublic(host)
        return public

    async def close(self) -> None:
        """Nothing is held."""
        await self._resolver.close()
