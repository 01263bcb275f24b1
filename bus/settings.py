"""Every environment variable this system reads: its name, its default, its meaning."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import NoDecode

from bus import redis_url, setting_files
from bus.identity_settings import IdentitySettings
from bus.nats_settings import NatsSettings
from bus.observe_settings import ObserveSettings
from bus.origins import hosts, origins
from bus.project_settings import ProjectSettings
from bus.setting_values import (
    YEAR,
    Age,
    Bytes,
    Count,
    Interval,
    MessageBytes,
    Seconds,
    Share,
    StreamBytes,
    cleaned,
    text,
)
from bus.web_edge_settings import WebEdgeSettings


class Settings(ObserveSettings, ProjectSettings, IdentitySettings, NatsSettings, WebEdgeSettings):
    """Settings of one process, read from the environment once and passed down as an argument.

    Times are seconds and sizes are bytes. A value may also stand in a file that `<VARIABLE>_FILE` names; the variable
    itself wins. Build it with `load`, which turns bad values into a `SettingsError` that names their variables.
    """

    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        alias="REDIS_URL",
        repr=False,
        description="Redis or Valkey, Celery's transport: redis://[user][:password]@host[:port][/database], "
        "rediss:// the same with TLS, unix:///path/of/socket?db=0, or "
        "sentinel://host:port;sentinel://host:port/database?master_name=NAME (and sentinel_username, "
        "sentinel_password). Percent-encode what is special in a password. With TLS the certificate is verified; "
        "ssl_ca_certs=FILE names its authority, ssl_certfile and ssl_keyfile our own, ssl_check_hostname=false and "
        "ssl_cert_reqs=none verify less. valkey:// and valkeys:// mean the same.",
    )
    redis_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{0,64}$")] = Field(
        "",
        description="Name of this system on a Redis database that it shares with others: every key begins with it "
        "and a colon. Empty when the database is its own.",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Browser origins that may open a WebSocket besides the host's own, separated by commas, "
        "for example https://app.example.com. https://*.example.com allows those of every subdomain, * every origin.",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Host names and addresses, without port, under which this process may be asked, separated by "
        "commas, for example app.example.com,*.example.org,[::1]; other requests get 421. By default every one; "
        "busctl dev allows those of this machine. /livez and /readyz answer under all.",
    )
    max_frame_bytes: MessageBytes = Field(
        64 * 1024, description="Largest WebSocket message a client may send; past it the close code is 1009."
    )
    frame_rate: Annotated[float, Field(ge=0.001, le=1_000_000, allow_inf_nan=False)] = Field(
        100.0,
        description="Frames a second that one connection may send for long, past which the close code is 4429; and "
        "requests of one client over HTTP, past which it is answered with 429.",
    )
    frame_burst: Count = Field(
        1000, description="Frames that one connection may send at once after a silence, and requests of one client."
    )
    send_buffer_bytes: Bytes = Field(
        1024 * 1024, description="Most bytes that may wait for one slow reader before it is closed with 1013."
    )
    send_timeout: Seconds = Field(
        10.0, description="Longest that a reader with a full socket may take to make room for more; then it is cut off."
    )
    max_connections: Count = Field(
        10_000,
        description="Most WebSockets and streams of events one web process holds; past it a handshake is answered with "
        "503.",
    )
    max_http_connections: Count = Field(
        1000,
        description="Connections that one web process holds besides its WebSockets, and how many may be idle; past it "
        "those idle longest are closed, and when none is idle new ones are answered with 503.",
    )
    backlog: Count = Field(
        1024, description="Connections that may wait to be accepted; the kernel's somaxconn may lower it."
    )
    keep_alive_timeout: Seconds = Field(
        10.0, description="Longest an HTTP connection may be idle, or take for the whole head of a request."
    )
    ping_interval: Interval = Field(20.0, description="How often the server pings a WebSocket.")
    read_timeout: Seconds = Field(
        60.0,
        description="Longest a client may be silent, pongs included, before its connection is cut; "
        "more than BUS_PING_INTERVAL.",
    )
    websocket_deflate: bool = Field(
        False,
        description="Whether busctl serve offers permessage-deflate. A small hostile frame can then unpack to hundreds "
        "of megabytes before its size is known.",
    )
    keyfile_password: SecretStr | None = Field(
        None, description="Password of the key that busctl serve gets with --keyfile."
    )
    drain_delay: Annotated[float, Field(ge=0, le=YEAR, allow_inf_nan=False)] = Field(
        0.0,
        description="How long after SIGTERM /readyz says no before the first client is sent away; "
        "time for a load balancer to notice.",
    )
    drain_timeout: Seconds = Field(
        10.0, description="How long clients then have to go; they are sent away over at most half of it."
    )
    connect_timeout: Seconds = Field(10.0, description="Deadline for the first connection to NATS.")
    heal_timeout: Seconds = Field(
        60.0,
        description="How long NATS may refuse a process (its login, JetStream, a subscription) before it ends with the "
        "reason, for its supervisor to start it with what is right then. While NATS is away it waits without end.",
    )
    append_timeout: Seconds = Field(
        1.5, description="Deadline for one request to NATS, such as an append that must be acknowledged."
    )
    enqueue_timeout: Seconds = Field(
        2.0,
        description="Deadline for one attempt to hand a task to Redis; attempts repeat until one succeeds.",
    )
    enqueue_backlog: Count = Field(
        10_000, description="Most jobs a web process holds while Redis is away; past it a submit is refused."
    )
    max_event_bytes: MessageBytes | None = Field(
        None,
        description="Largest event, headers included, where that is less than the max_payload that NATS announces: it "
        "does not announce the limit of an account.",
    )
    stream_max_age: Age = Field(
        86_400.0,
        description="How long events are kept, for resume and replay. A web process or worker applies it when the "
        "stream is made and when it was changed; what was edited with the nats command since stays.",
    )
    stream_max_bytes: StreamBytes = Field(
        1024 * 1024 * 1024,
        description="How many bytes of events are kept; the oldest go first. NATS reserves them. Applied as "
        "BUS_STREAM_MAX_AGE; busctl dev takes less on a small disk if it is not set.",
    )
    stream_replicas: Annotated[int, Field(ge=1, le=5)] = Field(
        1, description="Replicas of the EVENTS stream in a NATS cluster. Applied as BUS_STREAM_MAX_AGE."
    )
    job_delay_scale: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)] = Field(
        1.0, description="Factor on the time that the four example jobs pretend to work; 0 for no wait."
    )
    job_result_max_bytes: MessageBytes = Field(
        256 * 1024, description="Largest text a job may return or write; a larger one fails the job."
    )
    progress_interval: Seconds = Field(
        0.25, description="Least time between two progress messages of one job; the latest wins."
    )
    output_interval: Seconds = Field(
        0.05,
        description="Longest that what a running job writes is collected before it is stored and shown; 4 KiB are "
        "stored at once.",
    )
    reconcile_interval: Seconds = Field(
        10.0,
        description="How often one of the workers looks for open jobs that nobody holds. One that nobody held at two "
        "looks in a row is enqueued again. When that worker dies, another takes over within two of these intervals, or "
        "8 s if that is less.",
    )
    client_window: Count = Field(
        32,
        description="Jobs of one client, in each queue, whose tasks are in Redis at a time; its others wait in the "
        "stream until one of these ends, so that no client waits behind all jobs of another.",
    )
    client_open_jobs: Count = Field(
        1000, description="Most jobs of one client that have not ended; past it a submit is refused."
    )
    client_stream_share: Share = Field(
        0.125,
        description="The part of the stream's bytes that the open jobs of one client may take with what they were "
        "asked for; past it a submit is refused, so that none takes the room of all. A single open job may take more.",
    )
    secret: SecretStr | None = Field(
        None,
        description="Signs resume tokens. Set the same one for all web processes, at least 32 characters; without it "
        "clients can only resume at the process that welcomed them.",
    )
    secret_previous: SecretStr | None = Field(
        None, description="Another one that is accepted too, while BUS_SECRET is changed."
    )
    resume_max_age: Age = Field(
        86_400.0,
        description="How long a resume token is good for; a client that stays connected gets a new one at half of it.",
    )
    handshake_timeout: Seconds = Field(
        10.0,
        description="How long a TLS handshake may take, and a bus.v1 client for its connect frame, past which the "
        "close code is 4408.",
    )
    replay_max_events: Count = Field(
        10_000, description="Most events replayed to one connection; past it recovered is false."
    )
    replay_max_bytes: Bytes = Field(
        16 * 1024 * 1024, description="Most bytes of events replayed to one connection; past it recovered is false."
    )
    replay_memory_bytes: Bytes = Field(
        64 * 1024 * 1024,
        description="Most bytes that the replays of all connections of one web process have in memory together; "
        "past it they wait for each other.",
    )
    visibility_timeout: Annotated[int, Field(ge=5, le=YEAR)] = Field(
        60,
        description="Seconds after which Redis gives a task to another worker when its holder is silent. "
        "The same for every process on one Redis.",
    )
    celery_remote_control: bool = Field(
        False,
        description="Whether workers obey those commands of Celery's remote control too that stop a worker or change "
        "what it does for every job: shutdown, pool_grow, pool_shrink, pool_restart, autoscale, add_consumer, "
        "cancel_consumer, rate_limit, time_limit. They always answer inspect, and take revoke and terminate.",
    )

    @field_validator("allowed_origins")
    @classmethod
    def _keeps_cookies_safe(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "*" in value and info.data.get("auth_cookie") is not None:
            raise ValueError(
                "must name origins while BUS_AUTH_COOKIE is set, or any page could use the cookies of who looks at it"
            )
        return value

    @field_validator("auth", "log_level", "log_format", "traces", mode="before")
    @classmethod
    def _in_lower_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("allowed_origins", "allowed_hosts", mode="before")
    @classmethod
    def _in_one_form(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, tuple | list):
            value = ",".join(map(str, value))
        if not isinstance(value, str):
            return value
        return origins(value) if info.field_name == "allowed_origins" else hosts(value)

    @field_validator("redis_url")
    @classmethod
    def _is_served(cls, value: str) -> str:
        redis_url.parse(value)
        return value

    @field_validator("read_timeout")
    @classmethod
    def _outlasts_a_ping(cls, value: float, info: ValidationInfo) -> float:
        if value <= info.data.get("ping_interval", 0.0):
            raise ValueError(
                "must be more than BUS_PING_INTERVAL, or clients that only listen are cut between two pings"
            )
        return value

    @field_validator("job_result_max_bytes")
    @classmethod
    def _fits_into_the_stream(cls, value: int, info: ValidationInfo) -> int:
        if value > info.data.get("stream_max_bytes", value):
            raise ValueError("must not be more than BUS_STREAM_MAX_BYTES, or a result finds no room")
        return value

    @field_validator("*", mode="before")  # the last of them: pydantic begins at the end
    @classmethod
    def _clean(cls, value: object, info: ValidationInfo) -> object:
        value = setting_files.read(value)
        # A password that others chose may begin and end with anything.
        value = text(value) if info.field_name in ("keyfile_password", "nats_password") else cleaned(value)
        if value == "" and cls.model_fields[str(info.field_name)].default is None:
            # A token that is nothing is brought by everybody, and authorities that are nowhere are not one's own.
            raise ValueError("is blank: give it a value, or unset it")
        return value
