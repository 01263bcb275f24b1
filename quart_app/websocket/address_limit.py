"""How much of a web process one address may take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from ipaddress import IPv6Address, IPv6Network

from bus import Settings
from bus.networks import address
from quart_app.rate_by_key import RateByKey

IPV6_SITE = 64
"""Bits of an IPv6 address that one site shares (RFC 6177); it can choose the others as it likes."""


UNCOUNTED = nullcontext()
"""The block of an address without a limit."""


class AddressLimit:
    """Counts the open WebSockets of each address, and its handshakes.

    Args:
        settings: `max_connections_per_address`, and `handshake_rate_per_address` with its burst.
    """

    def __init__(self, settings: Settings) -> None:
        self._most = settings.max_connections_per_address
        rate, burst = settings.handshake_rate_per_address, settings.handshake_burst_per_address
        self._handshakes = RateByKey(rate, burst) if rate is not None else None
        self._open: Counter[str] = Counter()

    def refusal(self, peer: str | None) -> str | None:
        """Count a handshake, and say why it is one too many; None when it is not. What is refused takes nothing.

        Args:
            peer: the client's address; None, and what is no address, as of a Unix socket, has no limit.
        """
        if (self._most is None and self._handshakes is None) or (site := site_of(peer)) is None:
            return None
        if self._most is not None and self._open[site] >= self._most:
            return "this address has too many WebSockets open; see BUS_MAX_CONNECTIONS_PER_ADDRESS"
        if self._handshakes is not None and not self._handshakes.take(site):
            return "this address connects too often; see BUS_HANDSHAKE_RATE_PER_ADDRESS"
        return None

    def opened(self, peer: str | None) -> AbstractContextManager[None]:
        """A block in which a WebSocket of this address is open."""
        if self._most is None or (site := site_of(peer)) is None:
            return UNCOUNTED
        return self._counted(site)

    @contextmanager
    def _counted(self, site: str) -> Iterator[None]:
        self._open[site] += 1
        try:
            yield
        finally:
            self._open[site] -= 1
            if not self._open[site]:
                del self._open[site]


def site_of(peer: str | None) -> str | None:
    """What counts as one address: of IPv6 the network of a site. None for what is no address, as of a Unix socket."""
    found = address(peer) if peer is not None else None
    if isinstance(found, IPv6Address):
        return str(IPv6Network((found, IPV6_SITE), strict=False))
    return str(found) if found is not None else None
