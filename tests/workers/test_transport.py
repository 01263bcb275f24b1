"""The transport: Redis may go away in the middle of a job, and the worker stays."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from testbed.servers import wait_until
from testbed.system import System
from tests.workers.test_reconcile import Bench


@pytest.fixture
def bench(fresh: System) -> Iterator[Bench]:
    with closing(Bench(fresh)) as bench:
        yield bench


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_outlives_a_redis_that_goes_away_with_tasks_in_hand(bench: Bench, pool: str) -> None:
    worker = bench.system.worker(
        "--concurrency", "2", "--pool", pool, BUS_JOB_DELAY_SCALE="3", BUS_RECONCILE_INTERVAL="1"
    )
    jobs = [bench.submit() for _ in range(4)]
    wait_until(lambda: sum(bench.read(job).started for job in jobs) == 2, "two started jobs")
    bench.system.valkey.stop()
    wait_until(lambda: "onnection to broker lost" in worker.output(), "loss of Redis")
    bench.system.valkey.start()
    bench.all_ended(*jobs)
    assert {bench.read(job).state for job in jobs} == {"job_result"}
    assert worker.process is not None
    assert worker.process.poll() is None


def test_a_channel_whose_connection_is_closed_says_so_in_redis_words(bench: Bench) -> None:
    """What Celery does with a lost connection: it closes it, and then the channel restores its tasks over it."""
    with bench.celery.connection_for_write() as connection:
        channel = connection.default_channel
        client, channel.connection.client = channel.connection.client, None  # as kombu leaves it
        with pytest.raises(RedisConnectionError, match="was closed"):
            channel._connparams()
        channel.connection.client = client
