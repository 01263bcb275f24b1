"""Cluster: three NATS servers that keep one stream, and web processes and workers beside them, on hosts of their own.

A host is a loopback address, and what runs on it: it can be killed at once, or cut off the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bus import Bus, BusUnavailable, Settings
from testbed.network import Network
from testbed.ports import free_port
from testbed.servers import Nats, Server, Valkey, Web, Worker, wait_until
from testbed.system import METRICS_TOKEN

HOSTS = {"a": "127.0.0.2", "b": "127.0.0.3", "c": "127.0.0.4"}
"""Addresses by name. Web processes and workers are on the first two."""
REDIS = "redis"
"""The host of Valkey, where nothing else is."""
ROUTE_PING = "1s"
"""Time after which a server asks another one whether it is there. NATS's own, 30 s, is more than a test has."""


class Member(Nats):
    """One server of the cluster.

    Args:
        host: the name of its host.
    """

    name = "nats"

    def __init__(self, directory: Path, host: str) -> None:
        self.at = host
        self.route_port = free_port()
        self.file = directory / f"nats-{host}.conf"
        super().__init__(directory, "-c", str(self.file), jetstream=False, host=HOSTS[host])

    def configure(self, routes: Mapping[str, int], login: str) -> None:
        """Write its configuration.

        Args:
            routes: on which port of its own host it finds each other one.
            login: who may connect, as configuration.
        """
        urls = ", ".join(f'"nats://{self.host}:{port}"' for port in routes.values())
        self.file.write_text(
            f'server_name: nats-{self.at}\njetstream {{ store_dir: "{self.directory}/nats-{self.at}" }}\n{login}\n'
            f'cluster {{ name: hosts, listen: "{self.host}:{self.route_port}", routes: [{urls}]\n'
            # Others would go past the network of the test if they were told where this one is.
            f'advertise: "{self.host}:1", no_advertise: true, ping_interval: "{ROUTE_PING}" }}\n'
        )

    def serves(self, name: str) -> bool:
        """Whether a client of this name is connected to it."""
        return any(each.get("name") == name for each in self.monitored("connz")["connections"])


class Cluster:
    """The hosts, and Valkey. Nothing is started before `start`.

    Args:
        directory: for logs and data.
        login: NATS's configuration of who may connect.
        credentials: `user:password@`, or nothing, for who connects.
        settings: environment variables of web processes and workers.
    """

    def __init__(self, directory: Path, *, login: str = "", credentials: str = "", **settings: str) -> None:
        self.directory = directory
        self.network = Network()
        self.members = {host: Member(directory, host) for host in HOSTS}
        self.valkey = Valkey(directory)
        self.servers: list[Server] = []
        self.workers: dict[str, Worker] = {}
        self.webs: dict[str, Web] = {}
        """Both by host."""
        self._on: dict[str, list[Server]] = {host: [member] for host, member in self.members.items()}
        self.settings = {"BUS_JOB_DELAY_SCALE": "0", "BUS_METRICS_TOKEN": METRICS_TOKEN, **settings}
        self._urls: dict[str, str] = {}
        self._redis_urls: dict[str, str] = {}
        for host, address in HOSTS.items():
            ways = {
                other: self.network.link(host, other, listen=address, to=(member.host, member.port))
                for other, member in self.members.items()
            }
            self._urls[host] = ",".join(f"nats://{credentials}{address}:{port}" for port in ways.values())
            redis = self.network.link(host, REDIS, listen=address, to=("127.0.0.1", self.valkey.port))
            self._redis_urls[host] = f"redis://{address}:{redis}/0"
            routes = {
                other: self.network.link(
                    f"nats-{host}", f"nats-{other}", listen=address, to=(member.host, member.route_port)
                )
                for other, member in self.members.items()
                if other != host
            }
            self.members[host].configure(routes, login)

    def env(self, host: str) -> dict[str, str]:
        """The environment of a process on a host, which finds each server by a way that can be cut."""
        return {
            "NATS_URL": self._urls[host],
            "REDIS_URL": self._redis_urls[host],
            "BUS_STREAM_REPLICAS": str(len(self.members)),
            **self.settings,
        }

    def start(self) -> None:
        """Start NATS and Valkey, and wait until the cluster has a leader."""
        for server in (*self.members.values(), self.valkey):
            self.servers.append(server)
            server.start()
        wait_until(lambda: self.meta_leader() is not None, "leader of the cluster")

    def worker(self, host: str, *arguments: str, meets: bool = False, **settings: str) -> Worker:
        """Start a worker on a host."""
        self.workers[host] = Worker(self.directory, self.env(host) | settings, *arguments, meets=meets)
        self._add(host, self.workers[host])
        return self.workers[host]

    def web(self, host: str, **settings: str) -> Web:
        """Start a web process on a host."""
        self.webs[host] = Web(self.directory, self.env(host) | settings, host=HOSTS[host])
        self._add(host, self.webs[host])
        return self.webs[host]

    def _add(self, host: str, server: Server) -> None:
        self.servers.append(server)
        self._on[host].append(server)
        server.start()

    def meta_leader(self) -> Member | None:
        """The server that decides which server has what, as those that run say."""
        return self._member(lambda said: said.get("meta_cluster", {}).get("leader"))

    def stream_leader(self, stream: str = "EVENTS") -> Member | None:
        """The server that takes what is appended to a stream, as those that run say."""
        return self._member(_leader_of(stream))

    def known_leader(self, stream: str = "EVENTS") -> Member | None:
        """The server that all of them say leads the stream; None while they differ, or one does not run."""
        return self._member(_leader_of(stream), least=len(self.members))

    def leader(self, stream: str = "EVENTS") -> Member:
        """The same, once there is one."""
        found: list[Member] = []

        def look() -> bool:
            found.extend(filter(None, [self.stream_leader(stream)]))
            return bool(found)

        wait_until(look, f"leader of the stream {stream}")
        return found[0]

    def lead(self, host: str, streams: Sequence[str] = ("EVENTS", "KV_busctl-leases")) -> None:
        """Have the server on this host lead these streams, and return once it does."""
        for stream in streams:
            wait_until(partial(self._leads, host, stream), f"stream {stream} led by {host}")

    def _leads(self, host: str, stream: str) -> bool:
        if self.leader(stream) is self.members[host]:
            return True
        with contextlib.suppress(BusUnavailable):  # none leads at this moment
            asyncio.run(self._step_down(host, stream))
        return False

    async def _step_down(self, host: str, stream: str) -> None:
        async with Bus(Settings.load(nats_url=self._urls[host]), name="operator", declare=False) as bus:
            placement = json.dumps({"placement": {"preferred": f"nats-{host}"}}).encode()
            await bus.request(f"$JS.API.STREAM.LEADER.STEPDOWN.{stream}", placement, timeout=5)

    def _member(self, leader: Callable[[dict[str, Any]], str | None], least: int = 2) -> Member | None:
        """The member that at least so many of those that run name."""
        named = []
        for member in self.members.values():
            if member.process is not None and member.process.poll() is None:
                with contextlib.suppress(OSError, ValueError):
                    named.append(leader(member.monitored("jsz?accounts=1&streams=1")))
        for host, member in self.members.items():
            if named.count(f"nats-{host}") >= least:
                return member
        return None

    def isolate(self, host: str, *, but_for: Collection[str] = ()) -> None:
        """Cut a host off all others but for these, in both directions. `REDIS` is one, too."""
        self.network.isolate(host, [other for other in _others(host) if other not in but_for])
        if host != REDIS:
            self.part(host)

    def part(self, host: str) -> None:
        """Cut its NATS server off the other two, in both directions; clients can reach it."""
        self.network.isolate(f"nats-{host}", [f"nats-{other}" for other in HOSTS if other != host])

    def deafen(self, host: str) -> None:
        """Nothing that others say arrives there any more, at its NATS server or a client."""
        for other in _others(host):
            self.network.cut(other, host)
            if other != REDIS:
                self.network.cut(f"nats-{other}", f"nats-{host}")

    def mute(self, host: str) -> None:
        """Nothing that it says arrives elsewhere any more, from its NATS server or a client."""
        for other in _others(host):
            self.network.cut(host, other)
            if other != REDIS:
                self.network.cut(f"nats-{host}", f"nats-{other}")

    def kill(self, host: str) -> None:
        """SIGKILL to everything on a host, at once."""
        for server in self._on[host]:
            server.kill()

    def revive(self, host: str) -> None:
        """Start everything on a host that does not run."""
        for server in self._on[host]:
            server.revive()

    def heal(self) -> None:
        """Mend every link, let every server go on, and start what has ended."""
        self.network.mend()
        for server in self.servers:
            if server.process is not None and server.process.poll() is None:
                server.resume()
            server.revive()

    def stop(self) -> None:
        """End everything, as `System.stop` does."""
        for server in reversed(self.servers):
            if server.process is not None:
                _ = server.stop() if isinstance(server, Web) else server.kill()
        self.network.close()


def _others(host: str) -> list[str]:
    return [other for other in (*HOSTS, REDIS) if other != host]


def _leader_of(stream: str) -> Callable[[dict[str, Any]], str | None]:
    """Who leads a stream, by what a server's monitoring says."""

    def leader(said: dict[str, Any]) -> str | None:
        streams = [each for account in said.get("account_details", []) for each in account.get("stream_detail", [])]
        return next((each.get("cluster", {}).get("leader") for each in streams if each["name"] == stream), None)

    return leader


@contextlib.contextmanager
def running_cluster(directory: Path, *, login: str = "", credentials: str = "", **settings: str) -> Iterator[Cluster]:
    """A cluster that runs, and ends with the block. Arguments as for `Cluster`."""
    made = Cluster(directory, login=login, credentials=credentials, **settings)
    try:
        made.start()
        yield made
    finally:
        made.stop()
