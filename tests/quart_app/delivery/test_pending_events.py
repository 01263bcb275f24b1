"""Pending events: kept in the order in which they were heard, within bounds."""

from __future__ import annotations

import pytest

from bus import Stored
from quart_app.delivery import pending_events
from quart_app.delivery.pending_events import PendingEvents


def event(seq: int, previous: int = 0, data: bytes = b"x") -> Stored:
    return Stored(seq, "bus.group.system", data, previous=previous)


def pending(*events: Stored) -> PendingEvents:
    kept = PendingEvents()
    for one in events:
        kept.add(one)
    return kept


def test_they_are_taken_in_order_and_once() -> None:
    kept = pending(event(3), event(2), event(4))
    assert [stored.seq for stored in kept.take()] == [3, 2, 4]
    assert kept.take() == []


@pytest.mark.parametrize(("limit", "value"), [("MOST_EVENTS", 2), ("MOST_BYTES", 6)])
def test_past_the_bound_nothing_is_kept_and_that_is_known(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(pending_events, limit, value)
    kept = pending(*(event(seq, data=b"four") for seq in (1, 2)))
    assert not kept.overflowed
    kept.add(event(3))
    assert kept.overflowed
    assert [stored.seq for stored in kept.take()] == [1, 2]


def test_an_event_is_early_when_the_one_before_it_never_came() -> None:
    kept = pending(event(4, previous=3), event(6, previous=4), event(9, previous=8))
    assert [stored.seq for stored in kept.early(3)] == [9]
    assert [stored.seq for stored in kept.early(2)] == [4, 6, 9]
    assert kept.early(8) == []


def test_what_is_discarded_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_events, "MOST_EVENTS", 2)
    forged, real = event(3, data=b"forged"), event(3)
    kept = pending(forged, real)
    kept.discard([forged])
    kept.add(event(4))
    assert not kept.overflowed
    assert [stored.data for stored in kept.take()] == [b"x", b"x"]
