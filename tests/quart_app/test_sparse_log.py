"""A line that others can provoke comes at most once a second, and says how often it was left out."""

from __future__ import annotations

import time

import pytest
from structlog.testing import capture_logs

from quart_app.sparse_log import INTERVAL, SparseLog


def test_one_line_a_second_with_how_many_more_there_were(monkeypatch: pytest.MonkeyPatch) -> None:
    log, now = SparseLog("closing"), time.monotonic()
    with capture_logs() as logged, monkeypatch.context() as patch:
        for second in (0, INTERVAL, 10 * INTERVAL):
            patch.setattr(time, "monotonic", lambda second=second: now + second)
            for number in range(1000):
                log.warn(client=number)
    assert logged == [
        {"event": "closing", "log_level": "warning", "client": 0},
        {"event": "closing", "log_level": "warning", "client": 0, "more": 999},
        {"event": "closing", "log_level": "warning", "client": 0, "more": 999},
    ]
