"""Celery's connection to Redis: what is published over it while Redis is away."""

from bus import Settings
from testbed.ports import free_port
from workers.config import create_celery
from workers.connection import MOST_UNSENT


def test_a_worker_that_tells_that_it_lives_neither_waits_for_redis_nor_keeps_all_it_said() -> None:
    with create_celery(Settings.load(redis_url=f"redis://127.0.0.1:{free_port()}")) as app:
        dispatcher = app.events.Dispatcher(app.connection_for_write(), hostname="worker@here")
        for _ in range(MOST_UNSENT + 50):
            dispatcher.send("worker-heartbeat", retry=True)
        assert len(dispatcher._outbound_buffer) == MOST_UNSENT
