"""Whether the event stream can be used, and is as it has to be."""

from __future__ import annotations

import json
from collections.abc import Iterator

from bus import Bus, BusError, Settings, StreamConflict, subjects
from bus.space import FOR_NEW_JOBS, usage_of
from bus.stream_config import SETTINGS, corrections, edited, unusable
from cli.amounts import count, size
from cli.doctor.check import Check, bad, good, unsure
from workers.state.nats_state import NatsState, StreamState

STREAM = "stream"
DECLARE_WITHIN = 1.0
"""Seconds for JetStream to make the stream, or to say why it cannot."""
LEADERLESS = "start the other servers of the cluster: more than half of them must be up; 'nats server list'"


async def check_stream(bus: Bus, settings: Settings, nats: NatsState) -> list[Check]:
    """The stream `EVENTS`.

    Where there is none it is made, as every process and command does that needs it: only so is known whether NATS lets
    this system have one.
    """
    if nats.stream.error is None:
        return list(_look(settings, nats.stream))
    try:
        await bus.stream.declare(update=False, within=DECLARE_WITHIN)
    except BusError as error:
        cluster = nats.info.get("cluster")
        if cluster and "no answer" in str(error):  # one that has just begun does not even say so
            text = f"JetStream of the cluster {cluster} does not answer; it seems to have no leader"
            return [bad(STREAM, text, LEADERLESS)]
        return [bad(STREAM, str(error), _remedy(error))]
    return [good(STREAM, f"there was none, and {subjects.STREAM} could be made")]


def _remedy(error: BusError) -> str:
    """What to do, in a word: the error has it at length."""
    text = str(error)
    if isinstance(error, StreamConflict) and "belongs to another application" in text:
        return "use another NATS server or account for this system"
    if "BUS_STREAM_MAX_BYTES" in text:
        return "lower BUS_STREAM_MAX_BYTES, or give JetStream more room: max_file_store, or max_file of the account"
    if "has no JetStream" in text:
        return "write 'jetstream: enabled' into the account in the server's configuration"
    if "without JetStream" in text:
        return "start NATS with -js, or with 'jetstream {}' in its configuration"
    if "leader" in text:
        return LEADERLESS
    if "may not publish" in text:
        return "add that to what the user may publish, in the configuration of the NATS server"
    return f"see 'nats stream info {subjects.STREAM}', and the log of the NATS server"


def _look(settings: Settings, stream: StreamState) -> Iterator[Check]:
    name, config = subjects.STREAM, stream.config
    if reason := unusable(config):
        yield bad(STREAM, f"{name} takes no events: {reason}", "move it away or remove it, and a new one is made")
        return
    if wrong := corrections(config):
        told = "; ".join(f"{key} is {json.dumps(config.get(key))}" for key in wrong)
        needed = "; ".join(f"{key} {json.dumps(value)}" for key, value in wrong.items())
        yield bad(
            STREAM,
            f"{name} does not keep what delivery rests on: {told}; needed is {needed}",
            f"start a web process, which sets it back, or use 'nats stream edit {name}'",
        )
        return
    if stream.lagging:
        yield unsure(
            STREAM,
            f"replicas of {name} are off line or behind: {', '.join(stream.lagging)}",
            f"start those servers, and see 'nats stream info {name}'",
        )
    usage = usage_of(stream.info)
    if not usage.can_be_cut:
        yield unsure(
            STREAM,
            f"{name} denies purges or allows schedules, so NATS itself cuts it, and can cut what an open job needs",
            "move it away, and a new one is made: NATS takes neither back",
        )
        return
    if usage.share > FOR_NEW_JOBS:
        yield unsure(
            STREAM,
            f"{name} is full to {usage.share:.0%}; new jobs are refused",
            f"raise {usage.limit}, or see why jobs do not end: busctl jobs --open",
        )
        return
    if kept := edited(config, settings):
        variables = ", ".join(Settings.variable(SETTINGS[field]) for field in kept)
        yield unsure(
            STREAM,
            f"{name} is other than this shell's settings say: {variables}",
            f"give this shell the settings of the web processes, or leave it as it was edited: nats stream edit {name}",
        )
        return
    room = "" if stream.max_bytes is None else f" of {size(stream.max_bytes)}"
    yield good(STREAM, f"{name} has {count(stream.events, 'event')}, {size(stream.used)}{room}")
