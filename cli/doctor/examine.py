"""Runs every check, those that do not wait for each other side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bus import Bus, BusError, NotPermitted, Settings, nats_url
from bus.job_log import DEFAULT_QUEUE
from cli.doctor.check import Check, State
from cli.doctor.configuration import check_packages, check_settings
from cli.doctor.permissions import check_permissions, hears_nothing
from cli.doctor.processes import check_agreement, check_jobs, check_secret, check_web, check_workers
from cli.doctor.redis_owner import check_owner
from cli.doctor.round_trip import check_round_trip
from cli.doctor.servers import check_clocks, check_nats, check_redis
from cli.doctor.stream import check_stream
from workers.state.nats_state import NatsState
from workers.state.redis_state import RedisState, look_at_redis
from workers.state.system import WITHIN, SystemState, look, observer


async def examine(settings: Settings, roles: tuple[str, ...] = ()) -> list[Check]:
    """Everything that was found, in the order in which it is to be mended.

    Args:
        settings: of this shell.
        roles: whose NATS permissions are tried, see `check_permissions`.
    """
    here = [*check_settings(), *check_packages()]
    redis = asyncio.create_task(look_at_redis(settings, [DEFAULT_QUEUE], WITHIN), name="look at Redis")
    try:
        async with observer(settings, "busctl doctor") as bus:
            return here + await _over(bus, settings, roles, redis)
    except NotPermitted as error:
        return [*here, hears_nothing(error), *check_redis(await redis)]
    except BusError as error:
        nats = NatsState(nats_url.redacted(settings.nats_url), error=str(error))
        return [*here, *check_nats(nats), *check_redis(await redis)]


async def _over(bus: Bus, settings: Settings, roles: tuple[str, ...], redis: asyncio.Task[RedisState]) -> list[Check]:
    system, permitted = await asyncio.gather(look(bus, settings, redis), check_permissions(bus, settings, roles))
    nats = list(check_nats(system.nats))
    if any(check.state == State.BAD for check in nats):  # nothing else can be, and would only say so again
        return [*nats, *check_redis(system.redis)]
    stream = await check_stream(bus, settings, system.nats)
    checks = [*nats, *permitted, *stream, *check_redis(system.redis)]
    works = not any(check.state == State.BAD for check in stream)
    if works:
        checks += await check_owner(bus, settings, system.redis)
    checks += [*check_clocks(system), *_processes(system, settings)]
    if works and not any(check.state == State.BAD for check in check_redis(system.redis)):
        checks += await check_round_trip(bus, settings, system.workers.found)
    return checks


def _processes(system: SystemState, settings: Settings) -> Sequence[Check]:
    from workers.about import about, busctl_version, secret_fingerprint  # here, because it takes its time

    web, workers = system.web.found, system.workers.found
    return [
        *check_workers(system.workers),
        *check_web(system.web),
        *check_jobs(web, workers),
        *check_secret(web, secret_fingerprint(settings)),
        *check_agreement([*web, *workers], about(settings, {}), busctl_version()),
    ]
