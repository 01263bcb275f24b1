"""What signals do to a process that executes a job."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from workers import interrupt
from workers.interrupt import SIGNAL, Interrupted, Signals


@pytest.fixture
def seen() -> Iterator[list[int]]:
    """Signals that reach whoever handled them before, here a handler that leaves by an exception, as Celery's do."""
    numbers: list[int] = []

    def leave(number: int, frame: object) -> None:
        numbers.append(number)
        raise SystemExit(number)

    before = {number: signal.signal(number, leave) for number in (SIGNAL, signal.SIGTERM, signal.SIGQUIT)}
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


def wait_for_ever(inside: threading.Event) -> None:
    inside.set()
    threading.Event().wait(60)


def test_a_function_in_the_main_thread_is_left_at_once() -> None:
    with Signals() as signals:
        inside = threading.Event()
        thread = threading.Thread(target=lambda: (inside.wait(20), signals.interrupt()))
        thread.start()
        with pytest.raises(Interrupted), signals.function():
            wait_for_ever(inside)
        thread.join(20)


def test_an_interrupt_that_did_not_arrive_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    send, sent = signal.pthread_kill, list[int]()

    def lose_the_first(thread: int, number: int) -> None:
        sent.append(number)
        if len(sent) > 1:
            send(thread, number)

    monkeypatch.setattr(signal, "pthread_kill", lose_the_first)
    with Signals() as signals:
        inside = threading.Event()
        thread = threading.Thread(target=lambda: (inside.wait(20), signals.interrupt()))
        thread.start()
        with pytest.raises(Interrupted), signals.function():
            wait_for_ever(inside)
        thread.join(20)
    assert sent == [SIGNAL, SIGNAL]


def test_a_jobs_own_except_does_not_catch_it() -> None:
    def stubborn() -> None:
        try:
            os.kill(os.getpid(), SIGNAL)
            threading.Event().wait(60)
        except Exception:
            pytest.fail("Interrupted was caught as an Exception")

    with Signals() as signals, pytest.raises(Interrupted), signals.function():
        stubborn()


def test_the_interrupt_means_nothing_outside_of_the_function(seen: list[int]) -> None:
    with Signals() as signals:
        signal.raise_signal(SIGNAL)
        with signals.function():
            pass
        signals.interrupt()
        signal.raise_signal(SIGNAL)
    assert seen == []
    with pytest.raises(SystemExit):
        signal.raise_signal(SIGNAL)
    assert seen == [SIGNAL]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_any_other_signal_leaves_the_function_as_before(seen: list[int], number: int) -> None:
    with Signals() as signals, pytest.raises(SystemExit), signals.function():
        signal.raise_signal(number)
    assert seen == [number]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_after_the_function_signals_wait_for_the_end_of_the_block(seen: list[int], number: int) -> None:
    def store() -> None:
        with Signals() as signals:
            with signals.function():
                signal.signal(number, signal.SIG_DFL)  # as a library may do that the function calls
            signal.raise_signal(number)
            seen.append(0)

    with pytest.raises(SystemExit):
        store()
    assert seen == [0, number]


def test_a_signal_that_waited_is_delivered_when_the_job_is_tried_again(seen: list[int]) -> None:
    with Signals() as signals:
        with signals.function():
            pass
        signal.raise_signal(signal.SIGTERM)
        assert seen == []
        with pytest.raises(SystemExit):
            signals.release()
    assert seen == [signal.SIGTERM]


def test_a_signal_does_not_wait_for_ever(seen: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    with Signals() as signals:
        with signals.function():
            pass
        signal.raise_signal(signal.SIGTERM)
        signals.release_if_overdue()
        monkeypatch.setattr(interrupt, "PENDING_LONGEST", 0.0)
        with pytest.raises(SystemExit):
            signals.release_if_overdue()


def test_interrupts_at_any_moment_are_raised_inside_or_not_at_all() -> None:
    for pause in range(300):
        with Signals() as signals:
            thread = threading.Thread(target=signals.interrupt)
            with suppress(Interrupted), signals.function():
                thread.start()
                time.sleep(pause / 1_000_000)
            thread.join(20)


def test_in_another_thread_the_function_goes_on() -> None:
    results: list[str] = []

    def work() -> None:
        with Signals() as signals, signals.function():
            signals.interrupt()
            results.append("went on")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)
    assert results == ["went on"]
