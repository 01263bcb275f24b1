"""Fixtures: real servers for a whole test module, or for one test that breaks them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bus import Settings
from tests.servers import LEAKS, Nats, System, Web, running


@pytest.fixture(scope="session", autouse=True)
def no_log_tells_what_was_planted() -> Iterator[None]:
    """The logs of every server that the tests started have none of `tests.planted`."""
    yield
    assert LEAKS == []


@pytest.fixture(scope="session")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:
    """One NATS server for all tests that only add to it."""
    server = Nats(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def settings(nats: Nats) -> Settings:
    """Settings on the shared NATS server."""
    return Settings.load(nats_url=nats.url)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A whole system for the tests of one module: NATS, Valkey, a worker with two children."""
    with running(tmp_path_factory.mktemp("system")) as system:
        system.worker()
        yield system


@pytest.fixture(scope="module")
def web(system: System) -> Web:
    """A web process of the module's system."""
    return system.web()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[System]:
    """NATS and Valkey for one test alone, which may stop and kill them."""
    with running(tmp_path) as system:
        yield system
