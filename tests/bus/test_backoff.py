"""Pauses grow, but not past the longest, and begin anew after a success."""

from bus.backoff import Backoff


def test_each_pause_is_twice_the_one_before_up_to_the_longest() -> None:
    backoff = Backoff(0.5, 3.0)
    assert [backoff.pause() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_after_a_success_pauses_begin_anew() -> None:
    backoff = Backoff(1.0)
    assert [backoff.pause(), backoff.pause()] == [1.0, 2.0]
    backoff.reset()
    assert backoff.pause() == 1.0
