"""Pauses grow, but not past the longest, and begin anew after a success."""

from bus.backoff import Backoff


def test_each_pause_is_twice_the_one_before_up_to_the_longest() -> None:
    backoff = Backoff(0.5, 3.0)
    assert [backoff.pause() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_pauses_do_not_grow_past_what_can_be_waited_for() -> None:
    assert Backoff(0.5, 3.0).pause_after(100_000) == 3.0


def test_with_jitter_pauses_differ_within_their_bounds() -> None:
    pauses = [Backoff(1.0, jitter=0.25).pause_after(3) for _ in range(200)]
    assert all(3 <= pause <= 5 for pause in pauses)
    assert len(set(pauses)) > 100


def test_after_a_success_pauses_begin_anew() -> None:
    backoff = Backoff(1.0)
    assert [backoff.pause(), backoff.pause()] == [1.0, 2.0]
    backoff.reset()
    assert backoff.pause() == 1.0
