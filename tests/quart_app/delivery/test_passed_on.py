"""What was passed on is known by sequence and content, until it is forgotten."""

from __future__ import annotations

from bus import Stored
from quart_app.delivery.passed_on import PassedOn


def event(seq: int, data: bytes = b"real") -> Stored:
    return Stored(seq, "bus.group.system", data)


def noted(*seqs: int) -> PassedOn:
    passed = PassedOn()
    for seq in seqs:
        passed.add(event(seq))
    return passed


def test_only_the_very_event_was_passed_on() -> None:
    passed = noted(3, 5)
    assert [passed.has(event(seq)) for seq in (3, 4, 5, 6)] == [True, False, True, False]
    assert not passed.has(event(3, b"forged"))


def test_two_events_of_one_sequence_are_both_known() -> None:
    passed = noted(3)
    passed.add(event(3, b"forged"))
    assert passed.has(event(3))
    assert passed.has(event(3, b"forged"))


def test_the_oldest_are_those_that_were_noted_first() -> None:
    passed = noted(5, 3, 9)
    assert (passed.oldest(2), passed.last) == (5, 9)
    passed.forget(2)
    assert len(passed) == 1
    assert not passed.has(event(5))
    assert passed.has(event(9))


def test_what_the_stream_was_read_up_to_is_forgotten() -> None:
    passed = noted(3, 9, 5)
    passed.keep_after(5)
    assert (len(passed), passed.last, passed.has(event(9))) == (1, 9, True)
    passed.keep_after(9)
    assert (len(passed), passed.last) == (0, 0)
