"""compose.yaml and the Dockerfile, as far as they can be run without a container engine.

Every command and health check of our services runs as a local process, and those of NATS and Valkey with their real
binaries. tests/test_compose_cluster.py does it with compose.cluster.yaml.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import redis

from cli.probes import worker_listens
from testbed.ports import free_port
from testbed.servers import answers, wait_until
from testbed.system import System
from tests.compose import Compose, ComposeValkey, Service, require_nats_denies_live, seconds

ROOT = Path(__file__).parent.parent
COMPOSE = Compose("compose.yaml", {"BUS_SECRET": "0" * 32})
SERVICES = COMPOSE.services
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


TELLS_WHAT_IS_WRITTEN = """
import os, sys
log = os.open(os.environ["WROTE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.write(log, b"hook began\\n")
changing = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}

def hook(event, arguments):
    if event in changing:
        path = arguments[0]
    elif event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        path = arguments[0]
    else:
        return
    if isinstance(path, (str, bytes)):
        os.write(log, os.path.abspath(os.fsencode(path)) + b"\\n")

sys.addaudithook(hook)
"""
"""As Python's sitecustomize: every file that the process, or a child of it, opens to write or changes."""


@pytest.mark.parametrize("name", ["web", "worker"])
def test_our_services_become_healthy_and_end_in_time(name: str, fresh: System, tmp_path: Path) -> None:
    port = free_port()
    hosts = {"nats://nats:4222": fresh.nats.url, "redis://valkey:6379/0": fresh.valkey.url}
    here = hosts | {"0.0.0.0:8000": f"127.0.0.1:{port}", ":8000/": f":{port}/"}
    assert not Service(COMPOSE, name, tmp_path, here | {"--timeout 5": "--timeout 1"}).healthy()
    listens = {"web": lambda: answers(port), "worker": lambda: asyncio.run(worker_listens(fresh.valkey.url))}
    wrote = tmp_path / "wrote"
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(TELLS_WHAT_IS_WRITTEN)
    with TemporaryDirectory() as temporary:  # its path is short enough for a socket: else Python 3.14 takes /tmp
        env = {"PYTHONPATH": str(tmp_path / "hook"), "WROTE": str(wrote), "TMPDIR": temporary}
        service = Service(COMPOSE, name, tmp_path, here, listens[name], **env)
        service.start()
        assert service.stop(seconds(SERVICES[name]["stop_grace_period"])) == 0, service.output()
    elsewhere = [path for path in written(wrote) if not path.startswith((temporary, "/dev/"))]
    assert elsewhere == []
    assert {"read_only": True, "tmpfs": ["/tmp"], "cap_drop": ["ALL"]}.items() <= SERVICES[name].items()


def written(log: Path) -> list[str]:
    found = log.read_text().splitlines()
    assert "hook began" in found
    return [path for path in found if path != "hook began"]


def test_web_is_not_healthy_without_its_broker(fresh: System, tmp_path: Path) -> None:
    port = free_port()
    hosts = {"nats://nats:4222": fresh.nats.url, "redis://valkey:6379/0": fresh.valkey.url}
    service = Service(COMPOSE, "web", tmp_path, hosts | {"0.0.0.0:8000": f"127.0.0.1:{port}", ":8000/": f":{port}/"})
    service.start()
    try:
        fresh.valkey.kill()
        wait_until(lambda: not service.healthy(), "failing health check")
    finally:
        service.stop()


async def test_nats_takes_its_options_and_denies_live_to_its_clients(tmp_path: Path) -> None:
    await require_nats_denies_live(COMPOSE, tmp_path)


def test_valkey_takes_its_options(tmp_path: Path) -> None:
    valkey = ComposeValkey(COMPOSE, "valkey", tmp_path, {"/data": str(tmp_path)})
    valkey.start()
    try:
        with redis.Redis(port=valkey.port, socket_timeout=10, decode_responses=True) as client:
            wanted = {"appendonly": "yes", "save": "", "maxmemory-policy": "noeviction", "dir": str(tmp_path)}
            assert {name: client.config_get(name)[name] for name in wanted} == wanted
    finally:
        valkey.stop()


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_restarted_checked_and_given_time_to_stop(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert {"test", "interval", "timeout", "retries", "start_period"} <= service["healthcheck"].keys()
    assert seconds(service["stop_grace_period"]) >= 15


@pytest.mark.parametrize("name", ["web", "worker"])
def test_ours_wait_until_their_servers_are_healthy(name: str) -> None:
    assert SERVICES[name]["depends_on"] == {server: {"condition": "service_healthy"} for server in ("nats", "valkey")}


@pytest.mark.parametrize("name", ["nats", "valkey"])
def test_images_are_pinned_and_data_is_kept(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[a-z/]+:\d+\.\d+-alpine", service["image"])
    assert service["volumes"] == [f"{name}:/data"]
    assert name in COMPOSE.content["volumes"]


def test_nothing_is_published_beyond_this_machine() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_image_has_what_the_wheel_needs_and_runs_as_nobody_special(tmp_path: Path) -> None:
    copied = [
        source
        for line in DOCKERFILE.splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    ]
    for source in copied:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, tmp_path / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, tmp_path / source)
    [build] = re.findall(r"RUN pip (wheel .*)", DOCKERFILE)
    arguments = build.replace("/wheels", str(tmp_path / "wheels")).split()
    command = [sys.executable, "-m", "pip", *arguments, "--no-index", "--disable-pip-version-check"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=100)
    [wheel] = (tmp_path / "wheels").iterdir()
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for package in PACKAGES:
        assert (tmp_path / package).is_dir()
        inside = (path for path in (tmp_path / package).rglob("*") if path.is_file())
        assert {str(path.relative_to((tmp_path / package).parent)) for path in inside} <= names

    assert "USER busctl" in DOCKERFILE
    assert DOCKERFILE.rstrip().endswith('CMD ["busctl", "serve", "--bind", "0.0.0.0:8000"]')


def test_what_the_image_copies_is_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    for source in " ".join(copied).split():
        assert f"!{source}" in ignored
