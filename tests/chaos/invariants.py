"""What must hold whatever broke: asked of the stream, of the servers, and of what the clients saw."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Sequence

from bus import Bus, BusError, subjects
from bus.messages import JobResult
from quart_app.delivery.hub import NOBODY
from tests.chaos.actors import ChaosClient, Operator
from tests.chaos.history import History
from tests.chaos.world import World, resident_bytes, until

SETTLE_DEADLINE = 150.0
"""Seconds after the last fault within which there must be fewer open jobs than ever since, until there are none."""
SETTLE_LONGEST = 420.0
"""Seconds after which there must be none in any case: clients may have 720 open jobs by then, and two workers end about
five a second, on a machine that others use too fewer."""
TELL_EVERY = 15.0
"""Seconds between two lines that say what is being waited for."""
CATCH_UP_DEADLINE = 60.0
"""Seconds after that within which every client must have seen everything."""
DRAIN_DEADLINE = 90.0
"""Seconds after which Redis must be empty."""
MOST_RESIDENT = 300 * 1024 * 1024
"""Bytes of memory that a web process may have at the end."""

RESULTS = {
    "translate": "🌍 Translated: '{0}' → '[TRANSLATED: {0}]'",
    "analyze": "📊 Analysis of '{0}':\n",
    "default": "✅ Processed: {upper}",
    "nonsense": "✅ Processed: {upper}",
}
"""What a job of a type returns, or begins with; every other type returns what it was given."""


async def settled(bus: Bus, history: History, clients: Sequence[ChaosClient], world: World) -> None:
    """Wait until every wish was accepted and every accepted job has ended; complain when that does not come."""
    begun = progress_at = told_at = time.monotonic()
    fewest = math.inf
    while (now := time.monotonic()) < min(progress_at + SETTLE_DEADLINE, begun + SETTLE_LONGEST):
        await asyncio.sleep(0.5)
        try:
            await history.read_on(bus)
        except BusError as error:
            print(f"{now - begun:.0f} s after the last fault the stream cannot be read: {error}")
            continue
        unanswered = sum(not client.satisfied for client in clients)
        jobs = history.open
        if not jobs and not unanswered:
            return
        if len(jobs) + unanswered < fewest:
            fewest, progress_at = len(jobs) + unanswered, now
        if now - told_at > TELL_EVERY:
            told_at = now
            oldest = [step.action for step in history.jobs[jobs[0]]] if jobs else []
            print(
                f"{now - begun:.0f} s after the last fault {len(jobs)} jobs are open, and {unanswered} clients wait "
                f"for an answer; the oldest job: {jobs[:1]} {oldest}"
            )
    for client in clients:
        for wish in client.wishes.values():
            if not wish.job_ids:
                world.complain(f"client {client.number} was never answered about {wish}")
    for client_id, job_id in history.open:
        steps = [step.action for step in history.jobs[client_id, job_id]]
        world.complain(f"job {job_id} of client {client_id} has no end: {steps}")


async def caught_up(history: History, clients: Sequence[ChaosClient]) -> bool:
    """Wait until every client has the last event that is stored for it, or until that took too long."""

    def done() -> bool:
        return all(
            client.events[scope][-1:] == history.shown[name][-1:]
            for client in clients
            for scope, name in (("client", client.client_id), ("system", "system"))
        )

    return await until(done, CATCH_UP_DEADLINE)


def every_job_ended_once(history: History, clients: Sequence[ChaosClient], world: World) -> None:
    """Every accepted job has exactly one end, and nothing after it; each key is one job."""
    for client in clients:
        for wish in client.wishes.values():
            if len(wish.job_ids) > 1:
                world.complain(f"client {client.number}: key {wish.key} became the jobs {wish.job_ids}")
            for job_id in wish.job_ids:
                if not history.jobs[client.client_id, job_id]:
                    world.complain(f"client {client.number}: accepted job {job_id} is not in the stream")
    if history.unread:
        world.complain(f"events were cut before they were read here, so nothing is proven: {history.unread[:5]}")
    if history.changed:
        world.complain(f"{len(history.changed)} jobs were carried forward as others: {history.changed[:3]}")
    if history.amplified:
        world.complain(f"enqueued again twice for one loss: {len(history.amplified)} times, {history.amplified[:3]}")
    unfinished = set(history.open)
    for (client_id, job_id), steps in history.jobs.items():
        actions = [step.action for step in steps]
        if actions.count("job_queued") != 1 or actions[0] != "job_queued":
            if job_id != "forged":
                world.complain(f"job {job_id} of {client_id} does not begin once: {actions}")
        elif any(step.ended for step in steps[:-1]) or (client_id, job_id) in unfinished:
            world.complain(f"job {job_id} of {client_id} does not end once: {actions}")


def every_result_is_its_jobs(history: History, clients: Sequence[ChaosClient], world: World) -> None:
    """A result is what the job's function returned for what was asked, never a part of it and never nothing."""
    results = {
        (client_id, job_id): steps[-1].payload
        for (client_id, job_id), steps in history.jobs.items()
        if steps and isinstance(steps[-1], JobResult)
    }
    for client in clients:
        for wish in client.wishes.values():
            expected = RESULTS.get(wish.job_type, "{0}").format(wish.content, upper=wish.content.upper())
            for job_id in wish.job_ids:
                result = results.get((client.client_id, job_id), expected)
                if result != expected and not (wish.job_type == "analyze" and result.startswith(expected)):
                    world.complain(f"job {job_id} ({wish}) ended with the result {result!r}, not {expected!r}")


def what_jobs_wrote_is_their_result(history: History, world: World) -> None:
    """Of each attempt the pieces are stored once and in order; of the one that ended they are the result."""
    if history.late:
        world.complain(f"{len(history.late)} pieces are stored after the end of their job: {history.late[:3]}")
    for key, pieces in history.written.items():
        places = [(piece.attempt, piece.index) for piece in pieces]
        attempts = Counter(piece.attempt for piece in pieces)
        if places != [(attempt, index) for attempt in sorted(attempts) for index in range(attempts[attempt])]:
            world.complain(f"job {key} wrote {places}")
        if not (steps := history.steps(key)):
            world.complain(f"a job that nobody knows wrote: {key}")
            continue
        end = steps[-1]
        text = "".join(piece.payload for piece in pieces if piece.attempt == end.attempt)
        if isinstance(end, JobResult) and text != end.payload:
            world.complain(f"job {key} wrote {text!r}, and its result is {end.payload!r}")


def everybody_saw_everything(
    history: History, clients: Sequence[ChaosClient], operator: Operator, world: World
) -> None:
    """Each client saw each of its stored events once, in stream order; so did everybody with announcements."""
    announced = [seq for seq, _ in history.shown["system"]]
    if operator.acknowledged != announced:
        world.complain(f"announced {operator.acknowledged}, stored {announced}")
    for client in clients:
        for scope, name in (("client", client.client_id), ("system", "system")):
            # What it was told that it lost, nobody had to show it.
            seen = {seq for seq, _ in client.events[scope]}
            due = [event for event in history.shown[name] if event[0] in seen or not client.lost(scope, event[0])]
            first = [event for event in client.events[scope] if event[0] not in history.again[name]]
            _compare(f"client {client.number} ({scope})", first, due, world)


def nobody_was_told_of_a_loss_without_one(history: History, clients: Sequence[ChaosClient], world: World) -> None:
    """`recovered: false`, and a job that is unknown, are for what was cut."""
    for client in clients:
        for cursors in client.losses:
            if min(cursors.values()) + 1 >= history.first_seq:
                world.complain(f"client {client.number} with cursors {cursors} was told that it lost")
        for job_id in client.unknown:
            asked = [
                seq for (client_id, name), seq in history.asked.items()
                if client_id == client.client_id and name.partition("#")[0] == job_id
            ]  # fmt: skip
            if min(asked, default=0) >= history.first_seq:
                world.complain(f"client {client.number} was told that there is no job {job_id}, asked for at {asked}")


async def coming_back_shows_nothing_twice(history: History, clients: Sequence[ChaosClient], world: World) -> None:
    """A resume with the true cursors replays nothing; one with cursors at zero replays everything."""

    async def check(client: ChaosClient) -> None:
        replayed = await client.come_back()
        if any(replayed.values()):
            world.complain(f"client {client.number} resumed at the end and was shown {replayed}")
        if client.number % 10 == 0:
            replayed = await client.come_back(anew=True)
            for scope, name in (("client", client.client_id), ("system", "system")):
                stored = [event for event in history.shown[name] if event[0] >= history.first_seq]
                first = [event for event in replayed[scope] if event[0] not in history.again[name]]
                _compare(f"client {client.number} (reloaded, {scope})", first, stored, world)

    await asyncio.gather(*(check(client) for client in clients))


def tokens_were_renewed(clients: Sequence[ChaosClient], world: World) -> None:
    """Where clients prove who they are, some brought newer tokens in time, and others were closed for want of one."""
    proofs = [client.proof for client in clients if client.proof is not None]
    for what in ("refreshed", "expired"):
        if proofs and not any(getattr(proof, what) for proof in proofs):
            world.complain(f"no token was {what}, though they live for seconds")


async def nothing_grew(world: World) -> None:
    """Redis holds no task, NATS no subscription of a client, a job or a replay, the web processes no heap of memory."""

    def redis_empty() -> bool:
        with world.valkey.client() as redis:
            return not redis.exists("jobs", "unacked")

    if not await until(redis_empty, DRAIN_DEADLINE):
        with world.valkey.client() as redis:
            world.complain(f"tasks are left in Redis: {redis.llen('jobs')} wait, {redis.hgetall('unacked')} taken")
    if not await until(lambda: not _left_subscriptions(world), 30):
        world.complain(f"subscriptions are left: {_left_subscriptions(world)[:10]}")
    for web in world.webs:
        if (size := resident_bytes(web.pid)) > MOST_RESIDENT:
            world.complain(f"a web process has {size // 1024**2} MB resident")


async def everything_ends(world: World) -> None:
    """Web processes and workers end on SIGTERM, in time, with status 0, and leave nothing."""
    world.find_dead()
    for server in (*world.webs, *world.workers):
        await world.stop(server)


def _compare(who: str, seen: list[tuple[int, str]], stored: list[tuple[int, str]], world: World) -> None:
    if seen == stored:
        return
    missing = [event for event in stored if event not in set(seen)]
    extra = [event for event in seen if event not in set(stored)]
    twice = sorted({event for event in seen if seen.count(event) > 1})
    world.complain(
        f"{who} saw {len(seen)} of {len(stored)} events: missing {missing[:5]}, twice {twice[:5]}, "
        f"unknown {extra[:5]}, in order: {seen == sorted(seen)}"
    )


def _left_subscriptions(world: World) -> list[str]:
    """Of those that are connected: what one server of a cluster heard of another's clients is not theirs any more."""
    answers = [nats.monitored("connz?subs=1&limit=10000") for nats in world.nats]
    found = [
        (subject, connection.get("name", "nobody"))
        for answer in answers
        for connection in answer["connections"]
        for subject in connection.get("subscriptions_list") or []
        if not (subject.startswith("_INBOX.") and subject.endswith(".*"))  # its own
    ]
    nobody = subjects.live(subjects.client(NOBODY))  # a web process's own
    clients = ("live.client.", "progress.", "_INBOX.")
    return [f"{subject} of {name}" for subject, name in found if subject.startswith(clients) and subject != nobody]
