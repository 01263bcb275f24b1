"""Declaring the EVENTS stream: look whether it is there, create it if not, and leave alone what is not ours."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import nats.errors
import structlog

from bus import subjects, times
from bus.connection import Connection
from bus.errors import BusError, BusUnavailable, StreamConflict, UnsupportedServer
from bus.jetstream import STREAM_NAME_IN_USE, STREAM_NOT_FOUND, ApiError, read_answer
from bus.quorum import lacking
from bus.settings import Settings
from bus.stream_config import (
    CORRECTED,
    MARK,
    MARKED,
    SETTINGS,
    Config,
    can_be_cut,
    changed_settings,
    corrections,
    edited,
    is_ours,
    new_stream,
    unusable,
)

log = structlog.get_logger(__name__)

ASK_AGAIN = 0.25
"""Seconds until JetStream is asked again after it could not answer."""

NOT_ENABLED, NOT_ENABLED_FOR_ACCOUNT = 10076, 10039
NO_PEERS = 10005
PASSING = {
    10004: "JetStream gave an incomplete answer",
    10007: "JetStream is not ready on this server",
    10008: "JetStream has no leader; more than half of the cluster's servers must be up",
    10009: "JetStream has no leader; more than half of the cluster's servers must be up",
    10049: "NATS cannot make the files of the stream now, perhaps because it still removes those of an earlier one; "
    "its log says why",
    10118: f"the stream {subjects.STREAM} is offline; start the servers that have it",
    10226: f"the stream {subjects.STREAM} is being changed by somebody else",
}
"""Refusals that pass by themselves, or with the start of a server."""
STORAGE_ERRORS = (10002, 10023, 10028, 10047, 10122)
TOO_MANY_REPLICAS = (NO_PEERS, 10074)
TOO_MANY_STREAMS = 10027
OVERLAP = 10065


class _NotNow(Exception):
    """JetStream cannot answer at this moment; the text says why."""


class Declaration:
    """One attempt to have the stream.

    Args:
        connection: to NATS.
        settings: what a new stream is made from.
        where: the server's address, as may be shown.
    """

    def __init__(self, connection: Connection, settings: Settings, where: str) -> None:
        self._connection = connection
        self._settings = settings
        self._where = where
        self._trouble = _silence("INFO")

    async def run(self, *, update: bool, within: float) -> Config:
        """The stream's configuration, once it exists, is ours, has a leader and keeps the guarantees.

        Raises: as `EventStream.declare`.
        """
        try:
            async with asyncio.timeout(within):
                while True:
                    try:
                        config = await self._existing()
                        if config is None:
                            config = await self._create()
                        if config is not None:
                            return await self._keep(config, update=update)
                    except _NotNow as not_now:
                        self._trouble = str(not_now)
                    await asyncio.sleep(ASK_AGAIN)
        except TimeoutError as error:
            raise BusUnavailable(
                f"NATS at {self._where} could not declare the stream {subjects.STREAM} within {within:.1f} s: "
                f"{self._trouble}"
            ) from error

    async def _existing(self) -> Config | None:
        """The stream's configuration, or None when there is none."""
        try:
            info = await self._ask("INFO")
        except ApiError as error:
            if error.code == STREAM_NOT_FOUND:
                return None
            raise self._refusal(error) from error
        if (lack := lacking(info)) is not None:
            raise _NotNow(f"the stream {subjects.STREAM} {lack}")
        config: Config = info["config"]
        return config

    async def _create(self) -> Config | None:
        """The new stream's configuration; None when somebody else created it meanwhile."""
        try:
            config: Config = (await self._ask("CREATE", new_stream(self._settings)))["config"]
        except ApiError as error:
            # Another process may have been first, and have taken the room that this request asked for.
            if error.code == STREAM_NAME_IN_USE or await self._existing() is not None:
                return None
            if error.code == NO_PEERS:
                raise _NotNow(self._advice(error)) from error
            raise self._refusal(error) from error
        log.info("created the stream", stream=subjects.STREAM)
        return config

    async def _keep(self, config: Config, *, update: bool) -> Config:
        if not is_ours(config):
            listed = config.get("subjects") or ["none"]
            raise StreamConflict(
                f"the stream {subjects.STREAM} at {self._where} belongs to another application (its subjects: "
                f"{', '.join(listed[:5])}{', …' if listed[5:] else ''}); nothing was changed. Use another NATS server "
                "or account for this system. If the stream was made for it, say so with "
                f"'nats stream edit {subjects.STREAM} --metadata {MARK}={MARKED}'"
            )
        if reason := unusable(config):
            raise StreamConflict(
                f"the stream {subjects.STREAM} at {self._where} takes no events: {reason}. Move it away or remove it, "
                "and a new one is made; nothing was changed"
            )
        if wrong := corrections(config):
            config = await self._correct(config, wrong)
        if update:
            config = await self._apply_settings(config)
            if not can_be_cut(config):
                log.warning(
                    "events that open jobs need can be pushed out of the stream: it was edited to deny purges or to "
                    "allow schedules, which NATS does not take back; move it away, and a new one is made",
                    stream=subjects.STREAM,
                )
        return config

    async def _correct(self, config: Config, wrong: Config) -> Config:
        told = "; ".join(f"{name} is {_shown(config.get(name))}, needed is {_shown(wrong[name])}" for name in wrong)
        metadata = {**(config.get("metadata") or {}), CORRECTED: times.written(datetime.now(UTC))}
        try:
            corrected: Config = (await self._ask("UPDATE", {**config, **wrong, "metadata": metadata}))["config"]
        except ApiError as error:
            raise StreamConflict(
                f"the stream {subjects.STREAM} at {self._where} does not keep what delivery rests on ({told}), and "
                f"NATS will not change that: {error}. Change it with 'nats stream edit {subjects.STREAM}', or move "
                "the stream away, and a new one is made; nothing was changed"
            ) from error
        log.warning("corrected the stream, because delivery rests on it", stream=subjects.STREAM, changed=told)
        return corrected

    async def _apply_settings(self, config: Config) -> Config:
        """Apply settings that have changed. The stream does its work without that, so NATS may refuse it."""
        if changed := changed_settings(config, self._settings):
            shown = {field: changed[field] for field in SETTINGS if field in changed}
            try:
                config = (await self._ask("UPDATE", {**config, **changed}))["config"]
                if shown:
                    log.info("changed the stream to the settings", stream=subjects.STREAM, **shown)
            except (ApiError, _NotNow, BusError) as error:
                log.warning("the settings could not be applied to the stream", reason=str(error), **shown)
        if kept := edited(config, self._settings):
            log.info(
                f"the stream is kept as it was edited; change it with 'nats stream edit {subjects.STREAM}'",
                settings=", ".join(Settings.variable(SETTINGS[field]) for field in kept),
                **kept,
            )
        return config

    async def _ask(self, verb: str, body: Config | None = None) -> dict[str, Any]:
        subject = _subject(verb)
        data = json.dumps(body).encode() if body is not None else b""
        if len(data) > (limit := self._connection.max_payload):
            raise UnsupportedServer(
                f"the NATS server at {self._where} takes messages of at most {limit} bytes, and a request for the "
                f"stream has {len(data)}: raise max_payload"
            )
        try:
            return read_answer((await self._connection.request(subject, data, self._settings.append_timeout)).data)
        except ApiError as error:
            if error.code in PASSING:
                raise _NotNow(f"{PASSING[error.code]} ({error})") from error
            raise
        except nats.errors.NoRespondersError as error:
            raise UnsupportedServer(
                f"the NATS server at {self._where} runs without JetStream: "
                "start it with -js, or 'jetstream {}' in its configuration"
            ) from error
        except (nats.errors.Error, TimeoutError, ValueError) as error:
            raise _NotNow(_silence(verb)) from error

    def _refusal(self, error: ApiError) -> BusError:
        match error.code:
            case code if code == NOT_ENABLED_FOR_ACCOUNT:
                return UnsupportedServer(
                    f"the account of this NATS user at {self._where} has no JetStream: give it 'jetstream: enabled' "
                    "in the server's configuration, or use a user of another account"
                )
            case code if code == NOT_ENABLED:
                return UnsupportedServer(
                    f"the NATS server at {self._where} runs without JetStream: "
                    "start it with -js, or 'jetstream {}' in its configuration"
                )
        return StreamConflict(f"the stream {subjects.STREAM} cannot be created at {self._where}: {self._advice(error)}")

    def _advice(self, error: ApiError) -> str:
        settings = self._settings
        if error.code in STORAGE_ERRORS:
            return (
                f"{error}. It reserves BUS_STREAM_MAX_BYTES = {settings.stream_max_bytes} bytes on each of its "
                "servers, and so do other streams: lower that, or give JetStream more with max_file_store, or the "
                "account with max_file"
            )
        if error.code in TOO_MANY_REPLICAS:
            return (
                f"{error}. BUS_STREAM_REPLICAS = {settings.stream_replicas} needs as many servers with JetStream in "
                f"one cluster, with BUS_STREAM_MAX_BYTES = {settings.stream_max_bytes} bytes of room each"
            )
        if error.code == TOO_MANY_STREAMS:
            return f"{error}. Raise max_streams of the account, or remove a stream"
        if error.code == OVERLAP:
            return (
                f"{error}. Another stream stores subjects of {subjects.STREAM_SUBJECTS}: see 'nats stream find "
                f"--subject {subjects.STREAM_SUBJECTS}', or use another NATS account for this system"
            )
        return str(error)


def _subject(verb: str) -> str:
    return f"$JS.API.STREAM.{verb}.{subjects.STREAM}"


def _silence(verb: str) -> str:
    return (
        f"no answer on {_subject(verb)}. It is away or overloaded, or too few servers of its cluster are up, or none "
        "of those that have the stream, or this NATS user may not publish there"
    )


def _shown(value: object) -> str:
    return "not set" if value is None else json.dumps(value)
