"""Fixtures of the edge's tests, few of which run a job."""

from __future__ import annotations

import pytest

from testbed.system import System


@pytest.fixture(scope="module")
def system(servers: System) -> System:
    """NATS and Valkey. A module that runs jobs has a fixture of this name with a worker."""
    return servers
