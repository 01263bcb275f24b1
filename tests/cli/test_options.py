"""The options that commands share."""

from __future__ import annotations

from testbed.servers import Nats
from tests.cli.command import busctl


def with_secret(nats: Nats) -> tuple[str, ...]:
    return ("--server", nats.url.replace("//", "//someone:hunter2@"))


def test_a_password_on_the_command_line_is_warned_about_once(nats: Nats) -> None:
    warned = busctl("notify", "hi", "--json", *with_secret(nats))
    assert warned.returncode == 0
    assert warned.stderr.count("warning: ") == warned.stderr.count("\n") == 1
    assert "NATS_URL_FILE" in warned.stderr
    assert "hunter2" not in warned.stderr
    assert warned.stdout.startswith('{"event": "stored"')


def test_quiet_is_quiet_wherever_it_stands(nats: Nats) -> None:
    for arguments in (("-q", *with_secret(nats)), (*with_secret(nats), "-q")):
        assert not busctl("notify", "hi", *arguments).stderr
    assert not busctl("notify", "hi", NATS_URL=with_secret(nats)[1]).stderr
