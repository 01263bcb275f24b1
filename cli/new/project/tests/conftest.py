"""The bus that the tests use runs what bus.env names."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["busctl.testing"]


@pytest.fixture(scope="session")
def bus_settings() -> dict[str, str]:
    """What `make` sets."""
    lines = (Path(__file__).parents[1] / "bus.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
