"""A stored event, as NATS tells of it."""

import pytest

from bus import Stored


@pytest.mark.parametrize(
    ("timestamp", "at"),
    [
        ("2026-01-02T03:04:05.678901234Z", "2026-01-02T03:04:05.678901Z"),
        ("2026-01-02T03:04:05.6Z", "2026-01-02T03:04:05.600000Z"),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000Z"),
        ("", None),
    ],
)
def test_times_are_told_in_texts_of_one_length(timestamp: str, at: str | None) -> None:
    assert Stored(1, "bus.group.system", b"", timestamp=timestamp).at == at
