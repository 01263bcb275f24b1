"""The environment variables that say how web processes are reached."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from bus.environment import Environment
from bus.networks import networks
from bus.setting_values import MIB, YEAR, Bytes, Count

_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*){1,16}")
_MODE = re.compile(r"0?[0-7]{3}")


class WebEdgeSettings(Environment):
    """Settings of what stands between clients and web processes."""

    root_path: str = Field(
        "",
        description="The path below which everything is served, such as /bus where a proxy leads "
        "https://example.com/bus/ here, whether it removes that from the path or not. Unset, what the ASGI server says "
        "as root_path.",
    )

    socket_mode: str = Field(
        "660",
        description="Permissions of the file of busctl serve --bind unix:/path, in octal digits; who may write to it "
        "may connect. Its group is that of the process, or of a directory with the set-group-ID bit.",
    )

    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Addresses and networks of the proxies in front, separated by commas, for example "
        "127.0.0.1,10.0.0.0/8; unix stands for whoever connects by a Unix socket. What they say of a client's "
        "address, scheme and host is believed, and what anybody else says is not.",
    )
    trusted_proxy_headers: Literal["x-forwarded", "forwarded"] = Field(
        "x-forwarded",
        description="Where they say it: in X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host, or in Forwarded "
        "(RFC 7239). The proxy has to write, or remove, each that is read.",
    )

    hsts_max_age: Annotated[int, Field(ge=0, le=10 * YEAR)] = Field(
        30 * 86_400,
        description="How long a browser that came by https, to this process or to a trusted proxy, then asks this host "
        "by https alone, at all its ports (Strict-Transport-Security); 0 to leave that out. Never said of localhost.",
    )

    console: Literal["operators", "local", "off"] = Field(
        "operators",
        description="For whom the operator's console at /console/ is: with operators, for those whose token has the "
        "role of BUS_AUTH_OPERATOR_CLAIM (so with BUS_AUTH=jwt alone); with local, also for everybody on the machine "
        "of the web process; with off, for nobody.",
    )

    dev_socket: str = Field(
        "",
        description="Set by busctl dev for its own web process: the Unix socket at which the page asks it for a fault "
        "to be tried. busctl serve does not look at it.",
    )

    max_connections_per_address: Count | None = Field(
        None,
        description="Most WebSockets that one address, or one /64 network of IPv6, has open at one web process; past "
        "it a handshake is answered with 429. Unset, no limit. Behind a proxy set BUS_TRUSTED_PROXIES first, or all "
        "clients have its address.",
    )
    max_connections_per_client: Count | None = Field(
        None,
        description="Most connections that one client, with BUS_AUTH=jwt one user, has open at one web process; past "
        "it another one is closed with 4429, or with the plain protocol answered with 429. Unset, no limit.",
    )
    handshake_rate_per_address: Annotated[float, Field(ge=0.001, le=1_000_000, allow_inf_nan=False)] | None = Field(
        None,
        description="WebSocket handshakes a second that one address may make for long at one web process; past it they "
        "are answered with 429. As BUS_MAX_CONNECTIONS_PER_ADDRESS.",
    )
    handshake_burst_per_address: Count = Field(
        100, description="WebSocket handshakes that one address may make at once after a silence."
    )

    client_read_rate: Bytes = Field(
        2 * MIB,
        description="Bytes a second that one web process reads from the stream for one client for long, each event "
        "counted as 2 KiB more than it has. Past it get_job waits and resumes do, for 10 s at most; then the answer is "
        "an error of type too_fast, or the close code 4429.",
    )
    client_read_burst: Bytes = Field(
        256 * MIB, description="Bytes that it reads for a client at once after a silence, counted in the same way."
    )

    @field_validator("socket_mode")
    @classmethod
    def _is_a_mode(cls, value: str) -> str:
        if not _MODE.fullmatch(value):
            raise ValueError("must be permissions in three octal digits, such as 660 or 600")
        return value

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _are_networks(cls, value: object) -> object:
        if isinstance(value, tuple | list):
            value = ",".join(map(str, value))
        return networks(value) if isinstance(value, str) else value

    @field_validator("root_path")
    @classmethod
    def _is_a_path(cls, value: str) -> str:
        path = value.rstrip("/")
        if path and (len(path) > 200 or not _PATH.fullmatch(path)):
            raise ValueError(
                "must be a path such as /bus or /tools/bus: a slash before each part, and letters, digits, - . _ ~"
            )
        return path
