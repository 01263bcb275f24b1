"""The environment variables that say what is told of this process, and to whom; `bus.settings` has all of them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, field_validator

from bus import bind_address
from bus.environment import Environment


class ObserveSettings(Environment):
    """Logs, metrics and traces."""

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe log line shown.")
    log_format: Literal["console", "json"] = Field(
        "console",
        description="Log lines for people or for machines. "
        "Either way none tells a local variable, the message of a job's exception, or what a client wrote.",
    )
    metrics_token: SecretStr | None = Field(
        None,
        description="What a request for /metrics must bring as Authorization: Bearer. Unset, it is not shown where "
        "browsers come, and to everybody at BUS_METRICS_BIND and BUS_WORKER_METRICS_BIND.",
    )
    metrics_bind: str | None = Field(
        None,
        description="Where busctl serve shows metrics besides, such as 127.0.0.1:9100, for all its processes; the path "
        "is /metrics. Unset, nowhere but at its own address, with BUS_METRICS_TOKEN.",
    )
    worker_metrics_bind: str | None = Field(
        None,
        description="Where a worker shows its metrics, such as 127.0.0.1:9101; the path is /metrics, guarded by "
        "BUS_METRICS_TOKEN. Each worker of a machine needs an address of its own. Unset, nowhere.",
    )
    traces: Literal["none", "otlp"] = Field(
        "none",
        description="Where spans of web processes and workers go: with otlp by OTLP over HTTP to the collector that "
        "OpenTelemetry's own variables name (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER and the others). Needs "
        "busctl[otel].",
    )

    @field_validator("metrics_bind", "worker_metrics_bind")
    @classmethod
    def _can_be_bound(cls, value: str | None) -> str | None:
        if value is not None:
            bind_address.parse(value)
        return value
