"""busctl top: live, in a terminal, sorted as the keys say."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

import cli.top
from bus import Settings
from cli.errors import Interrupted
from testbed.system import System, running
from tests import own_jobs
from tests.cli.background import background
from tests.cli.command import DEADLINE, busctl
from tests.cli.terminal import in_terminal, shell
from tests.clients import client


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    directory = tmp_path_factory.mktemp("system")
    with running(directory, PYTHONPATH=own_jobs.install(directory)) as system:
        system.worker()
        yield system


async def test_jobs_that_run_are_shown_and_keys_sort_and_quit(system: System, tmp_path: Path) -> None:
    web = await asyncio.to_thread(system.web)
    async with client(web.ws_url) as one:
        await one.submit("holds", str(tmp_path / "end"))
        await one.receive_until("job_queued")
        shown = await asyncio.to_thread(
            in_terminal,
            "top",
            "--interval",
            "0.5",
            columns=120,
            typed=(("holds", "c"), ("sorted by client", "Y"), ("sorted by type", "q")),
            **system.env,
        )
        (tmp_path / "end").touch()
        await one.receive_until("job_result")
    assert shown.returncode == 0
    assert "1 job running, sorted by time" in shown.raw
    assert shown.raw.rstrip().endswith("\x1b[?25h\x1b[?1049l")  # the cursor is there again, and what was before


def test_ctrl_c_ends_it_and_a_terminal_too_small_is_no_trouble(system: System) -> None:
    shown = in_terminal("top", columns=20, until="NATS", **system.env)
    assert shown.returncode == 130
    assert "Traceback" not in shown.raw


def test_without_nats_it_shows_so_and_waits_for_it() -> None:
    shown = in_terminal(
        "top",
        columns=120,
        typed=(("NATS     ", "q"),),
        NATS_URL="nats://127.0.0.1:1",
        REDIS_URL="redis://127.0.0.1:1/0",
    )
    assert shown.returncode == 0
    assert "127.0.0.1:1" in shown.raw


AWAY = {"NATS_URL": "nats://127.0.0.1:1", "REDIS_URL": "redis://127.0.0.1:1/0"}
SCREEN, NO_SCREEN = "\x1b[?1049h", "\x1b[?1049l"


def test_after_ctrl_z_the_shell_has_its_screen_and_keys_are_heard_again() -> None:
    with shell(**AWAY) as typed:
        typed.type("busctl top\n")
        typed.until("sorted by time")
        typed.type("\x1a")
        typed.until(NO_SCREEN)
        typed.until("Stopped")
        typed.type("fg\n")
        typed.until(SCREEN)
        typed.until("sorted by time")
        typed.type("c")
        typed.until("sorted by client")
        typed.type("q")
        typed.until(NO_SCREEN)
        typed.type("echo ended with $?\n")
        typed.until("ended with 0")


def test_in_the_background_it_goes_on_and_can_be_ended() -> None:
    with shell(**AWAY) as typed:
        typed.type("busctl top &\n")
        typed.until("sorted by time")
        typed.type("kill %1; wait %1; echo ended with $?\n")
        typed.until("ended with 0")


def test_for_programs_it_prints_one_object_after_the_other(system: System) -> None:
    with background("top", "--json", "--interval", "0.5", **system.env) as command:
        states = [json.loads(command.line()) for _ in range(2)]
    assert [state["nats"]["error"] for state in states] == [None, None]


def test_ctrl_c_ends_it_though_what_it_asks_swallows_that(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.load(nats_url=AWAY["NATS_URL"], connect_timeout=0.1)
    looks = iter((True, False))

    async def look(*_: object) -> SimpleNamespace:
        assert next(looks), "it looks once more"
        os.kill(os.getpid(), signal.SIGINT)
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(DEADLINE)
        return SimpleNamespace(record=dict)

    monkeypatch.setattr(cli.top, "client_settings", lambda *_: settings)
    monkeypatch.setattr(cli.top, "_look", look)
    with pytest.raises(Interrupted):
        cli.top.top(interval=0.1, as_json=True)


def test_without_a_terminal_it_is_refused() -> None:
    refused = busctl("top")
    assert refused.returncode == 1
    assert "busctl status" in refused.stderr
