"""Users of Redis as deploy/redis/users.acl has them: what each may, and that web and worker need no more."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from bus import Settings
from testbed.redis_users import USERS, UsersValkey
from testbed.servers import BIN, Worker, wait_until
from testbed.system import System
from tests import own_jobs
from tests.cli.command import ended
from tests.workers.bench import Bench, signal_children
from workers import task_message

MAY = {
    "LPUSH busctl:jobs x": "web worker",
    "LPUSH busctl:others x": "worker",
    "LPUSH others x": "",
    "BRPOP busctl:jobs 1": "worker",
    "LRANGE busctl:jobs 0 1": "worker",
    "DEL busctl:jobs": "worker",
    "HGETALL busctl:unacked": "",
    "HDEL busctl:unacked x": "worker",
    "GET busctl:busctl.system": "web worker",
    "SET busctl:busctl.system x": "web worker",
    "PUBLISH busctl:/0.celery.pidbox x": "worker operator",
    "PSUBSCRIBE busctl:/0.celery.pidbox": "worker",
    "PSUBSCRIBE *": "",
    "BRPOP busctl:x.reply.celery.pidbox 1": "operator",
    "KEYS *": "",
    "SCAN 0": "",
    "FLUSHALL": "",
    "FLUSHDB": "",
    "CONFIG GET *": "",
    "CLIENT LIST": "",
    "ACL LIST": "",
    "MONITOR": "",
    "INFO": "",
    "EVAL x 0": "",
    "SHUTDOWN": "",
}
"""By command, the users who may send it."""


class UsersSystem(System):
    """A system in which each process logs in to Valkey as what it is."""

    def __init__(self, directory: Path, **settings: str) -> None:
        super().__init__(directory, BUS_REDIS_PREFIX="busctl", BUS_VISIBILITY_TIMEOUT="5", **settings)
        self.valkey: UsersValkey = UsersValkey(directory)

    def worker(self, *arguments: str, meets: bool = False, **settings: str) -> Worker:
        return super().worker(*arguments, meets=meets, REDIS_URL=self.valkey.url_of("worker"), **settings)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UsersSystem]:
    directory = tmp_path_factory.mktemp("users")
    system = UsersSystem(directory, PYTHONPATH=own_jobs.install(directory))
    try:
        system.start()
        yield system
    finally:
        system.stop()


@pytest.mark.parametrize("user", USERS)
def test_a_user_may_do_what_the_table_says_and_nothing_else(system: UsersSystem, user: str) -> None:
    with system.valkey.client() as admin:
        may = {command for command in MAY if admin.acl_dryrun(user, *command.split()) in (b"OK", "OK")}
    assert may == {command for command, users in MAY.items() if user in users.split()} | (
        {"BRPOP busctl:x.reply.celery.pidbox 1"} if user == "worker" else set()
    )


def test_nobody_comes_in_without_a_password(system: UsersSystem) -> None:
    with (
        redis.Redis(port=system.valkey.port) as client,
        pytest.raises(redis.RedisError, match="authenticated"),
    ):
        client.ping()


def test_jobs_run_and_are_given_out_again_and_nothing_is_refused(system: UsersSystem, tmp_path: Path) -> None:
    settings = Settings.load(nats_url=system.nats.url, redis_url=system.valkey.url_of("web"), redis_prefix="busctl")
    release = tmp_path / "release"
    worker = system.worker("--concurrency", "1", "-n", "one@here", meets=True)
    with closing(Bench(system, settings)) as bench, system.valkey.client() as admin:
        held = bench.store("holds", str(release))
        task_message.send(bench.celery, [held])
        bench.started(held)
        admin.rpush("busctl:jobs", "garbage")
        signal_children(worker, signal.SIGKILL)
        bench.second_attempt(held, 30)
        release.touch()
        assert bench.end(held) == "held"
        wait_until(lambda: bool(admin.llen("busctl:busctl.malformed")), "malformed message that is set aside")
        operator = os.environ | system.env | {"REDIS_URL": system.valkey.url_of("operator")}
        ping = [BIN / "celery", "-A", "workers", "inspect", "ping", "--destination", "one@here", "--timeout", "5"]
        assert ended(ping, operator).returncode == 0
        worker.stop()
        refused = [entry for entry in admin.acl_log() if entry["username"] in ("web", "worker")]
        assert refused == []
