"""busctl dev: started, used, interrupted, restarted, and everything that can befall it."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from bus import Bus, Settings
from testbed.ports import free_port
from testbed.servers import BIN, Nats, OurServer, answers, wait_until
from tests import own_project
from tests.cli.command import busctl
from tests.cli.terminal import shell
from tests.clients import client
from tests.raw_jetstream import connected, require_live_is_the_servers_alone

ROOT = Path(__file__).parent.parent.parent
READY = 90.0
GONE = 30.0


class Dev(OurServer):
    """`busctl dev` on free ports; its output is that of a person who redirected everything to one file."""

    name = "dev"

    def __init__(self, directory: Path, data_dir: Path | None = None, **env: str) -> None:
        super().__init__(directory, {"BUS_JOB_DELAY_SCALE": "0", "NATS_URL": "", "REDIS_URL": ""} | env)
        self.data_dir = data_dir or directory / "data"
        self.ports = {option: free_port() for option in ("--port", "--nats-port", "--monitor-port", "--redis-port")}
        self.program = [str(BIN / "busctl")]
        self.extra: list[str] = []

    def command(self) -> list[str]:
        return [*self.program, "dev", *self.options(), *self.extra]

    def options(self) -> list[str]:
        ports = [part for option, port in self.ports.items() for part in (option, str(port))]
        return [*ports, "--data-dir", str(self.data_dir)]

    def launch(self) -> None:
        """Start it without waiting for anything; what the one before printed is gone."""
        with self.log.open("wb") as log:
            self.process = self.begin(self.command(), os.environ | self.env, log)

    def start(self) -> None:
        self.launch()
        wait_until(self._ready_or_dead, "ready line", READY)
        assert self.process is not None
        assert self.process.poll() is None, self.output()

    def ready(self) -> bool:
        return f"ready {self.page}\n" in self.output()

    @property
    def page(self) -> str:
        return f"http://127.0.0.1:{self.ports['--port']}/system/"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.ports['--port']}/ws/system"

    @property
    def nats_url(self) -> str:
        return f"nats://127.0.0.1:{self.ports['--nats-port']}"

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(GONE)

    def child(self, program: str) -> int:
        """The process id of a direct child, by a word of its command line."""
        [found] = [pid for pid in children(self.pid) if program in Path(f"/proc/{pid}/cmdline").read_text()]
        return found

    def clean_up(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(GONE)
            finally:
                self.kill()


def children(pid: int) -> list[int]:
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            stat = path.read_text()
        except OSError:
            continue
        if int(stat.rpartition(")")[2].split()[1]) == pid:
            found.append(int(path.parent.name))
    return found


def family(pid: int) -> list[int]:
    """Every descendant."""
    return [one for child in children(pid) for one in (child, *family(child))]


def state(pid: int) -> str:
    """As `ps` has it; X for one that is not there."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def gone(pid: int) -> bool:
    return state(pid) in ("Z", "X")


def require_nothing_left(dev: Dev, pids: list[int]) -> None:
    wait_until(lambda: all(gone(pid) for pid in pids), "end of every process", GONE)
    assert not [option for option, port in dev.ports.items() if answers(port)]


@contextmanager
def cleaned_up(dev: Dev) -> Iterator[Dev]:
    try:
        yield dev
    finally:
        dev.clean_up()


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    with cleaned_up(Dev(tmp_path)) as dev:
        yield dev


@pytest.fixture(scope="module")
def first_dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    dev = Dev(tmp_path_factory.mktemp("dev"))
    dev.data_dir.mkdir(mode=0o755)
    with cleaned_up(dev):
        yield dev


@pytest.fixture
def running(first_dev: Dev) -> Dev:
    """One that runs; started again, with what it kept, if the test before ended it."""
    first_dev.revive()
    return first_dev


def post(url: str, origin: str) -> tuple[int, str]:
    request = urllib.request.Request(url, method="POST", headers={"Origin": origin})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.read().decode().strip()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode().strip()


async def test_its_page_may_kill_a_worker_and_freeze_redis_and_jobs_end_all_the_same(running: Dev) -> None:
    origin = running.page.removesuffix("/system/")
    before = set(children(running.child("workers")))
    status, told = post(f"{origin}/dev/faults/kill-worker", origin)
    assert (status, told.startswith("killed the worker's processes")) == (200, True)
    assert {int(pid) for pid in told.rpartition("processes ")[2].split(", ")} == before
    valkey = running.child("valkey")
    assert post(f"{origin}/dev/faults/freeze-redis", origin) == (200, "froze Redis for 5 s")
    assert state(valkey) == "T"
    assert post(f"{origin}/dev/faults/freeze-redis", origin) == (409, "Redis is frozen already")
    async with client(running.ws_url) as browser:
        await browser.submit("default", "meanwhile")
        os.kill(valkey, signal.SIGCONT)  # here nobody waits for the 5 s
        await browser.receive_until("job_result", 60)


async def test_started_used_interrupted_and_started_again(running: Dev) -> None:
    assert status(running.page) == 200
    async with client(running.ws_url) as browser:
        await browser.submit("analyze", "hello")
        frames = await browser.receive_until("job_result", 60)
        assert frames[0]["action"] == "job_queued"
        sent = busctl("notify", "hi", NATS_URL=running.nats_url)
        assert sent.returncode == 0, sent
        assert (await browser.receive())["payload"] == "hi"
    with redis.Redis(port=running.ports["--redis-port"], socket_timeout=10) as store:
        store.set("kept", "yes")

    pids = family(running.pid)
    assert len(pids) >= 5
    running.signal(signal.SIGINT)
    assert running.wait() == 130, running.output()
    require_nothing_left(running, pids)

    running.start()
    async with Bus(Settings.load(nats_url=running.nats_url)) as bus:
        first = await bus.stream.first("bus.>")
        notification = await bus.stream.last("bus.group.system")
    assert first is not None
    assert first.seq == 1
    assert notification is not None
    assert b'"hi"' in notification.data
    with redis.Redis(port=running.ports["--redis-port"], socket_timeout=10) as store:
        assert store.get("kept") == b"yes"


async def test_what_it_keeps_is_for_its_user_alone_and_pages_of_other_sites_are_refused(running: Dev) -> None:
    async with client(running.ws_url) as browser:
        await browser.submit("analyze", "a secret")
        await browser.receive_until("job_result", 60)

    kept = [running.data_dir, *running.data_dir.rglob("*")]
    assert len(kept) > 8
    assert not [path for path in kept if path.lstat().st_mode & 0o077]
    assert (running.data_dir / "secret").read_text() not in command_lines(running)

    port = running.ports["--port"]
    for name, expected in (("rebind.evil", 421), ("localhost", 101), ("[::1]", 101), ("sub.localhost", 101)):
        assert await handshake(f"ws://{name}:{port}/ws/system", port) == expected


def command_lines(dev: Dev) -> str:
    return "\n".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in family(dev.pid))


async def handshake(url: str, port: int) -> int:
    """The status of a handshake on this machine by a page of the site that the URL names."""
    origin = Origin(url.replace("ws://", "http://").removesuffix("/ws/system"))
    try:
        async with connect(url, proxy=None, origin=origin, host="127.0.0.1", port=port, open_timeout=15):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


def test_one_data_directory_serves_one_at_a_time(running: Dev) -> None:
    refused = busctl("dev", *Dev(running.directory, running.data_dir).options(), NATS_URL="", REDIS_URL="")
    assert refused.returncode == 1
    assert f"is in use by another busctl dev (process {running.pid})" in refused.stderr
    assert "--data-dir" in refused.stderr
    assert answers(running.ports["--port"])


async def test_it_outlives_a_redis_that_takes_no_writes_for_a_while(running: Dev) -> None:
    with redis.Redis(port=running.ports["--redis-port"], socket_timeout=10) as store:
        async with client(running.ws_url) as browser:
            store.replicaof("127.0.0.1", 1)
            await asyncio.to_thread(wait_until, lambda: "connecting again" in running.output(), "a worker that noticed")
            await browser.submit("default", "hello")
            await browser.receive_until("job_queued", 60)
            store.replicaof("NO", "ONE")
            frames = await browser.receive_until("job_result", 60)
    assert frames[-1]["payload"] == "✅ Processed: HELLO"
    assert not gone(running.pid)


def test_a_second_interrupt_kills_at_once(running: Dev) -> None:
    pids = family(running.pid)
    os.kill(running.child("workers"), signal.SIGSTOP)
    running.signal(signal.SIGINT)
    wait_until(lambda: "stopping; press Ctrl+C again" in running.output(), "answer to the first interrupt")
    running.signal(signal.SIGINT)
    assert running.wait() == 130, running.output()
    assert "did not stop" not in running.output()
    require_nothing_left(running, pids)


@pytest.mark.parametrize(
    ("name", "program"),
    [("valkey", "valkey-server"), ("web", "quart_app")],
)
def test_a_dead_child_stops_everything_and_is_named(dev: Dev, name: str, program: str) -> None:
    dev.start()
    pids = family(dev.pid)
    os.kill(dev.child(program), signal.SIGKILL)
    assert dev.wait() == 1, dev.output()
    assert f"error: {name} died with signal SIGKILL" in dev.output()
    require_nothing_left(dev, pids)


def test_interrupted_while_it_starts(dev: Dev) -> None:
    dev.launch()
    wait_until(lambda: "nats │" in dev.output(), "first log line")
    pids = family(dev.pid)
    dev.signal(signal.SIGINT)
    assert dev.wait() == 130, dev.output()
    require_nothing_left(dev, pids)


def test_a_worker_that_hangs_is_killed(dev: Dev) -> None:
    dev.start()
    pids = family(dev.pid)
    os.kill(dev.child("workers"), signal.SIGSTOP)
    dev.signal(signal.SIGINT)
    assert dev.wait() == 130, dev.output()
    assert "did not stop within 5 s and was killed" in dev.output()
    require_nothing_left(dev, pids)


def test_killed_itself_it_leaves_nothing_running(dev: Dev) -> None:
    dev.start()
    pids = family(dev.pid)
    dev.signal(signal.SIGKILL)
    assert dev.wait() == -signal.SIGKILL
    require_nothing_left(dev, pids)


def typed(dev: Dev) -> str:
    """What somebody types who wants to read its output later."""
    return shlex.join(dev.command()) + f" >{shlex.quote(str(dev.log))} 2>&1"


def holder(dev: Dev) -> int:
    """Its process id, as the lock of its data directory has it."""
    return int((dev.data_dir / "lock").read_text())


def test_a_terminal_that_closes_ends_it_in_order(dev: Dev) -> None:
    with shell(**dev.env) as terminal:
        terminal.type(f"{typed(dev)}\n")
        wait_until(lambda: dev.log.exists() and dev.ready(), "ready line", READY)
        wait_until(lambda: "press o" in dev.output(), "word of the keys")
        pids = [holder(dev), *family(holder(dev))]
    require_nothing_left(dev, pids)
    assert "stopping" in dev.output()
    assert "Traceback" not in dev.output()


def test_in_the_background_it_serves_on_and_goes_on_ignoring_that_its_terminal_closes(dev: Dev) -> None:
    with shell(**dev.env) as terminal:
        terminal.type(f"trap '' HUP; {typed(dev)} &\n")
        wait_until(lambda: dev.log.exists() and dev.ready(), "ready line", READY)
        wait_until(lambda: "every line of every process" in dev.output(), "last word of its start")
        pid = holder(dev)
        pids = [pid, *family(pid)]
    try:
        assert state(pid) in ("S", "R")
        assert status(dev.page) == 200
        assert "press o" not in dev.output()
        [ignored] = re.findall(r"^SigIgn:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        assert int(ignored, 16) & 1 << signal.SIGHUP - 1
    finally:
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)
    require_nothing_left(dev, pids)
    assert "Traceback" not in dev.output()


def test_busy_ports_are_named_before_anything_starts(dev: Dev) -> None:
    nats = Nats(dev.directory)
    nats.start()
    try:
        dev.ports |= {"--nats-port": nats.port, "--monitor-port": nats.monitor_port}
        refused = busctl("dev", *dev.options(), NATS_URL="", REDIS_URL="")
    finally:
        nats.stop()
    assert refused.returncode == 1
    for option in ("--nats-port", "--monitor-port"):
        assert f"port {dev.ports[option]} cannot be used (Address already in use)" in refused.stderr
        assert f"choose another with {option}" in refused.stderr
    assert "│" not in refused.stderr


def test_a_data_directory_that_cannot_be_used_is_named(dev: Dev) -> None:
    dev.data_dir.write_text("a file")
    refused = busctl("dev", *dev.options(), NATS_URL="", REDIS_URL="")
    assert refused.returncode == 1
    assert f"cannot use the data directory {dev.data_dir}" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_servers_of_the_environment_are_used(tmp_path: Path, nats: Nats) -> None:
    with cleaned_up(Dev(tmp_path, NATS_URL=nats.url)) as dev:
        dev.start()
        assert not answers(dev.ports["--nats-port"])
        assert "nats │" not in dev.output()
        dev.signal(signal.SIGTERM)
        assert dev.wait() == 0, dev.output()
    assert answers(nats.port)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", disk]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


async def test_on_a_small_disk_it_keeps_fewer_events_and_says_so(tmp_path: Path, small_disk: Path) -> None:
    for _ in range(2):
        with cleaned_up(Dev(tmp_path, small_disk / "data")) as dev:
            dev.start()
            assert "events are kept up to 32 MiB (BUS_STREAM_MAX_BYTES=33554432)" in dev.output()
            await require_live_is_the_servers_alone(dev.nats_url)
            async with connected(dev.nats_url) as raw:
                assert (await raw.config())["max_bytes"] == 32 * 2**20


def test_a_nats_of_the_environment_that_is_away_is_named(tmp_path: Path) -> None:
    with cleaned_up(Dev(tmp_path, NATS_URL="nats://127.0.0.1:1", BUS_CONNECT_TIMEOUT="0.5")) as dev:
        dev.launch()
        assert dev.wait() == 1
        assert "web died with exit status 1" in dev.output()
        assert "nats://127.0.0.1:1" in dev.output()


def test_reload_starts_web_and_worker_again_and_survives_a_mistake(dev: Dev) -> None:
    source = own_project.write(dev.directory) / "jobs.py"
    dev.env |= own_project.ENV | {"PYTHONPATH": str(dev.directory)}
    dev.extra = ["--reload"]
    dev.start()
    web, worker = dev.child("quart_app"), dev.child("workers")

    source.write_text("this is no Python\n")
    wait_until(lambda: "web died with exit status 1; it starts again" in dev.output(), "word of the mistake", READY)
    assert "own_shop/jobs.py changed" in dev.output()
    source.write_text(own_project.JOBS.replace("shout", "whisper"))
    wait_until(lambda: status(dev.page) == 200, "page", READY)
    for told in ("web │ serves", "worker │ takes jobs"):
        wait_until(lambda told=told: told in dev.output().rpartition("start again")[2], f"word that {told}", READY)
    assert dev.child("quart_app") != web
    assert dev.child("workers") != worker
    with urllib.request.urlopen(dev.page, timeout=5) as page:  # noqa: S310
        assert "whisper" in page.read().decode()


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310
            code: int = answer.status
            return code
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        time.sleep(0.1)
        return 0
