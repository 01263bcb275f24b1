"""SyncBus: from threads, after forks, and again after a close."""

import asyncio
import multiprocessing
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bus import Bus, BusUnavailable, Settings, SyncBus, SystemNotification, subjects


def notify(bus: SyncBus, text: str) -> int:
    return bus.broadcast_event(SystemNotification(payload=text), groups=["sync"])[0]


def test_threads_share_one_connection(settings: Settings) -> None:
    with SyncBus(settings) as bus, ThreadPoolExecutor(8) as pool:
        seqs = list(pool.map(lambda n: notify(bus, str(n)), range(40)))
    assert len(set(seqs)) == 40


def test_send_event_reaches_one_client(settings: Settings) -> None:
    with SyncBus(settings) as bus:
        seq = bus.send_event(SystemNotification(payload="x"), "sync-client")
        stored = bus.call(lambda bus: bus.stream.last(subjects.client_event("sync-client")))
    assert stored is not None
    assert stored.seq == seq


def test_it_can_be_used_again_after_a_close_and_leaves_no_thread(settings: Settings) -> None:
    bus = SyncBus(settings)
    first = notify(bus, "a")
    bus.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "bus"]
    assert notify(bus, "b") > first
    bus.close()


class Endless:
    """A verb that waits for what does not come."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.ended = threading.Event()

    async def __call__(self, bus: Bus) -> None:
        try:
            self.began.set()
            await asyncio.Event().wait()
        finally:
            self.ended.set()


def test_a_close_ends_what_other_threads_wait_for(settings: Settings) -> None:
    bus, verb = SyncBus(settings), Endless()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(bus.call, verb, timeout=60)
        assert verb.began.wait(20)
        bus.close()
        with pytest.raises(BusUnavailable, match="closed before it answered"):
            waiting.result(20)
    assert verb.ended.is_set()


def test_what_is_raised_in_a_thread_that_waits_ends_what_it_waits_for(settings: Settings) -> None:
    class OutOfTime(Exception):
        """As Celery's soft time limit is."""

    def out_of_time(*_: object) -> None:
        raise OutOfTime

    def interrupt() -> None:
        if verb.began.wait(20):
            signal.pthread_kill(main, signal.SIGUSR1)

    verb, main = Endless(), threading.get_ident()
    before = signal.signal(signal.SIGUSR1, out_of_time)
    interrupting = threading.Thread(target=interrupt)
    try:
        with SyncBus(settings) as bus:
            interrupting.start()
            with pytest.raises(OutOfTime):
                bus.call(verb, timeout=60)
            assert verb.ended.wait(20)
    finally:
        interrupting.join(20)
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_makes_its_own_connection(settings: Settings) -> None:
    def child(bus: SyncBus, answers: "multiprocessing.Queue[tuple[int, int]]") -> None:
        answers.put((os.getpid(), notify(bus, "child")))
        bus.close()

    context = multiprocessing.get_context("fork")
    with SyncBus(settings) as bus:
        before = notify(bus, "parent")
        answers: multiprocessing.Queue[tuple[int, int]] = context.Queue()
        children = [context.Process(target=child, args=(bus, answers)) for _ in range(3)]
        for process in children:
            process.start()
        stored = [answers.get(timeout=20) for _ in children]
        for process in children:
            process.join(20)
        assert [process.exitcode for process in children] == [0, 0, 0]
        assert notify(bus, "parent again") > max(seq for _, seq in stored) > before
        assert len({pid for pid, _ in stored}) == 3


def test_nobody_there_is_said_within_the_deadline() -> None:
    bus = SyncBus(Settings.load(nats_url="nats://127.0.0.1:9", connect_timeout=0.3))
    with bus, pytest.raises(BusUnavailable, match="NATS_URL"):
        notify(bus, "x")
