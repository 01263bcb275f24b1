"""The system under test on hosts of their own: three NATS servers, two web processes, two workers, and Valkey."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from bus import Settings
from testbed.cluster import HOSTS, Cluster, Member
from testbed.servers import Server, Valkey, Web, Worker
from tests.chaos.world import PASSWORD, STREAM_BYTES, World

WHOLE_AGAIN = 60.0
"""Seconds that the cluster may take to be whole once everything is mended, on a machine that others use too."""


class ClusterWorld(World):
    """The same servers, of which any host may go, or be cut off, but one at a time."""

    def _prepare(self, **settings: str) -> None:
        login = f'authorization {{ user: "system", password: "{PASSWORD}" }}'
        self.cluster = Cluster(self.directory, login=login, credentials=f"system:{PASSWORD}@", **settings)
        self._one_at_a_time = asyncio.Lock()

    def _start(self) -> None:
        self.cluster.start()
        for host, pool in (("a", "prefork"), ("b", self.pool)):
            worker = self.cluster.worker(host, "--concurrency", "2", "--pool", pool, meets=True)
            self.workers.append(self._new(worker))
            self.webs.append(self._new(self.cluster.web(host)))

    def _end(self) -> None:
        self.cluster.stop()

    @property
    def nats(self) -> Sequence[Member]:
        """Every NATS server."""
        return list(self.cluster.members.values())

    @property
    def valkey(self) -> Valkey:
        """Celery's Redis."""
        return self.cluster.valkey

    @property
    def settings(self) -> Settings:
        """Settings of a program outside of the hosts, which reaches every server whatever is cut."""
        servers = ",".join(f"nats://system:{PASSWORD}@{member.host}:{member.port}" for member in self.nats)
        return Settings.load(
            nats_url=servers,
            redis_url=self.valkey.url,
            visibility_timeout=10,
            stream_max_bytes=STREAM_BYTES,
            stream_replicas=len(HOSTS),
        )

    def lock(self, server: Server) -> asyncio.Lock:
        """Held while a fault has this server in its hands. NATS has one for all: most of its servers are there."""
        return self._one_at_a_time if isinstance(server, Member) else super().lock(server)

    def beside(self, host: str) -> list[Web | Worker]:
        """The web process and the worker of a host."""
        found = zip(("a", "b"), self.workers, self.webs, strict=True)
        return [server for at, worker, web in found if at == host for server in (worker, web)]

    async def make_whole(self, *ended: Server) -> None:
        """Mend every link, start again what has ended, and wait until all servers know the stream's leader."""
        self.cluster.network.mend()
        for server in ended:
            await self.start_again(server)
        end = time.monotonic() + WHOLE_AGAIN
        while await asyncio.to_thread(self.cluster.known_leader) is None:
            if time.monotonic() > end:
                self.complain(f"{WHOLE_AGAIN:g} s after everything was mended the stream has no leader for all")
                return
            await asyncio.sleep(0.5)
