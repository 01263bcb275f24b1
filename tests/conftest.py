"""Fixtures: real servers for a whole test module, or for one test that breaks them; and which tests need servers."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from types import FunctionType, ModuleType

import hypothesis
import pytest

from bus import Settings
from testbed.servers import LEAKS, RUNNING, Nats, OurServer, Server, Web
from testbed.system import System, running
from tests.cli.background import background
from tests.cli.command import busctl, ended, from_nothing, started_busctl
from tests.cli.terminal import in_shell, in_terminal
from tests.in_process import serving

# Tests do not time things: an example that took long tells of the machine.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")

# Our processes are started hundreds of times: where Python is told to keep no bytecode, each would compile everything.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
OurServer.forked = True

# Whoever runs the tests in the background of a shell has them ignore Ctrl+C, and so would all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

STARTERS: tuple[object, ...] = (
    *(Server, System, running, serving),
    *(busctl, started_busctl, ended, from_nothing, background, in_shell, in_terminal),
)
"""What starts processes or serves, which takes its time."""


LAST_WORDS = 25
"""Lines of a server's log that are shown when a test fails."""
LONGEST_FIRST = (
    *("tests/workers/test_lost_workers.py", "tests/e2e/test_dev.py", "tests/test_document_blocks.py", "tests/chaos"),
    *("tests/cli/test_new.py", "tests/e2e/test_browser", "tests/e2e", "tests/conformance", "tests/workers"),
    *("tests/cli", "tests/quart_app", ""),
)
"""Beginnings of paths. Where several run at once, what takes longest begins first, or one core would be idle at the
end; else what needs no server does."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that need servers: with a fixture of this file, or in a module that can start a process."""
    fixtures = {"nats", "settings", "servers", "system", "web", "fresh"}
    functions = [item for item in items if isinstance(item, pytest.Function)]
    starting = {module for module in {item.module for item in functions} if _starts(module, set())}
    for item in functions:
        if item.module in starting or fixtures & set(item.fixturenames):
            item.add_marker("servers")
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: next(at for at, path in enumerate(LONGEST_FIRST) if item.nodeid.startswith(path)))
    else:
        items.sort(key=lambda item: item.get_closest_marker("servers") is not None)


def _starts(module: ModuleType, seen: set[str]) -> bool:
    """Whether a module can start a process, by itself or with what it has of another one that can."""
    seen.add(module.__name__)
    # By type(), since isinstance asks what a proxy stands for, such as quart.request outside of a request.
    things = [value for value in vars(module).values() if issubclass(type(value), (type, FunctionType))]
    if any(one in STARTERS or (isinstance(one, type) and issubclass(one, (Server, System))) for one in things):
        return True
    others = {one.__module__ for one in things} - seen
    return any(_starts(sys.modules[name], seen) for name in others if name.startswith("tests."))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what each server said last when a test fails: elsewhere nobody could look into their logs."""
    report = yield
    if report.failed:
        for server in RUNNING:
            lines = server.output().splitlines()[-LAST_WORDS:]
            report.sections.append((f"{server.name}, process {server.pid}", "\n".join(lines)))
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None]:
    """Say last, once for each, what this machine lacks and how many tests it was missed by."""
    yield
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.getreports("skipped"))
    for reason, count in reasons.items():
        terminalreporter.write_line(f"not tested, {count} of the tests: {reason}", yellow=True)
    if shutil.which("npm") is None:
        terminalreporter.write_line("not tested, `make asyncapi`: no npm on PATH; install Node.js", yellow=True)


@pytest.fixture(scope="session", autouse=True)
def no_log_tells_what_was_planted() -> Iterator[None]:
    """The logs of every server that the tests started have none of `testbed.planted`."""
    yield
    assert LEAKS == []


@pytest.fixture(scope="module", autouse=True)
def no_bus_outlives_its_module() -> Iterator[None]:
    """One left open connects for ever, and draws from `random` while other tests count on its state."""
    yield
    assert "bus" not in {thread.name for thread in threading.enumerate()}


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
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """NATS and Valkey for the tests of one module. Where no job runs, they are all of its system."""
    with running(tmp_path_factory.mktemp("system")) as system:
        yield system


@pytest.fixture(scope="module")
def system(servers: System) -> System:
    """A whole system for the tests of one module: NATS, Valkey, a worker with two children."""
    servers.worker()
    return servers


@pytest.fixture(scope="module")
def web(system: System) -> Web:
    """A web process of the module's system."""
    return system.web()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[System]:
    """NATS and Valkey for one test alone, which may stop and kill them."""
    with running(tmp_path) as system:
        yield system
