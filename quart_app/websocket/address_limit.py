"""How much of a web process one address may take."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address

from bus import Settings
from bus.networks import address

MOST_REMEMBERED = 10_000
"""Addresses whose handshakes are remembered; past it those that were longest silent are forgotten."""
IPV6_SITE = 64
"""Bits of an IPv6 address that one site shares (RFC 6177); it can choose the others as it likes."""


class AddressLimit:
    """Counts the open WebSockets of each address, and its handshakes.

    Args:
        settings: `max_connections_per_address`, and `handshake_rate_per_address` with its burst.
    """

    def __init__(self, settings: Settings) -> None:
        self._most = settings.max_connections_per_address
        self._rate = settings.handshake_rate_per_address
        self._burst = settings.handshake_burst_per_address
        self._open: Counter[str] = Counter()
        self._paid: dict[str, float] = {}
        """Until when the handshakes of an address would have lasted at its rate; who was heard longest ago first."""

    def refusal(self, peer: str | None) -> str | None:
        """Count a handshake, and say why it is one too many; None when it is not. What is refused takes nothing.

        Args:
            peer: the client's address; None, and what is no address, as of a Unix socket, has no limit.
        """
        site = _site(peer)
        if site is None:
            return None
        if self._most is not None and self._open[site] >= self._most:
            return "this address has too many WebSockets open; see BUS_MAX_CONNECTIONS_PER_ADDRESS"
        if self._rate is not None and self._too_fast(site, self._rate):
            return "this address connects too often; see BUS_HANDSHAKE_RATE_PER_ADDRESS"
        return None

    @contextmanager
    def opened(self, peer: str | None) -> Iterator[None]:
        """A block in which a WebSocket of this address is open."""
        site = _site(peer)
        if site is None or self._most is None:
            yield
            return
        self._open[site] += 1
        try:
            yield
        finally:
            self._open[site] -= 1
            if not self._open[site]:
                del self._open[site]

    def _too_fast(self, site: str, rate: float) -> bool:
        now = time.monotonic()
        paid = max(now, self._paid.pop(site, now)) + 1 / rate
        allowed = paid - now <= self._burst / rate + 1e-6
        self._paid[site] = paid if allowed else paid - 1 / rate
        if len(self._paid) > MOST_REMEMBERED:
            del self._paid[next(iter(self._paid))]
        return not allowed


def _site(peer: str | None) -> str | None:
    found = address(peer) if peer is not None else None
    if isinstance(found, IPv6Address):
        return str(int(found) >> (128 - IPV6_SITE))
    return str(found) if found is not None else None
