"""Whether NATS and Redis are there, what they are, and whether their clocks agree with ours."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bus.stream import OLDEST_SERVER
from cli.amounts import size
from cli.doctor.check import Check, bad, good, unsure
from workers.state.nats_state import NatsState
from workers.state.redis_state import RedisState
from workers.state.system import SystemState

NATS, REDIS, CLOCK = "NATS", "Redis", "clock"

MOST_SKEW = 2.0
"""Seconds by which two clocks may differ: jobs that are submitted for later, tokens and leases go by them."""
NEARLY_FULL = 0.9


def check_nats(nats: NatsState) -> Iterator[Check]:
    """The server that is connected."""
    if nats.error is not None:
        yield bad(NATS, nats.error.partition("; ")[0], _nats_remedy(nats.error))
        return
    needed = ".".join(map(str, OLDEST_SERVER))
    if _version(nats.version) < OLDEST_SERVER:
        yield bad(
            NATS,
            f"the server at {nats.url} is {nats.version}; {needed} or newer is needed",
            "upgrade nats-server: it reads the files of older versions",
        )
    elif not nats.info.get("jetstream"):
        yield bad(
            NATS,
            f"the server at {nats.url} runs without JetStream",
            "start it with -js, or with 'jetstream {}' in its configuration",
        )
    else:
        yield good(NATS, f"{nats.version} with JetStream at {nats.url}")


def _nats_remedy(error: str) -> str:
    if "refuses this process" in error:
        return "put a user and password that the server knows into NATS_URL (percent-encoded), or add the user there"
    return "start NATS, or set NATS_URL to where it is; 'nats-server -js' starts one on this machine"


def check_redis(redis: RedisState) -> Iterator[Check]:
    """Celery's transport."""
    where = f"{redis.kind} at {redis.url}"
    if redis.error is not None:
        yield bad(REDIS, f"Redis at {redis.url} does not answer: {redis.error}", _redis_remedy(redis.error))
        return
    if redis.refuses is not None:
        yield bad(REDIS, f"{where} takes no tasks: {redis.refuses}", _refusal_remedy(redis))
    elif redis.policy not in ("", "noeviction"):
        yield unsure(
            REDIS,
            f"{where} evicts keys when its memory is full ({redis.policy}), tasks that wait among them",
            "set 'maxmemory-policy noeviction' in its configuration: redis-cli config set maxmemory-policy noeviction",
        )
    elif redis.max_bytes is not None and redis.used > NEARLY_FULL * redis.max_bytes:
        yield unsure(
            REDIS,
            f"{where} uses {size(redis.used)} of {size(redis.max_bytes)}; when it is full it takes no tasks",
            "raise maxmemory, or see what else it holds: redis-cli --bigkeys",
        )
    else:
        version = f"{redis.kind} {redis.version}".strip()
        yield good(REDIS, f"{version} at {redis.url} takes tasks")


def _redis_remedy(error: str) -> str:
    if "password" in error.lower() or "auth" in error.lower():
        return "put its user and password into REDIS_URL, percent-encoded: redis://USER:PASSWORD@HOST:PORT/0"
    return "start Redis or Valkey, or set REDIS_URL to where it is; jobs stay queued in NATS meanwhile"


def _refusal_remedy(redis: RedisState) -> str:
    said = redis.refuses or ""
    if "READONLY" in said or redis.role == "slave" or "read only replica" in said:
        return "it is a replica: set REDIS_URL to the master, or make it one with 'redis-cli replicaof no one'"
    if "OOM" in said or "maxmemory" in said:
        return "its memory is full: raise maxmemory, or remove what else it holds: redis-cli --bigkeys"
    if "NOPERM" in said or "permission" in said.lower():
        return "let its user do more: ACL SETUSER <user> ~* &* +@all -@dangerous +info"
    return "see its log; MISCONF means that its disk is full or cannot be written"


def check_clocks(system: SystemState) -> Iterator[Check]:
    """Whether the clocks of NATS, Redis and every process agree with that of this machine."""
    ahead = {"NATS": system.nats.stream.ahead, "Redis": system.redis.ahead}
    for process in (*system.web.found, *system.workers.found):
        ahead[process.name] = process.ahead
    known = {name: skew for name, skew in ahead.items() if skew is not None}
    wrong = {name: skew for name, skew in known.items() if abs(skew) > MOST_SKEW}
    if not known:
        yield unsure(CLOCK, "nobody told what time it is", "mend what is wrong above, then look again")
    elif not wrong:
        yield good(CLOCK, f"{', '.join(known)} agree with this machine")
    elif len(wrong) == len(known) > 1 and max(wrong.values()) * min(wrong.values()) > 0:
        yield unsure(
            CLOCK,
            f"this machine's clock differs from all others by {_seconds(next(iter(wrong.values())))}",
            "let NTP set the clock of this machine: timedatectl set-ntp true",
        )
    else:
        told = [f"{name} is {_seconds(skew)} {'ahead of' if skew > 0 else 'behind'}" for name, skew in wrong.items()]
        text = f"{', '.join(told)} this machine"
        yield unsure(CLOCK, text, "let NTP set the clocks there: timedatectl set-ntp true")


def _seconds(skew: float) -> str:
    return f"{abs(skew):,.1f} s"


def _version(text: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)
