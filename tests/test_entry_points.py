"""Every way to start a process: what cannot work is one line on standard error and exit status 1.

Each way that is a program of its own is started from nothing for one of the reasons, and forked for the others.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from bus import Settings
from testbed.servers import BIN, Worker
from testbed.system import System, running
from tests.cli.command import DEADLINE, NO_NATS, PLAIN, ended, from_nothing
from tests.clients import client

SECRET = "hunter2"
ANYWHERE = ("--bind", "127.0.0.1:0")

WEB = {
    # `busctl serve` becomes this.
    "python -m quart_app": ["python", "-m", "quart_app", *ANYWHERE],
    "python -m quart_app, several": ["python", "-m", "quart_app", "--workers", "2", *ANYWHERE],
    # With workers of its own, Hypercorn 0.18 exits with 0 however they ended.
    "hypercorn": ["hypercorn", "--workers", "0", *ANYWHERE, "quart_app:app"],
    "uvicorn": ["uvicorn", "--port", "0", "--log-level", "warning", "quart_app:app"],
}
WORKERS = {
    "python -m workers": ["python", "-m", "workers"],  # `busctl worker` becomes this
    "celery worker": ["celery", "-A", "workers", "worker"],
    "celery inspect": ["celery", "-A", "workers", "inspect", "ping"],
}
COMMANDS = {
    "notify": ["busctl", "notify", "hi"],
    "submit": ["busctl", "submit", "translate", "hi"],
    "jobs": ["busctl", "jobs"],
    "cancel": ["busctl", "cancel", "j"],
    "watch": ["busctl", "watch"],
    "dev": ["busctl", "dev"],
}
EXECUTED = {"serve": ["busctl", "serve", *ANYWHERE], "worker": ["busctl", "worker"]}
ASYNCAPI = {"asyncapi": ["python", "-m", "quart_app.web.asyncapi"]}


EVERYTHING = COMMANDS | WEB | WORKERS | ASYNCAPI | EXECUTED


def each_of(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("command", [EVERYTHING[name] for name in names], ids=names)


def fails(command: list[str], directory: Path, *, started: bool = False, **env: str) -> str:
    """What a command says that cannot start.

    Args:
        directory: where it is typed.
        started: from nothing, and not forked.
    """
    run = from_nothing if started else ended
    env = os.environ | PLAIN | {"BUS_CONNECT_TIMEOUT": "0.1"} | env
    done = run([BIN / command[0], *command[1:]], env, cwd=directory)
    assert done.returncode == 1, done
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert SECRET not in done.stderr
    assert not done.stdout
    return done.stderr


def require_bad_settings_named(command: list[str], directory: Path, *, started: bool) -> None:
    wrong = {"BUS_FRAME_RATE": "10/s", "BUS_SECRET": SECRET, "BUS_ALLOWED_HOSTS": os.fsdecode(b"\xff")}
    said = fails(command, directory, started=started, **wrong)
    assert "BUS_FRAME_RATE: must be a plain number, without unit; " in said
    assert "BUS_SECRET: at least 32 characters are needed" in said
    assert "BUS_ALLOWED_HOSTS: must be valid UTF-8" in said


@each_of(*COMMANDS, *WEB, *WORKERS)
def test_bad_settings_are_named_in_one_line(command: list[str], tmp_path: Path) -> None:
    require_bad_settings_named(command, tmp_path, started=False)


@each_of("notify", "serve", "hypercorn", "uvicorn", "worker", "celery worker", "celery inspect")
def test_bad_settings_are_named_by_a_program_that_is_started_from_nothing(command: list[str], tmp_path: Path) -> None:
    require_bad_settings_named(command, tmp_path, started=True)


def test_hypercorn_with_workers_says_it_once_too(tmp_path: Path) -> None:
    hypercorn = [BIN / "hypercorn", *ANYWHERE, "quart_app:app"]
    refused = from_nothing(hypercorn, os.environ | {"BUS_FRAME_RATE": "10/s"}, cwd=tmp_path)
    assert refused.stderr.count("\n") == 1
    assert "BUS_FRAME_RATE" in refused.stderr


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A directory that Python finds, with an installed package that brings jobs."""
    info = tmp_path / "site" / "their_jobs-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-jobs\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[busctl.jobs]\ntheirs = their_jobs\n")
    return info.parent


@each_of("submit", "dev", *WEB, *WORKERS)
def test_a_job_that_cannot_work_is_named_in_one_line(command: list[str], installed: Path, tmp_path: Path) -> None:
    (installed / "their_jobs.py").write_text("from workers.registry import job\n@job\ndef shout(text): ...\n")
    said = fails(command, tmp_path, PYTHONPATH=str(installed))
    assert said == "error: job 'shout' (their_jobs.shout) must take exactly the parameters `content` and `job`\n"


@each_of("python -m quart_app", "celery worker")
def test_jobs_that_cannot_be_imported_are_named_in_one_line(
    command: list[str], installed: Path, tmp_path: Path
) -> None:
    module = installed / "their_jobs.py"
    module.write_text("import a_package_that_is_missing\n")
    said = fails(command, tmp_path, PYTHONPATH=str(installed))
    reason = "ModuleNotFoundError: No module named 'a_package_that_is_missing'"
    assert said == f"error: entry point theirs = their_jobs cannot be imported: {reason} ({module}, line 1)\n"


CHANNELS = {
    "not async": (
        """
        class Broken(Channel):
            @ws_handler
            def say(self, message): ...
        """,
        "Broken.say must be 'async def'",
    ),
    "one action, two models": (
        """
        class SystemNotification(Event):
            action: Literal["system_notification"] = "system_notification"

        @channel("/ws/second", name="second")
        class Second(Channel):
            passthrough_events = (SystemNotification,)

        CHANNELS = (SystemChannel, Second)
        """,
        "events of action 'system_notification' are bus.messages.events.SystemNotification to one channel and "
        "quart_app.channels.SystemNotification to quart_app.channels.Second: use one class, or another action",
    ),
}


def channels_of(source: str, directory: Path) -> dict[str, str]:
    """Variables with which a program finds this source as `quart_app.channels`."""
    channels = directory / "their_channels.py"
    channels.write_text(
        "from typing import Literal\n"
        "from bus.messages import Event\n"
        "from quart_app.channel import Channel, channel, ws_handler\n"
        "from quart_app.channels.system import SystemChannel\n" + dedent(source)
    )
    (directory / "sitecustomize.py").write_text(
        "import sys\n"
        "from importlib.util import spec_from_file_location\n"
        "class Channels:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'quart_app.channels':\n"
        "            inside = [p + '/channels' for p in path]\n"
        f"            return spec_from_file_location(name, {str(channels)!r}, submodule_search_locations=inside)\n"
        "sys.meta_path.insert(0, Channels())\n"
    )
    return {"PYTHONPATH": str(directory)}


@each_of("python -m quart_app", "python -m quart_app, several", "hypercorn", "uvicorn", "asyncapi")
@pytest.mark.parametrize(("source", "reason"), CHANNELS.values(), ids=CHANNELS)
def test_a_channel_that_cannot_work_is_named_in_one_line(
    command: list[str], source: str, reason: str, tmp_path: Path
) -> None:
    assert fails(command, tmp_path, **channels_of(source, tmp_path)) == f"error: {reason}\n"


@each_of("python -m quart_app", "python -m quart_app, several", "hypercorn")
def test_a_page_that_could_speak_to_two_channels_is_named_in_one_line(command: list[str], tmp_path: Path) -> None:
    source = """
        @channel("/ws/second", name="second")
        class Second(SystemChannel): ...

        @channel("/ws/third", name="third")
        class Third(SystemChannel): ...

        CHANNELS = (Second, Third)
        """
    said = fails(command, tmp_path, **channels_of(source, tmp_path))
    assert said.startswith("error: the page at /system/ can use one SystemChannel only: serve one of ")


def test_plain_hypercorn_ends_with_the_reason_when_it_cannot_start(tmp_path: Path) -> None:
    hypercorn = [BIN / "hypercorn", "--workers", "0", *ANYWHERE, "quart_app:app"]
    failed = ended(hypercorn, os.environ | PLAIN | {"BUS_CONNECT_TIMEOUT": "0.1"}, cwd=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith(f"error: no NATS server answered at {NO_NATS}")


def test_an_import_reads_no_settings_and_makes_no_app() -> None:
    program = (
        "import quart_app, workers, cli.application as cli, sys; cli.application()\n"
        "assert 'workers.celery' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"BUS_FRAME_RATE": "x"}, check=True, timeout=DEADLINE
    )


def test_a_command_imports_what_it_needs_and_nothing_for_others() -> None:
    program = """if True:
        import sys
        from typer.main import get_command
        from cli.commands import command
        from cli.application import application
        assert "doctor" in get_command(application()).make_context("busctl", []).get_help()
        command("serve"), command("worker")
        assert not {"bus", "nats", "rich"} & sys.modules.keys()
        for name in ("notify", "submit", "jobs", "cancel", "watch"):
            command(name)
        assert not {"celery", "redis", "quart", "cli.dev"} & sys.modules.keys()
    """
    subprocess.run([sys.executable, "-c", program], check=True, timeout=DEADLINE)


async def test_a_system_works_on_the_largest_values_that_are_accepted(tmp_path: Path) -> None:
    other = {"stream_max_bytes", "stream_replicas", "job_delay_scale"}  # need a disk, servers or time of that size
    largest = {
        Settings.variable(field): str(bound.le)
        for field, info in Settings.model_fields.items()
        for bound in info.metadata
        if field not in other and getattr(bound, "le", None) is not None
    }
    assert len(largest) > 20
    short = {"BUS_PING_INTERVAL": "1", "BUS_DRAIN_DELAY": "0", "BUS_DRAIN_TIMEOUT": "1"}
    with running(tmp_path, **(largest | short)) as system:
        worker, web = system.worker("-c", "1"), system.web()
        async with client(web.ws_url) as browser:
            await browser.submit("no such type", "hello")
            assert (await browser.receive_until("job_result"))[-1]["payload"].endswith("HELLO")
        assert (web.stop(), worker.stop()) == (0, 0)
        assert "Traceback" not in web.output() + worker.output()


class WorkerElsewhere(Worker):
    """`busctl worker`, typed in a folder that has packages with the names of ours."""

    def command(self) -> list[str]:
        return ["/bin/sh", "-c", 'cd "$0" && exec "$@"', str(self.directory), str(BIN / "busctl"), *self.arguments]


def test_a_worker_starts_where_other_packages_have_our_names_and_shows_no_secret(
    system: System, tmp_path: Path
) -> None:
    for name in ("workers", "bus", "celery", "redis"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise AssertionError('imported from the current folder')\n")
    nats_url = system.nats.url.replace("//", f"//someone:{SECRET}@")
    env = {**system.env, "NATS_URL": nats_url, "BUS_FRAMERATE": "1"}
    worker = WorkerElsewhere(tmp_path, env, "worker", "--pool", "threads", "-c", "1", "--hostname", "elsewhere@%h")
    worker.start()
    try:
        elsewhere = f"elsewhere@{socket.gethostname()}"
        asked = [BIN / "celery", "--workdir", "/", "-A", "workers", "inspect", "ping", "-d", elsewhere, "-t", "30"]
        answer = subprocess.run(asked, cwd=tmp_path, env=os.environ | env, capture_output=True, timeout=60, check=True)
        assert b"elsewhere@" in answer.stdout
        assert "BUS_FRAMERATE (is BUS_FRAME_RATE meant?)" in worker.output()
        assert SECRET.encode() not in Path(f"/proc/{worker.pid}/cmdline").read_bytes()
    finally:
        assert worker.stop() == 0
    assert SECRET not in worker.output()


def test_an_option_that_celery_does_not_have_is_wrong_usage() -> None:
    refused = ended([BIN / "python", "-m", "workers", "--no-such-option"], os.environ | PLAIN)
    assert refused.returncode == 2
    assert "--no-such-option" in refused.stderr
    assert "Traceback" not in refused.stderr
