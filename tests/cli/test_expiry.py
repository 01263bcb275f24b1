"""What --expires takes: a duration after the announcement is sent, or a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cli.expiry import expiry, require_time_to_show

SENT = datetime(2026, 12, 1, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "later"),
    [
        ("90s", timedelta(seconds=90)),
        ("10m", timedelta(minutes=10)),
        ("1h30m", timedelta(hours=1.5)),
        ("2026-12-01T06:00:01Z", timedelta(seconds=1)),
        ("2026-12-01T08:00:00+01:00", timedelta(hours=1)),
    ],
)
def test_it_is_so_long_after_it_is_sent_or_at_a_time(text: str, later: timedelta) -> None:
    assert expiry(text, sent=SENT) == SENT + later
    require_time_to_show(text, sent=SENT)


@pytest.mark.parametrize("text", ["", "-10m", "10", "soon", "2026-12-01", "2026-12-01T06:00:00", "999999999d", "nan"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"neither a duration|too long"):
        expiry(text, sent=SENT)


@pytest.mark.parametrize("text", ["0s", "2026-12-01T06:00:00Z", "2026-12-01T06:59:59+01:00"])
def test_what_is_over_when_it_is_sent_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is over when"):
        require_time_to_show(text, sent=SENT)
