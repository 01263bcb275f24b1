"""busctl new: what it writes works, with tests that pass, and it overwrites nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from quart_app.channels.console import ConsoleChannel
from quart_app.channels.system import SystemChannel
from testbed.servers import BIN
from tests.cli.command import DEADLINE, PLAIN, ended
from tests.cli.terminal import in_shell
from tests.compose import Compose, require_nats_denies_live

ROOT = Path(__file__).parents[2]
OURS = Compose("compose.yaml", {"BUS_SECRET": "0" * 32}).services

OF_THE_KIT = '''
"""What the kit promises, beyond what the project's own tests use."""

import pytest

from bus import SystemNotification
from busctl import Bus
from busctl.testing import Announcements, Closed, Communicators, RunningBus


async def test_announcements_are_captured(bus: RunningBus, announcements: Announcements) -> None:
    assert announcements.all() == []
    async with Bus(bus.settings) as nats:
        await nats.broadcast_event(SystemNotification(payload="tea is ready", level="warning"))
        await nats.send_event(SystemNotification(payload="yours"), "ann")
    [first, second] = announcements.all()
    assert (first.text, first.level, first.group, first.client) == ("tea is ready", "warning", "system", None)
    assert (second.text, second.group, second.client) == ("yours", None, "ann")


def test_those_of_another_test_are_not(announcements: Announcements) -> None:
    assert announcements.texts == []


async def test_what_does_not_come_is_said_with_what_came(communicator: Communicators) -> None:
    async with communicator() as client:
        await client.send({"action": "ping"})
        with pytest.raises(TimeoutError, match="within 0.3 s there was no job_result; there was pong"):
            await client.collect("job_result", timeout=0.3)


async def test_a_close_has_its_code(communicator: Communicators) -> None:
    async with communicator(protocol="bus.v1") as client:
        await client.send({"action": "ping"})
        with pytest.raises(Closed) as closed:
            await client.collect("welcome")
        assert closed.value.code == 4400
        with pytest.raises(Closed):
            await client.receive()


async def test_a_refused_handshake_has_its_status(communicator: Communicators) -> None:
    with pytest.raises(Closed) as refused:
        async with communicator(headers={"Origin": "https://evil.example"}):
            pass
    assert refused.value.code == 403
    with pytest.raises(Closed) as missing:
        async with communicator("/ws/nowhere"):
            pass
    assert missing.value.code == 404
'''


def new(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return ended([BIN / "busctl", "new", *arguments], os.environ | PLAIN | env, cwd=folder)


def require_written(folder: Path, *arguments: str) -> None:
    done = new(folder, *arguments)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project, with a few more jobs and channels."""
    folder = tmp_path_factory.mktemp("new")
    require_written(folder, "project", "shop")
    require_written(folder / "shop", "job", "print_order")
    require_written(folder / "shop", "channel", "price_watch")
    for kind, name in (("job", "done"), ("channel", "answer")):  # words of what is written itself
        require_written(folder / "shop", kind, name)
    return folder / "shop"


def test_its_tests_pass(shop: Path) -> None:
    (shop / "tests" / "test_kit.py").write_text(OF_THE_KIT)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=shop, capture_output=True, text=True, check=False, timeout=DEADLINE)
    assert (done.returncode, "15 passed" in done.stdout) == (0, True), done.stdout + done.stderr


@pytest.mark.parametrize("name", ["dot_com", "polkadot_shop"])
def test_a_name_that_looks_like_a_hidden_file_is_as_good_as_any(tmp_path: Path, name: str) -> None:
    require_written(tmp_path, "project", name)
    root = tmp_path / name
    assert (root / name / "app.py").is_file()
    assert {path.name for path in root.iterdir()} >= {".dockerignore", ".gitignore", ".github", name, "tests"}


def test_make_runs_what_busctl_and_pytest_need(shop: Path) -> None:
    (shop / ".venv").mkdir(exist_ok=True)
    (shop / ".venv" / ".installed").touch()
    for target, command in (("dev", ".venv/bin/busctl dev --reload"), ("test", ".venv/bin/python -m pytest")):
        env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # as outside of make
        told = subprocess.run(["make", "-n", target], cwd=shop, env=env, capture_output=True, text=True, check=True)
        assert told.stdout == command + "\n"


def test_make_installs_the_busctl_that_it_is_told_of(tmp_path: Path) -> None:
    done = new(tmp_path, "project", "shop")
    assert f"cd shop && make dev BUSCTL={ROOT}, then open" in done.stdout
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    for given, there in ((["BUSCTL=../busctl"], True), ([], False)):
        command = ["make", "-n", "test", *given]
        told = subprocess.run(command, cwd=tmp_path / "shop", env=env, capture_output=True, text=True, check=True)
        assert ("pip install --quiet '../busctl[embedded,testing]'\n" in told.stdout) is there
        assert "pip install --quiet --group dev --editable .\n" in told.stdout


def test_compose_runs_our_commands_with_the_settings_of_the_project(shop: Path) -> None:
    services = yaml.safe_load((shop / "compose.yaml").read_text())["services"]
    assert set(services) == {"web", "worker", "nats", "valkey"}
    for name in ("web", "worker"):
        assert services[name]["env_file"] == "bus.env"
        assert {"NATS_URL", "REDIS_URL"} <= set(services[name]["environment"])
        for bound in ("init", "read_only", "tmpfs", "cap_drop", "security_opt", "restart", "depends_on"):
            assert services[name][bound] == OURS[name][bound]
    assert services["web"]["ports"] == OURS["web"]["ports"]
    yaml.safe_load((shop / ".github" / "workflows" / "ci.yml").read_text())


async def test_nats_of_compose_denies_live_to_its_clients(shop: Path, tmp_path: Path) -> None:
    assert (shop / "nats.conf").read_text() == (ROOT / "deploy/nats/server.conf").read_text()
    await require_nats_denies_live(Compose(shop / "compose.yaml", {"BUS_SECRET": "0" * 32}), tmp_path)


def test_the_secret_goes_into_no_image_and_no_repository(shop: Path) -> None:
    assert "in .env" in (shop / "compose.yaml").read_text()
    for ignored in (".dockerignore", ".gitignore"):
        assert ".env" in (shop / ignored).read_text().splitlines()


def test_no_placeholder_is_left(shop: Path) -> None:
    for path in shop.rglob("*"):
        assert "app_name" not in str(path)
        if path.suffix in (".py", ".toml", ".md", ".env", ".html", ".js", ".yaml", ".yml"):
            assert "app_name" not in path.read_text(), path


def test_nothing_is_overwritten(shop: Path) -> None:
    before = {path: path.read_bytes() for path in shop.rglob("*") if path.is_file()}
    for folder, arguments in ((shop.parent, ("project", "shop")), (shop, ("job", "tea")), (shop, ("channel", "rooms"))):
        done = new(folder, *arguments)
        assert done.returncode == 1
        assert "choose another name" in done.stderr
    assert {path: path.read_bytes() for path in shop.rglob("*") if path.is_file()} == before


def test_what_cannot_be_written_whole_leaves_nothing_behind(tmp_path: Path) -> None:
    done = in_shell(f"cd {tmp_path} && ulimit -f 1 && busctl new project shop", **PLAIN)
    assert done.returncode == 1
    assert "File too large; nothing was written; choose another folder" in done.stderr
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "jobs").mkdir()
    (tmp_path / "tests").write_text("a file")
    done = new(tmp_path, "job", "tea", "--in", "jobs")
    assert (done.returncode, "nothing was written" in done.stderr) == (1, True)
    assert list((tmp_path / "jobs").iterdir()) == []


@pytest.mark.parametrize(
    "name", ["Shop", "my-shop", "1shop", "class", "match", "json", "workers", "celery", "redis", "a.b", "../x"]
)
def test_a_name_that_cannot_be_imported_is_refused(tmp_path: Path, name: str) -> None:
    done = new(tmp_path, "project", name)
    assert done.returncode == 2
    assert "choose another" in done.stderr or "cannot be the name of a Python module" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "name"), [("job", "run"), *(("channel", channel.name) for channel in (SystemChannel, ConsoleChannel))]
)
def test_a_name_that_is_taken_is_refused(shop: Path, kind: str, name: str) -> None:
    done = new(shop, kind, name)
    assert done.returncode == 2
    assert f"'{name}' is a name that busctl uses itself; choose another" in done.stderr


def test_where_a_job_goes_is_said_or_asked_for(tmp_path: Path) -> None:
    done = new(tmp_path, "job", "tea")
    assert (done.returncode, "name a package with --in" in done.stderr) == (1, True)
    done = new(tmp_path, "job", "tea", BUS_JOBS="shop.jobs")
    assert (done.returncode, "there is no folder shop/jobs here" in done.stderr) == (1, True)
    for package in ("../shop", "shop..jobs", "", "shop/jobs"):
        done = new(tmp_path, "job", "tea", "--in", package)
        assert (done.returncode, "is no package; name it as it is imported" in done.stderr) == (2, True)
    (tmp_path / "shop" / "jobs").mkdir(parents=True)
    assert new(tmp_path, "job", "tea", "--in", "shop.jobs").returncode == 0
    assert (tmp_path / "shop" / "jobs" / "tea.py").is_file()
