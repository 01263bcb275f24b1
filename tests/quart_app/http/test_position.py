"""The id of an event, read back."""

from __future__ import annotations

import pytest

from bus.messages import MOST_SCOPES
from quart_app.http.position import Position


@pytest.mark.parametrize(
    "position",
    [
        Position({"client": 0}),
        Position({f"{scope:064}": 2**63 - 1 for scope in range(MOST_SCOPES)}, "2026-01-01T00:00:00.000000001Z"),
        Position({"client": 42, "system": 2**63 - 1, "room-1_A": 7}, "2026-01-01T00:00:00.000000001Z"),
    ],
)
def test_it_is_read_as_it_was_written(position: Position) -> None:
    assert Position.parse(str(position)) == position


@pytest.mark.parametrize(
    "text",
    [
        ",".join(["client:1"] * (MOST_SCOPES + 1)),
        "",
        "client",
        "client:",
        "client:-1",
        "client:1,",
        "client:1@",
        "client:9999999999999999999",
        "a b:1",
        "42",
    ],
)
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="a"):
        Position.parse(text)
