"""The page, and the addresses that it uses."""

from __future__ import annotations

from urllib.request import urlopen

from busctl.testing import RunningBus


def test_the_page_is_served_with_everything_below_bus(bus: RunningBus) -> None:
    for path in ("/", "/static/page.js", "/bus/static/client/index.js", "/bus/system/", "/bus/asyncapi.json"):
        with urlopen(bus.url + path, timeout=10) as answer:
            assert answer.status == 200, path
