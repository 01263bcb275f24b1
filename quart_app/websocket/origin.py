"""Who may open a WebSocket."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from bus.origins import Origin, listed


def origin_allowed(origins: Sequence[str], host: str, allowed: Collection[str]) -> bool:
    """Whether a WebSocket handshake with this `Origin` may go on (RFC 6455 section 10.2).

    Browsers always send Origin, so a page of another site is refused; programs that send none may connect.

    Args:
        origins: the `Origin` headers of the handshake; there may be none, and one at most is right.
        host: its `Host` header.
        allowed: further origins, as `bus.origins.origins` writes them.
    """
    if not origins or "*" in allowed:
        return True
    if len(origins) > 1:
        return False
    try:
        origin = Origin.parse(origins[0])
    except ValueError:
        return False
    return origin.is_of(host) or listed(str(origin), allowed)
