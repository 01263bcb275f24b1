"""Names of hosts that can be looked up at all."""

from __future__ import annotations

from ipaddress import IPv6Address


def require(host: str) -> None:
    """See that a host can be looked up. Looking up what is no name fails otherwise than by an `OSError`.

    Args:
        host: a name, or an address; one of IPv6 may have brackets around it.

    Raises:
        ValueError: a part of it between two dots is empty or too long, or cannot be written in ASCII (IDNA); or there
            are brackets around what is no IPv6 address.
    """
    try:
        if host.startswith("["):
            IPv6Address(host.strip("[]"))
        else:
            host.encode("idna")
    except ValueError:
        raise ValueError(
            "its host is no name, whose parts between dots have 1 to 63 characters, and no address, which has brackets "
            "around it for IPv6 alone"
        ) from None
