"""An address to listen on: `host:port`, with an IPv6 address in brackets, or `unix:/path` of a Unix socket."""

from __future__ import annotations

import os
import re
import sys

from bus import host_name

UNIX = "unix:"
"""What the address of a Unix socket begins with."""
LONGEST_PATH = 107 if sys.platform == "linux" else 103
"""Bytes that the path of a Unix socket may have; unix(7)."""

_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.%a-z]+)\]|(?P<host>[^\[\]:/@\s]+)):(?P<port>[0-9]{1,5})")


def parse(text: str, *, lowest: int = 1) -> tuple[str, int]:
    """Host and port.

    Args:
        lowest: port that is allowed; 0 stands for one that the system chooses.

    Raises:
        ValueError: it is no such address.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None or not lowest <= int(found["port"]) <= 65535:
        raise ValueError("must be host:port, such as 127.0.0.1:9101, 0.0.0.0:9101 or [::]:9101")
    host: str = found["ipv6"] or found["host"]
    host_name.require(host)
    return host, int(found["port"])


def unix_path(text: str) -> str | None:
    """The path of a Unix socket; None when that is not what the address is of.

    Raises:
        ValueError: the path is empty, or longer than that of a socket can be.
    """
    if not text.startswith(UNIX):
        return None
    path = text.removeprefix(UNIX)
    if not path:
        raise ValueError("the path of the Unix socket is missing: unix:/run/busctl/web.sock")
    if (length := len(os.fsencode(path))) > LONGEST_PATH:
        raise ValueError(f"the path of a Unix socket has {LONGEST_PATH} bytes at most, and this one has {length}")
    return path
