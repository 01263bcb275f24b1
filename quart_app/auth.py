"""Who may open a WebSocket."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}


def origin_allowed(origin: str | None, host: str, allowed: Collection[str]) -> bool:
    """Whether a WebSocket handshake with this `Origin` may go on (RFC 6455 section 10.2).

    Browsers always send Origin, so a page of another site is refused; programs that send none may connect.

    Args:
        origin: the header, or None.
        host: the `Host` header of the same request.
        allowed: further origins, as `scheme://host[:port]`; `*` allows all.
    """
    if origin is None or "*" in allowed or origin.rstrip("/") in allowed:
        return True
    try:
        parts = urlsplit(origin)
        own = urlsplit(f"{parts.scheme}://{host}")
        return (
            parts.scheme in DEFAULT_PORTS
            and parts.hostname is not None
            and parts.hostname == own.hostname
            and (parts.port or DEFAULT_PORTS[parts.scheme]) == (own.port or DEFAULT_PORTS[parts.scheme])
        )
    except ValueError:
        return False
