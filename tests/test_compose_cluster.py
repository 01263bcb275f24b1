"""compose.cluster.yaml: its three NATS servers make a cluster, and a job goes through it though one of them is lost."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bus import Bus, Settings
from testbed.ports import free_port
from testbed.servers import Server, answers
from tests.clients import Client, client
from tests.compose import Compose, ComposeNats, ComposeValkey, Service, seconds

SECRETS = {"BUS_SECRET": "0" * 32, "NATS_PASSWORD": "12e34", "NATS_ROUTE_PASSWORD": "56e78"}
"""The passwords are such as NATS takes for numbers, unless they stand in quotes."""
COMPOSE = Compose("compose.cluster.yaml", SECRETS)
SERVICES = COMPOSE.services
NODES = ("nats-1", "nats-2", "nats-3")


class Node(ComposeNats):
    """One of the three NATS servers.

    Args:
        routes: the ports at which the three talk to each other.
    """

    def __init__(self, name: str, directory: Path, routes: dict[str, int]) -> None:
        self.port = free_port()
        here = {f"{node}:6222": f"127.0.0.1:{port}" for node, port in routes.items()}
        for target, source in COMPOSE.configs(name).items():
            copy = directory / f"{name}.conf"
            copy.write_text(source.read_text().replace("0.0.0.0:6222", f"127.0.0.1:{routes[name]}"))
            here[target] = str(copy)
        here |= {"/data": str(directory / name), "4222": str(self.port), "8222": str(free_port())}
        super().__init__(COMPOSE, name, directory, here, lambda: answers(self.port))


class Cluster:
    """The three of them, Valkey, the second web process and the first worker."""

    def __init__(self, directory: Path) -> None:
        routes = {name: free_port() for name in NODES}
        self.nodes = {name: Node(name, directory, routes) for name in NODES}
        self.valkey = ComposeValkey(COMPOSE, "valkey", directory, {"/data": str(directory)})
        self.directory = directory
        self.web_port = free_port()
        self.started: list[Server] = []

    def start(self) -> None:
        servers = [*self.nodes.values(), self.valkey]
        self.started += servers
        with ThreadPoolExecutor(len(servers)) as pool:  # none of the three is healthy before it has found another
            list(pool.map(Server.start, servers))
        here = {f"{name}:4222": f"127.0.0.1:{node.port}" for name, node in self.nodes.items()}
        here |= {"valkey:6379": f"127.0.0.1:{self.valkey.port}", "0.0.0.0:8000": f"127.0.0.1:{self.web_port}"}
        here |= {":8000/": f":{self.web_port}/"}
        web = Service(COMPOSE, "web-2", self.directory, here, lambda: answers(self.web_port))
        worker = Worker(COMPOSE, "worker-1", self.directory, here, BUS_JOB_DELAY_SCALE="0")
        self.settings = Settings.load(nats_url=web.env["NATS_URL"], nats_user="busctl", nats_password="12e34")
        self.started += [web, worker]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(Server.start, [web, worker]))

    def stop(self) -> None:
        for server in reversed(self.started):
            if server.process is not None:
                server.kill()


class Worker(Service):
    """Ready when it says so: its health check is that of compose.yaml, which tests/test_compose.py runs."""

    def ready(self) -> bool:
        return self.said(" ready.")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    running = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        running.start()
        yield running
    finally:
        running.stop()


async def test_a_job_is_answered_and_so_it_is_when_the_leader_of_the_stream_is_gone(cluster: Cluster) -> None:
    async with Bus(cluster.settings) as bus:
        stream = await bus.stream.info()
    assert stream["config"]["num_replicas"] == 3
    assert {stream["cluster"]["leader"], *(each["name"] for each in stream["cluster"]["replicas"])} == set(NODES)
    async with client(f"ws://127.0.0.1:{cluster.web_port}/ws/system") as user, asyncio.timeout(45):
        assert await answered(user, "before") == "✅ Processed: BEFORE"
        cluster.nodes[stream["cluster"]["leader"]].kill()
        assert await answered(user, "after") == "✅ Processed: AFTER"


async def answered(user: Client, content: str) -> str:
    """The result of a job, which is handed in again while it is refused because the servers elect a leader."""
    await user.submit("default", content, key=content)
    while (frame := await user.receive(40))["action"] != "job_result":
        if frame["action"] == "error":
            assert frame["payload"][0]["type"] == "bus_unavailable", frame
            await asyncio.sleep(0.1)
            await user.submit("default", content, key=content)
    return str(frame["payload"])


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_restarted_checked_and_given_time_to_stop(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert {"test", "interval", "timeout", "retries", "start_period"} <= service["healthcheck"].keys()
    assert seconds(service["stop_grace_period"]) >= 30


def test_our_services_are_those_of_compose_yaml_but_for_where_nats_is() -> None:
    single = Compose("compose.yaml", SECRETS)
    several = {"NATS_URL", "NATS_USER", "NATS_PASSWORD", "BUS_STREAM_REPLICAS", "BUS_CONNECT_TIMEOUT"}
    several |= {"depends_on", "ports"}
    for kind in ("web", "worker"):
        [wanted] = {str(_without(single.services[kind], several))}
        assert {str(_without(SERVICES[f"{kind}-{n}"], several)) for n in (1, 2)} == {wanted}
    valkey = {**SERVICES["valkey"], "volumes": single.services["valkey"]["volumes"]}
    assert valkey == single.services["valkey"]
    for name in ("web-1", "web-2", "worker-1", "worker-2"):
        depends = {server: given["condition"] for server, given in SERVICES[name]["depends_on"].items()}
        assert depends == dict.fromkeys(NODES, "service_started") | {"valkey": "service_healthy"}


def _without(service: dict[str, object], names: set[str]) -> dict[str, object]:
    environment = service["environment"]
    assert isinstance(environment, dict)
    kept = {key: value for key, value in environment.items() if key not in names}
    return {key: value for key, value in sorted(service.items()) if key not in names} | {"environment": kept}


def test_data_is_kept_by_each_and_images_are_pinned() -> None:
    for name in (*NODES, "valkey"):
        assert SERVICES[name]["volumes"] == [f"{name}:/data"]
        assert name in COMPOSE.content["volumes"]
        assert re.fullmatch(r"[a-z/]+:\d+\.\d+-alpine", SERVICES[name]["image"])


def test_nothing_but_the_two_web_services_can_be_reached_and_these_from_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"web-1": ["127.0.0.1:8000:8000"], "web-2": ["127.0.0.1:8001:8000"]}
