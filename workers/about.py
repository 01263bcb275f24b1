"""What a process tells of itself to operators: nothing secret, and what several processes have to agree on."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import platform
import secrets
import socket
from collections.abc import Iterable, Mapping
from importlib.metadata import version

from bus import Settings, redis_url
from workers.registry import Job

WEB, WORKER = "busctl-web", "busctl-worker"
"""The names of the services."""
MUST_AGREE = (
    "example_jobs",
    "redis_prefix",
    "visibility_timeout",
    "client_window",
    "client_open_jobs",
    "stream_max_age",
    "stream_max_bytes",
    "stream_replicas",
)
"""Settings that have to be the same in every process of a system."""
HASH_LENGTH = 8
"""Hexadecimal digits of a hash: enough to tell two apart."""
MOST_JOBS = 500
"""Job types that are told of: an answer has to fit into a message."""


def new_instance() -> str:
    """A name for this process that no other one has."""
    return f"{secrets.token_hex(6)}-{os.getpid()}"


def busctl_version() -> str:
    """The version of busctl that runs."""
    return version("busctl")


def about(settings: Settings, jobs: Mapping[str, Job], queues: Iterable[str] = ()) -> dict[str, str]:
    """What this process tells: names of what it is and has, with texts as values, as a service's metadata needs it.

    Args:
        settings: of the process.
        jobs: the registered jobs by name.
        queues: those from which it takes tasks.
    """
    signatures = sorted(jobs.values(), key=lambda job: job.name)[:MOST_JOBS]
    facts = {
        "host": socket.gethostname(),
        "pid": str(os.getpid()),
        "python": platform.python_version(),
        "redis": redis_url.redacted(settings.redis_url),
        "jobs": " ".join(f"{job.name}={job_hash(job)}" for job in signatures),
        "queues": " ".join(sorted(queues)),
        "secret": secret_fingerprint(settings),
    }
    agreed = {Settings.variable(name): str(getattr(settings, name)) for name in MUST_AGREE}
    return facts | agreed


def job_hash(job: Job) -> str:
    """A short hash of what a job takes and gives and of its queue: of two processes it differs when one is outdated."""
    signature = [job.signature.takes.taken, job.signature.gives.given, job.queue]
    return hashlib.sha256(json.dumps(signature, sort_keys=True).encode()).hexdigest()[:HASH_LENGTH]


def secret_fingerprint(settings: Settings) -> str:
    """Tells whether two processes have the same `BUS_SECRET`, and nothing else of it; empty where it is not set."""
    if settings.secret is None:
        return ""
    key = settings.secret.get_secret_value().encode()
    return hmac.new(key, b"busctl: do two processes have the same secret?", "sha256").hexdigest()[:HASH_LENGTH]
