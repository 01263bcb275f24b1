"""An address to listen on: `host:port`, with an IPv6 address in brackets."""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.%a-z]+)\]|(?P<host>[^\[\]:/@\s]+)):(?P<port>[0-9]{1,5})")


def parse(text: str) -> tuple[str, int]:
    """Host and port.

    Raises:
        ValueError: it is no such address.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None or not 1 <= int(found["port"]) <= 65535:
        raise ValueError("must be host:port, such as 127.0.0.1:9101, 0.0.0.0:9101 or [::]:9101")
    return found["ipv6"] or found["host"], int(found["port"])
