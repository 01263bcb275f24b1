"""What goes wrong in the system's own processes and data: each fault one function."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import nats.errors
from kombu.exceptions import OperationalError
from redis import Redis

from bus import subjects
from tests.chaos.schedule import Scene, fault
from tests.chaos.world import children, kill_quietly, processes_in, until
from workers.config import QUEUE, create_celery

ORPHANS_DEADLINE = 60.0
"""Seconds after which the children of a killed worker must be gone."""


@fault("worker", 6)
async def worker_child_killed(scene: Scene) -> None:
    """kill -9 for one prefork child."""
    if found := children(scene.server.pid):
        kill_quietly(scene.rng.choice(found))


@fault("worker")
async def worker_killed(scene: Scene) -> None:
    """kill -9 for a worker and all of its children."""
    await asyncio.to_thread(scene.server.kill)
    await asyncio.sleep(scene.rng.uniform(0, 4))
    await scene.world.start_again(scene.server)


@fault("worker")
async def worker_orphans_its_children(scene: Scene) -> None:
    """kill -9 for a worker's main process alone; its children must not outlive it for long."""
    process, group = scene.server.process, scene.server.pid
    assert process is not None
    kill_quietly(group)
    await asyncio.to_thread(process.wait, 10)
    await scene.world.start_again(scene.server)
    if not await until(lambda: not processes_in(group), ORPHANS_DEADLINE):
        scene.world.complain(f"children of a killed worker live on: {processes_in(group)}")
        for pid in processes_in(group):
            kill_quietly(pid)


@fault("worker")
async def worker_restarted(scene: Scene) -> None:
    """SIGTERM, as at a deploy."""
    await scene.world.stop(scene.server)
    await scene.world.start_again(scene.server)


@fault("web", 3)
async def web_killed(scene: Scene) -> None:
    """kill -9 for a web process."""
    await asyncio.to_thread(scene.server.kill)
    await asyncio.sleep(scene.rng.uniform(0, 3))
    await scene.world.start_again(scene.server)


@fault("web", 3)
async def web_restarted(scene: Scene) -> None:
    """SIGTERM, as at a deploy."""
    await scene.world.stop(scene.server)
    await scene.world.start_again(scene.server)


@fault("nats", 3)
async def nats_stopped(scene: Scene) -> None:
    """NATS away for up to ten seconds, in good order."""
    await scene.world.stop(scene.server)
    await asyncio.sleep(scene.rng.uniform(0, 10))
    await scene.world.start_again(scene.server)


@fault("nats", 3)
async def nats_killed(scene: Scene) -> None:
    """kill -9 for NATS. What it has acknowledged is in the page cache, which outlives the process."""
    await asyncio.to_thread(scene.server.kill)
    await asyncio.sleep(scene.rng.uniform(0, 3))
    await scene.world.start_again(scene.server)


@fault("valkey")
async def redis_stopped(scene: Scene) -> None:
    """Redis away for up to ten seconds, in good order."""
    await scene.world.stop(scene.server)
    await asyncio.sleep(scene.rng.uniform(0, 10))
    await scene.world.start_again(scene.server)


@fault("valkey", 1)
async def redis_killed(scene: Scene) -> None:
    """kill -9 for Redis, which fsyncs once a second."""
    await asyncio.to_thread(scene.server.kill)
    await asyncio.sleep(scene.rng.uniform(0, 3))
    await scene.world.start_again(scene.server)


@fault("valkey")
async def redis_wiped(scene: Scene) -> None:
    """Everything in Redis is gone."""
    await scene.in_redis(lambda redis: redis.flushall())


@fault("valkey")
async def task_lost_on_its_way(scene: Scene) -> None:
    """A task is gone between Redis and a worker: taken from the list, and never written to `unacked`."""
    await scene.in_redis(lambda redis: redis.rpop(QUEUE, 3))


@fault("valkey", 1)
async def taken_tasks_forgotten(scene: Scene) -> None:
    """Redis no longer knows which tasks were taken."""
    await scene.in_redis(lambda redis: redis.delete("unacked", "unacked_index"))


@fault("valkey")
async def message_copied(scene: Scene) -> None:
    """The same message is twice in the queue."""

    def copy(redis: Redis) -> None:
        for message in redis.lrange(QUEUE, 0, 4):
            redis.lpush(QUEUE, message)
        for _, taken in list(redis.hscan_iter("unacked"))[:2]:
            redis.lpush(QUEUE, _message_of(taken))

    await scene.in_redis(copy)


@fault("valkey", 3)
async def task_sent_twice(scene: Scene) -> None:
    """Jobs are enqueued once more: waiting ones, running ones, ended ones."""
    jobs = scene.jobs(6)
    headers = {"system": scene.history.epoch}  # a task that says nothing of it is left in Redis when its job is cut

    def send() -> None:
        with create_celery(scene.world.settings, socket_timeout=2.0) as celery, suppress(OperationalError, OSError):
            for client_id, job_id, job_type in jobs:
                celery.send_task(f"jobs.{job_type}", args=(client_id, job_id), task_id=job_id, headers=headers)

    await asyncio.to_thread(send)


@fault("nats")
async def garbage_published(scene: Scene) -> None:
    """Another program publishes what is not an event, to groups, to clients and to what NATS republishes."""
    texts = [
        b"",
        b"\xff\xfe no text",
        b"[]",
        b'{"action":"reboot","payload":"now"}',
        b'{"action":"system_notification","payload":null}',
        b'{"action":"job_result","payload":"not for a group"}',
        b'{"action":"job_started","attempt":NaN}',
    ]
    clients = [client.client_id for client in scene.clients if client.client_id]
    places = [subjects.group("system"), subjects.group("others"), "bus.nonsense", "live.group.system"]
    places += [subjects.job(client_id, "forged") for client_id in scene.rng.sample(clients, min(3, len(clients)))]
    places += [subjects.live(place) for place in places]
    async with scene.any_program() as program:
        for place in places:
            await program.publish(place, scene.rng.choice(texts))


@fault("nats")
async def garbage_published_on_jobs(scene: Scene) -> None:
    """Another program publishes what is not an event on the subjects of jobs, open or ended."""
    async with scene.any_program() as program:
        for client_id, job_id, _ in scene.jobs(3):
            await program.publish(subjects.job(client_id, job_id), b'{"action":"job_result","payload":')


@fault("nats")
async def events_published_twice(scene: Scene) -> None:
    """Events are published again as they were stored, with the same message id."""
    async with scene.any_program() as program:
        with suppress(nats.errors.Error, TimeoutError):
            jetstream = program.jetstream(timeout=2)
            for client_id, job_id, _ in scene.jobs(5):
                stored = await jetstream.get_last_msg(subjects.STREAM, subjects.job(client_id, job_id))
                message_id = (stored.headers or {}).get("Nats-Msg-Id", "")
                if message_id and stored.data is not None and stored.subject is not None:
                    await program.publish(stored.subject, stored.data, headers={"Nats-Msg-Id": message_id})


@fault("worker")
async def worker_frozen(scene: Scene) -> None:
    """SIGSTOP for five seconds: alive, but silent."""
    await _freeze(scene)


@fault("web", 1)
async def web_frozen(scene: Scene) -> None:
    """SIGSTOP for five seconds: alive, but silent."""
    await _freeze(scene)


@fault("nats", 2)
async def nats_frozen(scene: Scene) -> None:
    """SIGSTOP for five seconds: alive, but silent."""
    await _freeze(scene)


@fault("valkey", 1)
async def redis_frozen(scene: Scene) -> None:
    """SIGSTOP for five seconds: alive, but silent."""
    await _freeze(scene)


async def _freeze(scene: Scene) -> None:
    scene.server.pause()
    await asyncio.sleep(5)
    scene.server.resume()


def _message_of(taken: bytes) -> str:
    # kombu keeps [message, exchange, routing key] of what was taken
    return json.dumps(json.loads(taken)[0])
