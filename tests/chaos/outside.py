"""What goes wrong from outside: operators, other programs and Celery's own controls; each fault one function."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import nats.errors
from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from bus import subjects
from tests.chaos.schedule import Scene, fault
from tests.chaos.world import children
from workers.config import QUEUE, create_celery

BEYOND_ANY_STREAM = ("4611686018427387904", "9" * 5000, "-1", "٣", "9223372036854775807")
"""Sequences that no event has."""


@fault("nats", 3)
async def nats_login_revoked(scene: Scene) -> None:
    """The system's password is another one for some seconds."""
    await _configured(scene, scene.rng.uniform(0.5, 6), password="another")


@fault("nats", 1)
async def nats_full_of_connections(scene: Scene) -> None:
    """Hardly anybody may be connected for some seconds."""
    await _configured(scene, scene.rng.uniform(0.5, 4), max_connections="2")


@fault("nats", 1)
async def nats_takes_small_payloads_only(scene: Scene) -> None:
    """Large results do not fit for some seconds."""
    await _configured(scene, scene.rng.uniform(1, 5), max_payload="2KB")


@fault("nats")
async def somebody_listens_to_everything(scene: Scene) -> None:
    """A terminal with `nats sub '>'` stays open."""
    async with scene.any_program() as program:
        with suppress(nats.errors.Error):
            await program.subscribe(">")
            await asyncio.sleep(scene.rng.uniform(5, 20))


@fault("nats", 3)
async def live_poisoned(scene: Scene) -> None:
    """Another program publishes as if NATS had republished it, with a sequence that no event has."""
    places = [subjects.live(subjects.group("system"))]
    places += [subjects.live(subjects.job(client_id, job_id)) for client_id, job_id, _ in scene.jobs(3)]
    async with scene.any_program() as program:
        for place in places:
            headers = {"Nats-Sequence": scene.rng.choice(BEYOND_ANY_STREAM), "Nats-Last-Sequence": "0"}
            payload = b'{"action":"system_notification","payload":"forged"}'
            with suppress(nats.errors.Error):
                await program.publish(place, payload, headers=headers)


@fault("valkey", 3)
async def redis_made_a_replica(scene: Scene) -> None:
    """As at a failover: Redis takes no writes for some seconds."""
    await _in_redis_for_a_while(
        scene, lambda redis: redis.replicaof("127.0.0.1", "1"), lambda redis: redis.replicaof("NO", "ONE")
    )


@fault("valkey")
async def redis_full(scene: Scene) -> None:
    """No memory for anything new."""
    await _in_redis_for_a_while(
        scene, lambda redis: redis.config_set("maxmemory", 1), lambda redis: redis.config_set("maxmemory", 0)
    )


@fault("valkey", 1)
async def redis_without_replicas(scene: Scene) -> None:
    """Redis wants a replica before it takes a write."""
    await _in_redis_for_a_while(
        scene,
        lambda redis: redis.config_set("min-replicas-to-write", 1),
        lambda redis: redis.config_set("min-replicas-to-write", 0),
    )


@fault("valkey", 1)
async def redis_connections_killed(scene: Scene) -> None:
    """CLIENT KILL for everybody."""
    await scene.in_redis(lambda redis: redis.execute_command("CLIENT", "KILL", "TYPE", "normal"))


@fault("valkey")
async def malformed_messages(scene: Scene) -> None:
    """What is not a task lies in the queue."""
    garbage = [b"", b"null", b"\xff\xfe", b"[]", b'{"body": "no base64", "headers": {}, "properties": {}}']
    await scene.in_redis(lambda redis: redis.lpush(QUEUE, scene.rng.choice(garbage)))


@fault("valkey", 3)
async def task_revoked(scene: Scene) -> None:
    """`celery control revoke`, for waiting jobs, running ones and ended ones."""
    jobs = [job_id for _, job_id, _ in scene.jobs(2)]
    await _controlled(scene, lambda celery: celery.control.revoke(jobs))


@fault("valkey", 2)
async def task_terminated(scene: Scene) -> None:
    """`celery control terminate SIGKILL`."""
    jobs = [job_id for _, job_id, _ in scene.jobs(2)]
    await _controlled(scene, lambda celery: celery.control.terminate(jobs, signal="SIGKILL"))


@fault("worker", 3)
async def soft_time_limit_signalled(scene: Scene) -> None:
    """What Celery's soft time limit sends to a child, at any moment."""
    for pid in children(scene.server.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGUSR1)


async def _configured(scene: Scene, seconds: float, **changed: str) -> None:
    """NATS has another configuration for a while."""
    scene.world.configure_nats(**changed)
    try:
        await asyncio.sleep(seconds)
    finally:
        scene.world.configure_nats()


async def _in_redis_for_a_while(scene: Scene, begin: Callable[[Redis], object], end: Callable[[Redis], object]) -> None:
    await scene.in_redis(begin)
    await asyncio.sleep(scene.rng.uniform(0.5, 6))
    await scene.in_redis(end)


async def _controlled(scene: Scene, command: Callable[[Celery], Any]) -> None:
    def send() -> None:
        with (
            create_celery(scene.world.settings, socket_timeout=2.0) as celery,
            suppress(OperationalError, RedisError, OSError),
        ):
            command(celery)

    await asyncio.to_thread(send)
