"""Whether a NATS user may do what a web process, a worker or a command has to.

Every permission is tried, in a way that stores, changes and disturbs nothing: an append with an expectation that cannot
come true, a request that is no JSON, a subject that nobody has.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from bus import Bus, BusError, BusUnavailable, NotPermitted, Settings, subjects
from bus.nats_login import NatsLogin
from cli.doctor.check import Check, bad, good, unsure

PERMISSIONS = "permissions"
WITHIN = 1.0
"""Seconds for all that is tried."""

NOBODY = "busctl-doctor"
"""A client, a job, an instance that is none."""
NEVER = {"Nats-Expected-Last-Subject-Sequence": str(2**53)}
NO_JSON = b"{"
ONE = f'{{"last_by_subj": "bus.client.{NOBODY}.job.{NOBODY}"}}'.encode()
NOTHING = f'{{"filter": "bus.client.{NOBODY}.job.{NOBODY}"}}'.encode()
"""For a purge: what it is to remove is not there."""
ONE_SCHEDULE = f'{{"last_by_subj": "{subjects.schedule(NOBODY)}"}}'.encode()
ONE_LEASE = f'{{"last_by_subj": "{subjects.lease(NOBODY)}"}}'.encode()

PROCESSES = ("web", "worker", "operator")
"""Who runs a system. Where one NATS user is all of them, it needs what each needs."""
ROLES = (*PROCESSES, "cli", "notify", "monitor")


@dataclass(frozen=True)
class Permission:
    """One that is needed.

    Args:
        verb: `publish` or `subscribe`.
        pattern: what to allow.
        roles: who needs it.
        tried: the subject by which it is tried, one that the pattern matches.
        data, headers: what is published there.
    """

    verb: str
    pattern: str
    roles: frozenset[str]
    tried: str = ""
    data: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def subject(self) -> str:
        """By which it is tried."""
        return self.tried or self.pattern.replace("*", NOBODY)


def _publish(pattern: str, roles: str, data: bytes = b"", *, append: bool = False, tried: str = "") -> Permission:
    headers = tuple(NEVER.items()) if append else ()
    return Permission("publish", pattern, frozenset(roles.split()), tried, data, headers)


def _subscribe(pattern: str, roles: str, tried: str = "") -> Permission:
    return Permission("subscribe", pattern, frozenset(roles.split()), tried)


API = "$JS.API."
STREAM_API = f"$JS.API.STREAM.{{}}.{subjects.STREAM}"
LEASES_API = f"$JS.API.STREAM.{{}}.{subjects.LEASES}"
SCHEDULES_API = f"$JS.API.STREAM.{{}}.{subjects.SCHEDULES}"

NEEDED = (
    _publish("bus.client.*.job.*", "web worker operator", append=True),
    _publish("bus.client.cli.job.*", "cli", append=True),
    _publish("bus.client.*.job.*.output", "worker", append=True),
    _publish("bus.group.system", "notify", append=True),
    _publish("bus.group.*", "web", append=True),
    _publish("bus.client.*.event", "web", append=True),
    _publish("progress.client.*.*", "worker"),
    _publish("instance.*", "web worker operator cli"),
    _publish(subjects.OPEN_JOBS, "web worker operator cli monitor"),
    _publish(subjects.lease("x").replace("x", "*"), "worker", append=True),
    _publish(subjects.schedule("x").replace("x", "*"), "worker", append=True),
    _publish(STREAM_API.format("INFO"), "web worker operator cli monitor"),
    _publish(STREAM_API.format("CREATE"), "web worker", NO_JSON),
    _publish(STREAM_API.format("UPDATE"), "web worker", NO_JSON),
    _publish(STREAM_API.format("PURGE"), "worker", NOTHING),
    _publish(STREAM_API.format("MSG.GET"), "web worker operator cli monitor", ONE),
    _publish(f"$JS.API.DIRECT.GET.{subjects.STREAM}", "web worker operator cli monitor", ONE),
    _publish(LEASES_API.format("INFO"), "worker monitor"),
    _publish(LEASES_API.format("CREATE"), "worker", NO_JSON),
    _publish(LEASES_API.format("MSG.GET"), "worker monitor", ONE_LEASE),
    _publish(SCHEDULES_API.format("INFO"), "worker operator cli monitor"),
    _publish(SCHEDULES_API.format("CREATE"), "worker", NO_JSON),
    _publish(SCHEDULES_API.format("MSG.GET"), "worker operator cli monitor", ONE_SCHEDULE),
    _publish("$SRV.PING", "operator monitor"),
    _publish("$SRV.INFO", "operator monitor"),
    _publish("$SRV.STATS", "operator monitor"),
    _publish("$SRV.STATS.*", "web operator monitor"),
    _publish("web.*.connections", "web operator monitor"),
    _subscribe("live.client.*.>", "web operator cli monitor", f"live.client.{NOBODY}.>"),
    _subscribe("live.group.*", "web"),
    _subscribe("progress.client.*.*", "web operator cli monitor", f"progress.client.{NOBODY}.*"),
    _subscribe("live.client.*.job.*", "worker", f"live.client.{NOBODY}.job.*"),
    _subscribe("instance.*", "worker"),
    _subscribe(subjects.OPEN_JOBS, "worker"),
    _subscribe("$SRV.PING", "web worker"),
    _subscribe("$SRV.INFO", "web worker"),
    _subscribe("$SRV.STATS", "web worker"),
    _subscribe("$SRV.*.busctl-web", "web", subjects.service("PING", "busctl-web")),
    _subscribe("$SRV.*.busctl-web.*", "web", subjects.service("PING", "busctl-web", NOBODY)),
    _subscribe("web.*.connections", "web"),
    _subscribe("$SRV.*.busctl-worker", "worker", subjects.service("PING", "busctl-worker")),
    _subscribe("$SRV.*.busctl-worker.*", "worker", subjects.service("PING", "busctl-worker", NOBODY)),
    _subscribe("worker.*.jobs", "worker"),
)
"""What each role needs. Answers, on its inbox, everybody has to hear: without those nothing else can be known."""


def roles_of(settings: Settings) -> tuple[str, ...]:
    """The role that a NATS user has by its name, or by the inbox of an NKey, which has no name; else all of those that
    run a system."""
    login = NatsLogin.of(settings)
    user = login.user or login.inbox_prefix.rpartition(".")[2]
    return (user,) if user in ROLES else PROCESSES


async def missing(bus: Bus, roles: tuple[str, ...]) -> dict[Permission, str]:
    """What the user of this bus, which is connected, may not do of what these roles need, and what to allow for each.

    Raises:
        NotPermitted: it may not hear answers, so that nothing is known of the rest.
        BusUnavailable: NATS went away.
    """
    needed = [each for each in NEEDED if each.roles & set(roles)]
    published = [each for each in needed if each.verb == "publish"]
    refused = await asyncio.gather(*(_refused(bus, each) for each in published))
    subscribed = [each for each in needed if each.verb == "subscribe"]
    heard = [await bus.respond(each.subject, lambda _: None, optional=True) for each in subscribed]
    try:
        await bus.confirm_subscriptions()
        denied = [
            isinstance(one.refused, NotPermitted) and each.pattern for each, one in zip(subscribed, heard, strict=True)
        ]
    finally:
        for one in heard:
            await one.close()
    tried = zip(published + subscribed, [*refused, *denied], strict=True)
    return {each: allow for each, allow in tried if allow}


async def _refused(bus: Bus, permission: Permission) -> str | None:
    """What to allow, if it is refused: the pattern, or what the user's account has mapped it to."""
    try:
        await bus.request(permission.subject, permission.data, timeout=WITHIN, headers=dict(permission.headers) or None)
    except NotPermitted as error:
        if error.verb != "publish":
            raise
        return error.permission if permission.pattern.startswith(API) else permission.pattern
    except BusUnavailable as error:
        if not error.maybe_done:
            raise
    return None  # somebody heard it, nobody did, or whoever did is silent


async def check_permissions(bus: Bus, settings: Settings, roles: tuple[str, ...] = ()) -> list[Check]:
    """Whether this shell's NATS user may do what these roles need; by default those of its name, or all."""
    roles = roles or roles_of(settings)
    try:
        lacking = await missing(bus, roles)
    except NotPermitted as error:
        return [hears_nothing(error)]
    except BusError as error:
        return [unsure(PERMISSIONS, f"could not be tried: {error}", "mend what is wrong with NATS, then look again")]
    checks = []
    for each, allow in lacking.items():
        needs = ", ".join(sorted(each.roles & set(roles)))
        checks.append(
            bad(
                PERMISSIONS,
                f"the NATS user may not {each.verb} {each.pattern}, needed by {needs}",
                f'add "{allow}" to what the user may {each.verb}, in the configuration of the NATS server',
            )
        )
    return checks or [good(PERMISSIONS, f"this NATS user may do all that is needed as {', '.join(roles)}")]


def hears_nothing(error: NotPermitted) -> Check:
    """The user may not hear answers, so nothing else can be known of it."""
    text = f"the NATS user may not {error.verb} {error.subject}, where it hears answers"
    return bad(PERMISSIONS, text, f"allow it to {error.verb} _INBOX.>, or what is its own below that")
