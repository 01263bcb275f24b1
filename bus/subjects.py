"""The only file that spells a NATS subject.

bus.client.<client_id>.job.<job_id>         the events of one job
bus.client.<client_id>.job.<job_id>.output  what the job writes while it runs
bus.client.<client_id>.event                any other event for one client
bus.group.<group>                           an event for everybody in a group
live.…                                      the same, republished by NATS once stored; nobody else may publish there
progress.client.<client_id>.<job_id>        progress of a job: live only, never stored
instance.<instance>                         to a process that runs jobs: does it run this one, this one is cancelled
$KV.busctl-leases.<instance>                its lease: gone when it is
$KV.busctl-leases.reconciler                the lease of the process that reconciles
$KV.busctl-schedules.<name>                 what is remembered of a schedule
reconciler.open-jobs                        to that process: what open jobs has this client, or how many are there;
                                            look for news
$SRV.<verb>[.<name>[.<instance>]]           to processes: PING, INFO or STATS (NATS architecture, ADR-32)
web.<instance>.connections                  to a web process: its connections, a page at a time
worker.<instance>.jobs                      to the main process of a worker: the jobs that run there
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from bus.errors import InvalidName

STREAM = "EVENTS"
STREAM_SUBJECTS = "bus.>"
REPUBLISH = "live.>"
ALL_JOBS = "bus.client.*.job.*"
OPEN_JOBS = "reconciler.open-jobs"
LEASES = "KV_busctl-leases"
ALL_LEASES = "$KV.busctl-leases.>"
SCHEDULES = "KV_busctl-schedules"
ALL_SCHEDULES = "$KV.busctl-schedules.>"
SCHEDULES_CLIENT = "schedules"
"""The client id of the jobs that schedules begin. No client gets it."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_AUDIBLE = re.compile(r"(([^\s.*>]+|\*)\.)*([^\s.*>]+|\*|>)")
_LONGEST_AUDIBLE = 1024
"""Characters of a subject that is heard; NATS ends a connection over a line of more than 4 KiB."""
_IN_INBOX = re.compile(r"(.+)\.[0-9a-f]{22}(\.(\*|[0-9a-f]{16}))?")
_MAPPED_API = re.compile(r"\$js\.(?!api\.)([^.]+)\.api\.")


def token(kind: str, name: object) -> str:
    """Return `name` if it can be one subject token.

    Raises:
        InvalidName: it has dots, spaces, wildcards or other characters, or is too long.
    """
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise InvalidName(kind, name)
    return name


def audible(subject: str) -> str:
    """Return `subject` if it can be heard. What cannot may be taken by NATS all the same, and is deaf then.

    Raises:
        InvalidName: it has an empty token, spaces, or a wildcard within a token, or is too long.
    """
    if len(subject) > _LONGEST_AUDIBLE or not subject.isprintable() or not _AUDIBLE.fullmatch(subject):
        raise InvalidName(
            "subject to hear", subject, "tokens with dots between them, without spaces; * is one, and > the last ones"
        )
    return subject


def job(client_id: str, job_id: str) -> str:
    """Where the events of one job are appended."""
    return f"bus.client.{token('client id', client_id)}.job.{token('job id', job_id)}"


def output(client_id: str, job_id: str) -> str:
    """Where what a running job writes is appended."""
    return f"{job(client_id, job_id)}.output"


def steps(client_id: str) -> str:
    """The events of all jobs of one client, without what these write."""
    return f"bus.client.{token('client id', client_id)}.job.*"


def all_output(client_id: str) -> str:
    """What all jobs of one client write."""
    return f"{steps(client_id)}.output"


def client_event(client_id: str) -> str:
    """Where other events for one client are appended."""
    return f"bus.client.{token('client id', client_id)}.event"


def client(client_id: str) -> str:
    """Everything stored for one client."""
    return f"bus.client.{token('client id', client_id)}.>"


def group(name: str) -> str:
    """Where events for a group are appended."""
    return f"bus.group.{token('group', name)}"


def progress(client_id: str, job_id: str) -> str:
    """Where a running job's progress is published."""
    return f"progress.client.{token('client id', client_id)}.{token('job id', job_id)}"


def all_progress(client_id: str) -> str:
    """The progress of all jobs of one client."""
    return f"progress.client.{token('client id', client_id)}.*"


def instance(name: str) -> str:
    """Where a process that runs jobs answers for them."""
    return f"instance.{token('instance', name)}"


def lease(name: str) -> str:
    """The key that an instance renews while it lives."""
    return f"$KV.busctl-leases.{token('instance', name)}"


def schedule(name: str) -> str:
    """The key of what is remembered of a schedule."""
    return f"$KV.busctl-schedules.{token('schedule', name)}"


def service(verb: str, name: str = "", instance: str = "") -> str:
    """Where services are asked (`PING`, `INFO` or `STATS`): all of them, those of a name, or one of those."""
    return ".".join(filter(None, ("$SRV", verb, name, instance)))


def connections(web: str) -> str:
    """Where the web process of this instance tells of its connections."""
    return f"web.{token('instance', web)}.connections"


def running(worker: str) -> str:
    """Where the main process of the worker of this instance tells which jobs run there."""
    return f"worker.{token('instance', worker)}.jobs"


def any_client(job_id: str) -> str:
    """The events of one job, whoever's it is."""
    return f"bus.client.*.job.{token('job id', job_id)}"


def any_output(job_id: str) -> str:
    """What one job writes, whoever's it is."""
    return f"{any_client(job_id)}.output"


def live(subject: str) -> str:
    """Where NATS republishes what was stored on `subject` (which may have wildcards)."""
    return "live." + subject.removeprefix("bus.")


def permission(subject: str) -> str:
    """What a permission for this subject names: the subject, or all that are like it where each has another one."""
    match subject.split("."):
        case ["bus" | "live" as first, "client", _, *rest]:
            tail = {"job": ["job", "*", *rest[2:]], "event": ["event"]}.get(rest[0] if rest else "", rest)
            return ".".join([first, "client", "*", *tail])
        case ["progress", "client", *_]:
            return "progress.client.*.*"
        case ["instance", _]:
            return "instance.*"
        case ["$KV", bucket, _]:
            return f"$KV.{bucket}.*"
        case _:
            inbox = _IN_INBOX.fullmatch(subject)
            return subject if inbox is None else f"{inbox[1].replace('_inbox', '_INBOX')}.>"


def as_asked(refused: str) -> str:
    """A refused subject, in lower case, as it was sent: JetStream's API may be mapped to that of another account."""
    return _MAPPED_API.sub("$js.api.", refused)


def permission_for(asked: str, refused: str) -> str:
    """What a permission names for a subject that was sent and perhaps, in lower case, mapped to another one."""
    if (mapped := _MAPPED_API.match(refused)) is None:
        return permission(asked)
    return asked.replace("$JS.API.", f"$JS.{mapped[1].upper()}.API.", 1)


@dataclass(frozen=True, slots=True)
class Address:
    """Who an event is for: one client (perhaps about one job), or a group.

    Args:
        client_id, job_id, group: who, and which job.
        output: whether it is what a job writes, and none of its steps.
        progress: whether it is a job's progress, which is never stored.
    """

    client_id: str | None = None
    job_id: str | None = None
    group: str | None = None
    output: bool = False
    progress: bool = False


@functools.lru_cache(4096)
def parse(subject: str) -> Address | None:
    """Read a `bus.`, `live.` or `progress.` subject back; None for one this system does not use."""
    match subject.split("."):
        case ["bus" | "live", "client", client_id, "job", job_id]:
            return Address(client_id=client_id, job_id=job_id)
        case ["bus" | "live", "client", client_id, "job", job_id, "output"]:
            return Address(client_id=client_id, job_id=job_id, output=True)
        case ["progress", "client", client_id, job_id]:
            return Address(client_id=client_id, job_id=job_id, progress=True)
        case ["bus" | "live", "client", client_id, "event"]:
            return Address(client_id=client_id)
        case ["bus" | "live", "group", name]:
            return Address(group=name)
        case _:
            return None
