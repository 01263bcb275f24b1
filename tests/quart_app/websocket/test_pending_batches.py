"""Pending batches: what comes live while a client is told what it missed, within bounds."""

from __future__ import annotations

from bus import SystemNotification
from quart_app.delivery.batch import Batch, Encoded
from quart_app.websocket.pending_batches import PendingBatches

ONE = len(SystemNotification(payload="news").encode())
"""Bytes of an event."""


def batch(*seqs: int, scope: str = "system") -> Batch:
    made = Batch(scope)
    for seq in seqs:
        made.add(Encoded.of(seq, SystemNotification(payload="news")))
    return made


def test_batches_come_out_in_order_and_once() -> None:
    pending, batches = PendingBatches(10 * ONE), [batch(3), batch(4, 5), batch(2, scope="client")]
    assert all(pending.add(one) for one in batches)
    assert pending.take() == batches
    assert pending.take() == []


def test_what_the_replay_brings_is_not_kept() -> None:
    pending = PendingBatches(10 * ONE)
    replayed, partly, other = batch(3), batch(4, 6), batch(3, scope="client")
    for one in (replayed, partly, other):
        pending.add(one)
    pending.drop_replayed({"system": 5, "client": 2})
    pending.add(batch(5))
    assert pending.take() == [partly, other]


def test_progress_that_would_be_old_by_then_is_not_kept() -> None:
    pending = PendingBatches(10 * ONE)
    assert pending.add(batch(0))
    assert pending.take() == []


def test_bytes_count_and_not_characters() -> None:
    made = Batch("system")
    made.add(Encoded.of(1, SystemNotification(payload="é" * ONE)))
    assert not PendingBatches(2 * ONE).add(made)
    assert PendingBatches(3 * ONE).add(made)


def test_past_the_bound_all_are_let_go() -> None:
    pending = PendingBatches(2 * ONE)
    assert pending.add(batch(1, 2))
    assert not pending.add(batch(3))
    assert pending.overflowed
    assert pending.take() == []


def test_what_the_replay_brings_makes_room() -> None:
    pending, later = PendingBatches(2 * ONE), batch(3, 4)
    pending.add(batch(1, 2))
    pending.drop_replayed({"system": 2})
    assert pending.add(later)
    assert pending.take() == [later]
