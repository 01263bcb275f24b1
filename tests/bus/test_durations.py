"""Durations as people write them."""

from __future__ import annotations

import pytest

from bus import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("2h", 7200),
        ("1d", 86_400),
        ("1h30m", 5400),
        ("1d2h3m4s", 93_784),
        ("0s", 0),
        ("0.25s", 0.25),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert durations.read(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "90", "s", "-5m", "1m1h", "1h1h", "1.5h", "10 m", "5M", "1e3s", "٣m", "1ms", "5m\n"]
)
def test_what_is_no_duration_is_said_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration, such as 90s, 15m, 2h, 1d or 1h30m"):
        durations.read(text)
