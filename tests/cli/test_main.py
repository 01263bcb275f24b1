"""busctl alone, its help, its version, and how it refuses what it cannot use."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest
from rich.text import Text

from cli.commands import COMMANDS
from tests.cli.command import busctl, started_busctl


def test_alone_it_shows_its_help() -> None:
    alone, asked = busctl(), busctl("--help")
    assert alone.returncode == asked.returncode == 0
    assert alone.stdout == asked.stdout
    for command in COMMANDS:
        assert f" {command} " in alone.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    shown = busctl(command, "-h")
    assert shown.returncode == 0
    assert f"busctl {command}" in shown.stdout.partition("Example:\n")[2]


def test_version() -> None:
    shown = started_busctl("--version")
    assert (shown.returncode, shown.stdout) == (0, f"busctl {version('busctl')}\n")


def test_the_second_name_is_the_same_command() -> None:
    assert started_busctl("--version", program="qbusctl").stdout == busctl("--version").stdout


def test_it_runs_as_a_module() -> None:
    shown = subprocess.run([sys.executable, "-m", "cli", "--version"], capture_output=True, text=True, timeout=60)
    assert shown.stdout == busctl("--version").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["--no-such-option"],
        ["notify"],
        ["notify", ""],
        ["notify", " \n"],
        ["notify", "hi", "--repeat", "0"],
        ["notify", "hi", "--repeat", "many"],
        ["notify", "hi", "--interval", "-1"],
        ["notify", "hi", "--interval", "nan"],
        ["notify", "hi", "--interval", "inf"],
        ["notify", "hi", "--timeout", "0"],
        ["notify", "hi", "there"],
        ["serve", "--bind", "8000"],
        ["serve", "--bind", "127.0.0.1:70000"],
        ["serve", "--bind", "127.0.0.1:"],
        ["dev", "--port", "0"],
        ["dev", "--port", "65536"],
        ["dev", "--concurrency", "0"],
        ["dev", "--data-dir", ""],
        [b"notify", b"caf\xe9"],
    ],
)
def test_wrong_usage_exits_with_2_and_says_why_on_standard_error(arguments: list[str | bytes]) -> None:
    refused = busctl(*arguments)
    assert refused.returncode == 2, refused
    assert not refused.stdout
    assert refused.stderr
    assert "Traceback" not in refused.stderr


def test_in_a_terminal_an_error_is_broken_between_words_and_never_within_a_command() -> None:
    refused = busctl("jobs", "--limit", "many", COLUMNS="60", FORCE_COLOR="1", TERM="xterm")
    lines = [Text.from_ansi(line).plain for line in refused.stderr.splitlines()]
    assert lines == ["error: invalid value for '--limit': it should be a whole", "number; see 'busctl jobs --help'"]


def test_a_misspelt_command_is_answered_with_the_one_that_is_meant() -> None:
    assert busctl("stauts").stderr == ("error: no such command 'stauts'. Did you mean 'status'? See 'busctl --help'\n")


def test_an_option_without_its_value_is_a_matter_of_its_command() -> None:
    assert busctl("jobs", "--limit").stderr == (
        "error: option '--limit' requires an argument; see 'busctl jobs --help'\n"
    )


def test_two_servers_on_one_port_are_wrong_usage() -> None:
    refused = busctl("dev", "--port", "4222", NATS_URL="", REDIS_URL="")
    assert refused.returncode == 2
    assert "--port and --nats-port are both 4222" in refused.stderr


@pytest.mark.parametrize("command", [["notify", "hi"], ["serve"], ["dev"], ["worker"]])
def test_a_setting_that_cannot_be_used_is_named(command: list[str]) -> None:
    refused = busctl(*command, BUS_MAX_FRAME_BYTES="lots")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ")
    assert "BUS_MAX_FRAME_BYTES" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_serve_without_nats_says_so_in_one_line() -> None:
    refused = busctl("serve", "--bind", "127.0.0.1:0", BUS_CONNECT_TIMEOUT="0.5")
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "NATS_URL" in refused.stderr


def test_a_server_address_that_is_none_is_said_in_one_line() -> None:
    refused = busctl("notify", "hi", "--server", "::::")
    assert refused.returncode == 1
    assert "NATS_URL" in refused.stderr
    assert "Traceback" not in refused.stderr
