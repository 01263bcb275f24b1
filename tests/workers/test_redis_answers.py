"""What Redis may answer besides a value: a worker outlives it, and the jobs end once Redis takes writes again."""

from __future__ import annotations

import inspect
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass

import pytest
import redis
from kombu.exceptions import OperationalError
from redis import exceptions

from bus import Settings
from testbed.network import Network
from testbed.servers import Web, Worker, wait_until
from testbed.system import running
from tests.http import get
from tests.workers.test_enqueue import a_job
from tests.workers.test_reconcile import QUICK, Bench
from workers.config import QUEUE
from workers.enqueue import Enqueuer
from workers.errors import BrokerUnavailable
from workers.transport import SentinelTransport, Transport

Act = Callable[[redis.Redis], object]


@dataclass(frozen=True)
class Fault:
    """What makes Redis answer that way, and what mends it."""

    begin: Act
    end: Act = lambda _: None
    writable: bool = False
    """Whether a write would be taken meanwhile."""


def kill_clients(admin: redis.Redis) -> None:
    for kind in ("normal", "pubsub"):
        admin.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")


def fail_to_save(admin: redis.Redis) -> None:
    admin.config_set("save", "3600 1")
    with suppress(redis.ResponseError):
        admin.bgsave()
    wait_until(lambda: admin.info("persistence")["rdb_last_bgsave_status"] == "err", "failed save")


def unblock(admin: redis.Redis) -> int:
    """How many were waiting: who is between two waits is in the list too, and has nothing to be told."""
    waiting = [client["id"] for client in admin.client_list() if client["cmd"] == "brpop"]
    return sum(admin.execute_command("CLIENT", "UNBLOCK", one, "ERROR") for one in waiting)


def unblock_one(admin: redis.Redis) -> None:
    wait_until(lambda: unblock(admin) > 0, "worker that waits")


def loop_for_ever(admin: redis.Redis) -> None:
    def script() -> None:
        with suppress(redis.RedisError), closing(redis.Redis(port=admin.get_connection_kwargs()["port"])) as another:
            another.eval("while true do end", 0)

    def busy() -> bool:
        try:
            return not admin.ping()
        except redis.ResponseError as error:
            return str(error).startswith("BUSY")

    threading.Thread(target=script, daemon=True).start()
    wait_until(busy, "script that runs too long")


def lock_out(admin: redis.Redis) -> None:
    admin.acl_setuser("default", enabled=True, reset_passwords=True, passwords=["+changed"])
    kill_clients(admin)


def let_in(admin: redis.Redis) -> None:
    admin.acl_setuser("default", enabled=True, nopass=True, keys=["*"], channels=["*"], categories=["+@all"])


def overcrowd(admin: redis.Redis) -> None:
    admin.config_set("maxclients", 1)
    kill_clients(admin)


FAULTS = {
    "READONLY": Fault(lambda admin: admin.replicaof("127.0.0.1", 1), lambda admin: admin.replicaof("NO", "ONE")),
    "OOM": Fault(lambda admin: admin.config_set("maxmemory", 1), lambda admin: admin.config_set("maxmemory", 0)),
    "MISCONF": Fault(fail_to_save, lambda admin: admin.config_set("save", "")),
    "NOREPLICAS": Fault(
        lambda admin: admin.config_set("min-replicas-to-write", 1),
        lambda admin: admin.config_set("min-replicas-to-write", 0),
    ),
    "BUSY": Fault(loop_for_ever, lambda admin: admin.script_kill()),
    "NOPERM": Fault(lambda admin: admin.acl_setuser("default", enabled=True, categories=["-@write"]), let_in),
    "NOAUTH": Fault(lock_out, let_in),
    "max clients": Fault(overcrowd, lambda admin: admin.config_set("maxclients", 1000)),
    "UNBLOCKED": Fault(unblock, writable=True),
    "CLIENT KILL": Fault(kill_clients, writable=True),
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("answers")
    (directory / "dump.rdb").mkdir()  # so that saving fails when it is asked for
    with running(directory, BUS_JOB_DELAY_SCALE="0.5") as system, closing(Bench(system)) as bench:
        with system.valkey.client() as admin:
            admin.config_set("busy-reply-threshold", 50)
            admin.acl_setuser("admin", enabled=True, nopass=True, keys=["*"], channels=["*"], categories=["+@all"])
        yield bench


@pytest.fixture(scope="module")
def worker(bench: Bench) -> Worker:
    return bench.system.worker("--concurrency", "1", **QUICK)


@pytest.fixture
def admin(bench: Bench) -> Iterator[redis.Redis]:
    with redis.Redis(port=bench.system.valkey.port, username="admin", password="x", socket_timeout=10) as admin:
        admin.ping()
        yield admin


@pytest.fixture(scope="module")
def web(bench: Bench) -> Web:
    return bench.system.web()


def ready(web: Web) -> bool:
    status, text = get(f"{web.url}/readyz")
    assert status == 200 or "broker: Redis " in text
    return status == 200


@pytest.mark.parametrize("answer", FAULTS)
def test_a_worker_outlives_what_redis_answers(
    bench: Bench, worker: Worker, web: Web, admin: redis.Redis, answer: str
) -> None:
    fault = FAULTS[answer]
    running_then, waiting_then = bench.submit(), bench.submit()
    wait_until(lambda: bench.read(running_then).started, "a running job")
    fault.begin(admin)
    stored_then = bench.store()
    wait_until(lambda: bench.read(running_then).ended, "the end of the running job")
    if not fault.writable:
        wait_until(lambda: not ready(web), "503 from /readyz")
    fault.end(admin)
    wait_until(lambda: ready(web), "200 from /readyz")
    jobs = (running_then, waiting_then, stored_then)
    bench.all_ended(*jobs)
    for job in jobs:
        assert bench.life(job).count("job_result") == 1
        assert bench.life(job).count("job_started") == 1
    assert worker.process is not None
    assert worker.process.poll() is None
    assert "Unrecoverable" not in worker.output()


OF_AN_IDLE_ONE = {name: FAULTS[name] for name in ("READONLY", "CLIENT KILL")} | {"UNBLOCKED": Fault(unblock_one)}


@pytest.mark.parametrize("answer", OF_AN_IDLE_ONE)
def test_so_does_an_idle_one(bench: Bench, worker: Worker, admin: redis.Redis, answer: str) -> None:
    fault = OF_AN_IDLE_ONE[answer]
    losses = worker.output().count("connecting again")
    wait_until(lambda: any(client["cmd"] == "brpop" for client in admin.client_list()), "a worker that waits")
    fault.begin(admin)
    job = bench.store()
    wait_until(lambda: worker.output().count("connecting again") > losses, "a worker that noticed")
    fault.end(admin)
    bench.all_ended(job)
    assert worker.process is not None
    assert worker.process.poll() is None


def test_so_does_one_that_gives_back_tasks_to_a_full_redis(bench: Bench, worker: Worker, admin: redis.Redis) -> None:
    job = bench.store()
    worker.pause()
    wait_until(lambda: not any("b" in client["flags"] for client in admin.client_list()), "no worker that waits")
    bench.enqueue(job)
    admin.hset("unacked", "a-tag", json.dumps([json.loads(admin.rpop(QUEUE)), "", QUEUE]))
    admin.zadd("unacked_index", {"a-tag": 0})
    admin.config_set("maxmemory", 1)
    losses = worker.output().count("again")
    worker.resume()
    wait_until(lambda: worker.output().count("again") > losses, "a worker that noticed")
    admin.config_set("maxmemory", 0)
    bench.all_ended(job)
    assert bench.life(job) == ["job_queued", "job_started", "job_result"]
    assert worker.process is not None
    assert worker.process.poll() is None


@pytest.mark.usefixtures("worker")
def test_one_that_is_told_to_stop_meanwhile_ends_in_order(bench: Bench, admin: redis.Redis) -> None:
    told = bench.system.worker("--concurrency", "1", "--hostname", "told@here", **QUICK)
    jobs = [bench.submit() for _ in range(3)]
    wait_until(lambda: sum(bench.read(job).started for job in jobs) == 2, "a job on each worker")
    FAULTS["READONLY"].begin(admin)
    try:
        assert told.stop() == 0
    finally:
        FAULTS["READONLY"].end(admin)
    assert "Traceback" not in told.output()
    bench.all_ended(*jobs)


def test_workers_that_redis_does_not_hear_connect_again_and_end_when_told(bench: Bench) -> None:
    with closing(Network()) as network:
        port = network.link("workers", "redis", listen="127.0.0.1", to=("127.0.0.1", bench.system.valkey.port))
        far, farther = (
            bench.system.worker("-c", "1", "-n", f"{name}@here", REDIS_URL=f"redis://127.0.0.1:{port}/0", **QUICK)
            for name in ("far", "farther")
        )
        network.cut("workers", "redis")
        for worker in (far, farther):
            wait_until(lambda worker=worker: worker.said("connecting again"), "a worker that noticed")
        assert far.stop() == 0
        assert "Traceback" not in far.output()
        network.mend()
        wait_until(lambda: bench.runs_in(farther), "a job of the worker that is back")
        assert farther.stop() == 0


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b":x\r\n", b"-MOVED\r\n", b"$-7\r\n", b"\xff\r\n", b""]
)
async def test_what_is_no_redis_is_not_available(answer: bytes) -> None:
    class Responder(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                self.request.settimeout(2)
                while answer and self.request.recv(65536):
                    self.request.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Responder) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        settings = Settings.load(redis_url=f"redis://127.0.0.1:{server.server_address[1]}", enqueue_timeout=0.5)
        async with Enqueuer(settings) as enqueuer:
            with pytest.raises(BrokerUnavailable, match="Redis"):
                await enqueuer.ping()
            enqueuer.put(a_job(1))
            with pytest.raises(BrokerUnavailable):
                await enqueuer.ping()
            assert not any(task.done() for task in enqueuer._tasks)
        server.shutdown()


def test_every_error_of_redis_is_one_that_passes_by_itself() -> None:
    errors = [
        error for _, error in inspect.getmembers(exceptions, inspect.isclass) if issubclass(error, redis.RedisError)
    ]
    assert len(errors) > 20
    errors += [OperationalError, ValueError]
    for transport in (Transport, SentinelTransport):
        assert [error for error in errors if not issubclass(error, transport.connection_errors)] == []
        assert transport.channel_errors == ()
