"""Which servers there are: those that were configured, and those that a cluster tells of."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address

from bus.backoff import Backoff
from bus.nats_client import NatsClient
from bus.nats_url import DEFAULT_PORT, NatsServer

MOST_LEARNT = 100
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds between two rounds over all servers, doubled from the first up to the longest, less up to half by chance."""


class ServerPool:
    """The servers to try.

    Args:
        configured: tried always.
    """

    def __init__(self, configured: Sequence[NatsServer]) -> None:
        self._configured = tuple(configured)
        self._learnt: tuple[NatsServer, ...] = ()
        self._answered: set[str] = set()
        """URLs of those that took a connection, as far as they are still known."""
        self._preferred: NatsServer | None = None
        self._backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)

    def order(self, last: NatsClient | None) -> list[NatsServer]:
        """All but the unproven, by chance, but one that was just preferred first, and the one that was used last at the
        end."""
        unproven = self.unproven()
        servers = [server for server in self.others(last) if server not in unproven]
        if last is not None:
            servers += [server for server in self._all if server.url == last.server.url][:1]
        preferred, self._preferred = self._preferred, None
        return [preferred, *(server for server in servers if server != preferred)] if preferred else servers

    def unproven(self) -> list[NatsServer]:
        """Those learnt that took no connection yet, by chance: perhaps nobody but their cluster can reach them."""
        servers = [server for server in self._learnt if server.url not in self._answered]
        random.shuffle(servers)
        return servers

    def others(self, last: NatsClient | None) -> list[NatsServer]:
        """All but the one that was used last, by chance."""
        servers = [server for server in self._all if last is None or server.url != last.server.url]
        random.shuffle(servers)
        return servers

    def prefer(self, server: NatsServer) -> None:
        """Have this one tried first the next time."""
        self._preferred = server

    @property
    def _all(self) -> tuple[NatsServer, ...]:
        return self._configured + self._learnt

    def pause(self) -> float:
        """Seconds until the next round."""
        return self._backoff.pause() * random.uniform(0.5, 1)  # noqa: S311 - only spreads the load

    def relax(self) -> None:
        """Pauses begin anew: a connection has lasted."""
        self._backoff.reset()

    def learn(self, client: NatsClient, *, works: bool) -> None:
        """Note what a server says of the others of its cluster. We are there who we are here.

        Args:
            works: whether it can be used. One that cannot may have lost those that could: they stay known.
        """
        known = {(server.host, server.port) for server in self._configured}
        own = client.server  # which it does not tell of
        learnt = [own] if (own.host, own.port) not in known else []
        for found in client.discovered_servers:
            host = f"[{found.hostname}]" if ":" in (found.hostname or "") else found.hostname or ""
            port = found.port or DEFAULT_PORT
            if host and (host, port) not in known and len(learnt) < MOST_LEARNT:
                # Certificates name hosts; a cluster tells addresses.
                name = client.server.tls_name or client.server.host.strip("[]")
                learnt.append(replace(client.server, host=host, port=port, tls_name=name if _address(host) else None))
        if not works:
            learnt += [server for server in self._learnt if server not in learnt]
        self._learnt = tuple(learnt[:MOST_LEARNT])
        self._answered = {own.url, *(server.url for server in self._learnt if server.url in self._answered)}


def _address(host: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
