"""Which addresses may be reached: public ones, and those that an allow-list names."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from core.errors import AmbitError, InvalidError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver: TypeAlias = Callable[[str, int], Sequence[str]]

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class BlockedError(AmbitError):
    """An address that Ambit may not be led to; the setting `outbound_allow` lists exceptions."""

    code = "outbound_blocked"
    status = 502
    title = "Address not allowed"


class OutboundError(AmbitError):
    """Another server did not answer, or not as it should."""

    code = "outbound_failed"
    status = 502
    title = "Other server did not answer"
    transient = True


class AllowList:
    """Addresses that may be reached although they are not global: networks, addresses and host names."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        self._hosts: set[str] = set()
        for entry in entries:
            try:
                self._networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                self._hosts.add(_host(entry))

    def check(self, host: str, addresses: Sequence[str]) -> list[str]:
        """`addresses` if every one of them may be reached as `host`.

        Raises:
            BlockedError: one of them may not.
        """
        if not addresses:
            raise OutboundError(f"{host} has no address")
        if _host(host) in self._hosts:
            return list(addresses)
        for one in addresses:
            address = unwrapped(ipaddress.ip_address(one.partition("%")[0]))
            if not _public(address) and not any(address in network for network in self._networks):
                raise BlockedError(f"{host} leads to an address that is not public; outbound_allow lists exceptions")
        return list(addresses)


def unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 address carries (mapped, 6to4, Teredo, NAT64), else the address itself."""
    if not isinstance(address, ipaddress.IPv6Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
    return inner or address


def _public(address: Address) -> bool:
    return address.is_global and not address.is_multicast and not address.is_reserved


def _host(text: str) -> str:
    return text.strip().strip("[]").rstrip(".").lower()


def resolve(host: str, port: int) -> list[str]:
    """Every address of a host, also of one written as a number in any notation.

    Raises:
        OutboundError: it has none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise OutboundError(f"{host} cannot be resolved") from None
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def check_allow(entries: Iterable[str]) -> None:
    """Whether each entry of an allow-list is a network, an address or a host name.

    Raises:
        InvalidError: one is not.
    """
    for entry in entries:
        if not entry or any(sign in entry for sign in " @?#") or "//" in entry:
            raise InvalidError(f"{entry!r} is no network, address or host name")
