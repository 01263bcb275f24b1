"""busctl serve: web processes for production."""

from __future__ import annotations

import os
import signal
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from testbed.ports import free_port
from testbed.servers import BIN
from testbed.system import System, running
from tests.cli.background import background
from tests.cli.command import DEADLINE, PLAIN, busctl, ended


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """NATS and Valkey alone: nothing here runs a job."""
    with running(tmp_path_factory.mktemp("system")) as system:
        yield system


def serve(*arguments: str, **env: str) -> CompletedProcess[str]:
    """What `busctl serve` becomes when it has looked at its options."""
    return ended([BIN / "python", "-m", "quart_app", *arguments], os.environ | PLAIN | env)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_busy_address_is_named_in_one_line(system: System, workers: str) -> None:
    web = system.web("busctl", "serve", "--workers", workers)
    for others in ("1", "2"):
        address = f"127.0.0.1:{web.port}"
        refused = serve("--bind", address, "--workers", others, **system.env, BUS_SECRET="s" * 64)
        assert refused.returncode == 1
        assert refused.stderr == (
            f"error: cannot listen on {address}: Address already in use; choose another address with --bind\n"
        )


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_certificate_that_cannot_be_used_is_named_in_one_line(workers: str, tmp_path: Path) -> None:
    certfile, keyfile = tmp_path / "cert.pem", tmp_path / "key.pem"
    certfile.write_text("no certificate")
    options = ["--bind", f"127.0.0.1:{free_port()}", "--workers", workers]
    options += ["--certfile", str(certfile), "--keyfile", str(keyfile)]
    for wrong in (f"cannot read --keyfile {keyfile}: No such file", f"cannot serve TLS with --certfile {certfile}"):
        refused = serve(*options)
        assert refused.returncode == 1
        assert wrong in refused.stderr
        assert refused.stderr.count("\n") == 1
        keyfile.write_text("no key")


@pytest.mark.parametrize("arguments", [("--certfile", "cert.pem"), ("--keyfile", "key.pem"), ("--workers", "0")])
def test_options_that_do_not_fit_are_a_usage_error(arguments: tuple[str, ...]) -> None:
    assert busctl("serve", *arguments).returncode == 2


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("8000", "must be host:port"),
        ("::1:8000", "must be host:port"),
        ("localhost:65536", "must be host:port"),
        ("unix:", "is missing"),
        ("unix:/" + "a" * 107, "this one has 108"),
    ],
)
def test_what_is_no_address_is_a_usage_error_that_says_why(address: str, why: str) -> None:
    refused = busctl("serve", "--bind", address)
    assert refused.returncode == 2
    assert why in refused.stderr.splitlines()[0]


def test_its_options_reach_the_process_that_serves(tmp_path: Path) -> None:
    options = ["--bind", "127.0.0.1:0", "--workers", "2", "--certfile", "cert.pem", "--keyfile", "key.pem"]
    refused = busctl("serve", *options)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: cannot read --certfile cert.pem: No such file")


def test_a_read_timeout_that_pings_cannot_beat_is_refused() -> None:
    refused = serve(BUS_READ_TIMEOUT="20")
    assert refused.returncode == 1
    assert "BUS_READ_TIMEOUT" in refused.stderr
    assert "BUS_PING_INTERVAL" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_several_processes_that_cannot_start_say_why_once_and_end() -> None:
    failed = serve("--bind", f"127.0.0.1:{free_port()}", "--workers", "2", BUS_CONNECT_TIMEOUT="1")
    assert failed.returncode == 1
    assert failed.stderr.count("error: no NATS server answered") + failed.stderr.count("error: cannot") == 1
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_while_it_starts_ends_it_with_0(system: System, workers: str, number: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(DEADLINE)
        nats_url = f"nats://127.0.0.1:{silent.getsockname()[1]}"
        env = system.env | {"NATS_URL": nats_url, "BUS_CONNECT_TIMEOUT": "3600"}
        with background("serve", "--bind", f"127.0.0.1:{free_port()}", "--workers", workers, **env) as starting:
            peer, _ = silent.accept()
            with peer:
                starting.process.send_signal(number)
                assert starting.end() == 0


def test_sigterm_ends_it_with_0(system: System) -> None:
    assert system.web("busctl", "serve").stop() == 0


def test_plain_hypercorn_serves_the_app_too(system: System) -> None:
    web = system.web("hypercorn", "quart_app:app")
    with urllib.request.urlopen(f"{web.url}/readyz", timeout=15) as answer:  # noqa: S310
        assert answer.status == 200
    assert web.stop() == 0
