"""Leaving a job's function from outside it."""

import signal
import threading
import time
from contextlib import suppress

import pytest

from workers.interrupt import SIGNAL, Interrupted, interruptible


def test_a_block_in_the_main_thread_is_left_at_once() -> None:
    threads: list[threading.Thread] = []

    def wait_to_be_left() -> None:
        with interruptible() as interrupt:
            threads.append(threading.Thread(target=interrupt))
            threads[0].start()
            threading.Event().wait(60)

    with pytest.raises(Interrupted):
        wait_to_be_left()
    threads[0].join(20)


def test_a_jobs_own_except_does_not_catch_it() -> None:
    def stubborn(interrupt) -> None:  # type: ignore[no-untyped-def]
        try:
            interrupt()
            threading.Event().wait(60)
        except Exception:
            pytest.fail("Interrupted was caught as an Exception")

    with pytest.raises(Interrupted), interruptible() as interrupt:
        stubborn(interrupt)


def test_nothing_happens_after_the_block_and_the_handler_is_restored() -> None:
    seen: list[int] = []
    before = signal.signal(SIGNAL, lambda number, frame: seen.append(number))
    try:
        with interruptible() as interrupt:
            pass
        interrupt()
        signal.raise_signal(SIGNAL)
        assert seen == [SIGNAL]
    finally:
        signal.signal(SIGNAL, before)


def test_interrupts_at_any_moment_are_raised_inside_or_not_at_all() -> None:
    for pause in range(300):
        with suppress(Interrupted), interruptible() as interrupt:
            thread = threading.Thread(target=interrupt)
            thread.start()
            time.sleep(pause / 1_000_000)
        thread.join(20)


def test_in_another_thread_the_block_goes_on() -> None:
    results: list[str] = []

    def work() -> None:
        with interruptible() as interrupt:
            interrupt()
            results.append("went on")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)
    assert results == ["went on"]
