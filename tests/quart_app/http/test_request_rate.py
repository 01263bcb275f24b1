"""How often one client may ask by HTTP: a burst, then a rate; who asks too often is not kept out for longer by that."""

from __future__ import annotations

import pytest

from bus import Settings
from quart_app import rate_by_key
from quart_app.errors import Refused
from quart_app.http.request_rate import RequestRate

BURST = 3


def served(rate: RequestRate, times: int) -> int:
    """How many of so many requests."""
    count = 0
    for _ in range(times):
        try:
            rate.take("ann")
        except Refused:
            continue
        count += 1
    return count


def test_requests_that_are_refused_take_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(rate_by_key.time, "monotonic", lambda: now)
    rate = RequestRate(Settings.load(frame_rate=1, frame_burst=BURST))
    assert served(rate, 400) == BURST
    now += 2
    assert served(rate, 400) == 2
    rate.take("bob")
