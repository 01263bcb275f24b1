"""Test a project of your own: a pytest plugin with a running bus, and clients that speak frames to the app in the test.

    pytest_plugins = ["busctl.testing"]        # in conftest.py

    @pytest.fixture(scope="session")
    def bus_settings() -> dict[str, str]:      # replaces the one below
        return {"BUS_JOBS": "shop.jobs", "BUS_CHANNELS": "shop.channels"}

    async def test_tea(communicator: Communicators) -> None:
        async with communicator() as client:
            await client.submit("tea", {"cups": 2})
            assert (await client.collect())[-1]["payload"] == "2 cups of tea"

NATS, Valkey, a worker and a web process are real, on free ports of this machine, and are started once for all tests
that ask for them: that takes about four seconds. `run` tests a job without any of them. Needs the extra
`busctl[testing]`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from busctl.testing.announcements import Announcement, Announcements
from busctl.testing.communicator import Closed, Communicator, Communicators
from busctl.testing.running_bus import CannotStart, RunningBus
from workers.testing import Run, run

__all__ = [
    "Announcement",
    "Announcements",
    "CannotStart",
    "Closed",
    "Communicator",
    "Communicators",
    "Run",
    "RunningBus",
    "run",
]


@pytest.fixture(scope="session")
def bus_settings() -> dict[str, str]:
    """The settings of the bus under test, by variable, besides those of the environment; define your own."""
    return {}


@pytest.fixture(scope="session")
def bus(bus_settings: dict[str, str]) -> Iterator[RunningBus]:
    """A running bus: NATS, Valkey, a worker and a web process."""
    with RunningBus.started(bus_settings) as running:
        yield running


@pytest.fixture
def communicator(bus: RunningBus) -> Communicators:
    """Opens WebSockets to the app in this process; the jobs of `bus`'s worker answer."""
    return Communicators(bus.settings)


@pytest.fixture
def announcements(bus: RunningBus) -> Iterator[Announcements]:
    """What was announced since the test began, by whoever."""
    with Announcements.from_now_on(bus.settings) as announced:
        yield announced
