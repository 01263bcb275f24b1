"""Lists of IP addresses and networks."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

UNIX = "unix"
"""In such a list: who connects by a Unix socket, and has no address."""


def networks(text: str) -> tuple[str, ...]:
    """The networks of a list with commas, each in its one form; an address is a network of one. `unix` stays `unix`.

    Raises:
        ValueError: one of them is nothing of that.
    """
    found: dict[str, None] = {}
    for number, part in enumerate(text.split(","), 1):
        if part := part.strip():
            try:
                found[part if part == UNIX else str(ip_network(part))] = None
            except ValueError:
                raise ValueError(
                    f"entry {number} is neither an address nor a network without host bits; list them with commas, "
                    "such as 127.0.0.1,10.0.0.0/8,fd00::/8"
                ) from None
    return tuple(found)


def address(text: str) -> Address | None:
    """An address, that of an IPv4 peer of an IPv6 socket as IPv4; None when it is none."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def within(found: Address, allowed: Iterable[Network]) -> bool:
    """Whether an address is in one of the networks."""
    return any(found in network for network in allowed)
