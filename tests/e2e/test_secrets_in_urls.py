"""No part of a password is printed, whoever reads a URL that has it, and however it was written."""

import os

import pytest

from testbed.servers import BIN
from tests.cli.command import PLAIN, busctl, ended

RAW = ("nats://u:hunter2@pw/hunter2@127.0.0.1:1", "u:hunter2/hunter2@127.0.0.1:1", "nats://a:1,u:hunter2#hunter2@h")
ENCODED = ("nats://u:hunter2%40@127.0.0.1:1", "hunter2@127.0.0.1:1", "nats://127.0.0.1:1,nats://u:hunter2@127.0.0.1:2")


NOTIFY = (BIN / "busctl", "notify", "hi", "--timeout", "0.3")
QUART_APP = (BIN / "python", "-m", "quart_app", "--bind", "127.0.0.1:0")
SERVE = (BIN / "busctl", "serve", "--bind", "127.0.0.1:0")
WORKER = (BIN / "celery", "-A", "workers", "inspect", "ping", "-t", "0.1")


@pytest.mark.parametrize(
    ("command", "url"),
    [
        *((NOTIFY, url) for url in RAW + ENCODED),
        (SERVE, RAW[0]),
        (WORKER, RAW[0]),
        *((QUART_APP, url) for url in RAW[:1] + ENCODED[-1:]),
    ],
)
def test_no_part_of_a_password_is_printed(command: tuple[str, ...], url: str) -> None:
    away = {"NATS_URL": url, "REDIS_URL": "redis://127.0.0.1:1/0", "BUS_CONNECT_TIMEOUT": "0.3"}
    done = ended(command, os.environ | PLAIN | away)
    printed = done.stdout + done.stderr
    assert done.returncode != 0
    assert printed
    assert "hunter2" not in printed


BESIDE = (
    {"NATS_URL": "nats://127.0.0.1:1", "NATS_USER": "u", "NATS_PASSWORD": "hunter2"},
    {"NATS_URL": "nats://u:hunter2@127.0.0.1:1", "NATS_USER": "u", "NATS_PASSWORD": "hunter2"},
    {
        "NATS_USER": "u",
        "NATS_PASSWORD": "hunter2",
        "NATS_NKEY": "hunter2",
        "NATS_CREDS": "hunter2",
        "NATS_KEY": "hunter2",
    },
)


@pytest.mark.parametrize("command", [NOTIFY, QUART_APP])
@pytest.mark.parametrize("env", BESIDE)
def test_no_secret_beside_a_url_is_printed(command: tuple[str, ...], env: dict[str, str]) -> None:
    failed = ended(command, os.environ | PLAIN | {"BUS_CONNECT_TIMEOUT": "0.3"} | env)
    assert failed.returncode == 1
    [line] = failed.stderr.splitlines()
    assert line.startswith("error: ")
    assert "hunter2" not in line


@pytest.mark.parametrize("url", RAW)
def test_what_is_not_encoded_is_said_in_one_line(url: str) -> None:
    failed = busctl("jobs", NATS_URL=url)
    assert failed.returncode == 1
    [line] = failed.stderr.splitlines()
    assert "NATS_URL" in line
    assert "percent-encode" in line
