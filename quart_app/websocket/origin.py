"""Who may open a WebSocket."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from bus.origins import Origin, listed


def origin_allowed(origins: Sequence[str], host: str, allowed: Collection[str], *, secure: bool = False) -> bool:
    """Whether a WebSocket handshake with this `Origin` may go on (RFC 6455 section 10.2).

    Browsers always send Origin, so a page of another site is refused; programs that send none may connect.

    Args:
        origins: the `Origin` headers of the handshake; there may be none, and one at most is right.
        host: its `Host` header.
        allowed: further origins, as `bus.origins.origins` writes them.
        secure: whether it is known to have come over TLS; a page of the same host that did not is another origin then,
            which anybody on the way could have written.
    """
    if not origins or "*" in allowed:
        return True
    if len(origins) > 1:
        return False
    try:
        origin = Origin.parse(origins[0])
    except ValueError:
        return False
    own = origin.is_of(host) and not (secure and origin.scheme != "https")
    return own or listed(str(origin), allowed)
