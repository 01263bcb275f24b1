"""A system's state as lines for people, that fit on one screen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TypeAlias

from bus import subjects
from cli.amounts import count, size, span
from cli.output import Part
from workers.state.nats_state import NatsState, StreamState
from workers.state.processes import Process, Processes
from workers.state.redis_state import RedisState
from workers.state.system import SystemState

Line: TypeAlias = list[Part]

MOST_PROCESSES = 8
"""Workers, and web processes, that have a line of their own."""
NEARLY_FULL = 0.9
GOOD, UNSURE, BAD = ("✓", "green"), ("!", "yellow"), ("✗", "bold red")
WIDTH = 9
"""Columns of what stands before a line."""
INDENT = WIDTH + 2
"""Where its text begins, below the sign."""


def summary(system: SystemState) -> Iterator[Line]:
    """One line for each part, without those below it."""
    return (line for line in lines(system) if not line[0][0].startswith(" "))


def lines(system: SystemState) -> Iterator[Line]:
    """One line after the other."""
    yield _nats(system.nats)
    if system.nats.error is None:
        yield from _stream(system.nats.stream, clustered=bool(system.nats.info.get("cluster")))
    yield from _redis(system.redis)
    if system.nats.error is None:
        yield from _workers(system.workers)
        yield from _web(system.web)
        yield _jobs(system.open_jobs)


def _line(name: str, mark: Part, text: str, style: str = "") -> Line:
    return [(f"{name:{WIDTH}}", "bold"), mark, (f" {text}", style)]


def _under(text: str, style: str = "dim") -> Line:
    return [(f"{'':{WIDTH}}  {text}", style)]


def _nats(nats: NatsState) -> Line:
    if nats.error is not None:
        return _line("NATS", BAD, nats.error)
    facts = [f"{nats.version} at {nats.url}"]
    if nats.info.get("cluster"):
        facts.append(f"server {nats.info.get('server_name')} of cluster {nats.info['cluster']}")
    if nats.seconds is not None:
        facts.append(f"{1000 * nats.seconds:.1f} ms")
    return _line("NATS", GOOD, ", ".join(facts))


def _stream(stream: StreamState, *, clustered: bool) -> Iterator[Line]:
    if stream.error is not None:
        yield _line(subjects.STREAM, BAD, stream.error)
        return
    room = "" if stream.max_bytes is None else f" of {size(stream.max_bytes)} ({stream.share:.0%})"
    facts = [count(stream.events, "event"), f"{size(stream.used)}{room}"]
    if stream.oldest is not None:
        facts.append(f"the oldest {span((datetime.now(UTC) - stream.oldest).total_seconds())} old")
    facts.append(f"kept {span(stream.max_age)}" if stream.max_age else "kept for ever")
    full = stream.share is not None and stream.share > NEARLY_FULL
    yield _line(subjects.STREAM, UNSURE if full or stream.lagging else GOOD, ", ".join(facts))
    if stream.leader and (stream.replicas > 1 or clustered):
        behind = f", not up to date: {', '.join(stream.lagging)}" if stream.lagging else ""
        yield _under(f"{count(stream.replicas, 'replica')}, leader {stream.leader}{behind}")


def _redis(redis: RedisState) -> Iterator[Line]:
    if redis.error is not None:
        yield _line("Redis", BAD, f"{redis.url}: {redis.error}")
        return
    facts = [f"{redis.kind} {redis.version}".strip() + f" at {redis.url}"]
    if redis.role:
        facts.append(redis.role)
    if redis.policy:
        room = "" if redis.max_bytes is None else f" of {size(redis.max_bytes)}"
        facts += [redis.policy, f"{size(redis.used)}{room}"]
    if redis.refuses is not None:
        yield _line("Redis", BAD, f"takes no tasks: {redis.refuses}")
        yield _under(", ".join(facts))
        return
    evicts = redis.policy not in ("", "noeviction")
    yield _line("Redis", UNSURE if evicts else GOOD, ", ".join(facts))
    queues = ", ".join(f"{name} {length:,}" for name, length in redis.queues.items())
    yield _under(f"tasks that wait: {queues or 'unknown'}; taken: {redis.taken:,}")


def _workers(workers: Processes) -> Iterator[Line]:
    if not workers.found:
        yield _line("workers", BAD, workers.error or "none answers")
        return
    room = sum(worker.concurrency for worker in workers.found)
    running = sum(len(worker.running) for worker in workers.found)
    summary = f"{count(len(workers.found), 'worker')} for {count(room, 'job')} at a time, {running:,} running"
    yield _line("workers", GOOD, summary)
    for worker in workers.found[:MOST_PROCESSES]:
        took = f"{len(worker.running)}/{worker.concurrency} running"
        yield _under(f"{worker.name}  {took}  queues {' '.join(worker.queues)}{_up(worker)}")
    yield from _more(len(workers.found))


def _web(web: Processes) -> Iterator[Line]:
    if not web.found:
        yield _line("web", BAD, web.error or "no web process answers")
        return
    connections = sum(process.connections for process in web.found)
    text = f"{count(len(web.found), 'process')}, {count(connections, 'connection')}"
    yield _line("web", GOOD, text)
    for process in web.found[:MOST_PROCESSES]:
        yield _under(f"{process.name}  {count(process.connections, 'connection')}{_up(process)}")
    yield from _more(len(web.found))


def _up(process: Process) -> str:
    return "" if process.up is None else f"  up {span(process.up)}"


def _more(number: int) -> Iterator[Line]:
    if number > MOST_PROCESSES:
        yield _under(f"and {number - MOST_PROCESSES} more; --json has them all")


def _jobs(states: dict[str, int] | None) -> Line:
    if states is None:
        return _line("jobs", UNSURE, "not counted: no worker tells how many are open")
    return _line("jobs", GOOD, ", ".join(f"{number:,} {state}" for state, number in states.items()))
