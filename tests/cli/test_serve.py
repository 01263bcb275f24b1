"""busctl serve: one web process."""

from __future__ import annotations

import urllib.request

from tests.cli.command import busctl
from tests.servers import System


def test_a_busy_address_is_named_in_one_line(system: System) -> None:
    web = system.web()
    refused = busctl("serve", "--bind", f"127.0.0.1:{web.port}", **system.env, BUS_SECRET="s" * 64)
    assert refused.returncode == 1
    assert f"cannot listen on 127.0.0.1:{web.port}" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_sigterm_ends_it_with_0(system: System) -> None:
    assert system.web().stop() == 0


def test_plain_hypercorn_serves_the_app_too(system: System) -> None:
    web = system.web("hypercorn", "quart_app:app")
    with urllib.request.urlopen(f"{web.url}/readyz", timeout=15) as answer:  # noqa: S310
        assert answer.status == 200
    assert web.stop() == 0
